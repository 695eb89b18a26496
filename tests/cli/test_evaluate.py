"""`evaluate` beside computations of its numbers by other means, on a few pictures."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from explorer import cli
from explorer.cli import evaluate
from explorer.models import checkpoints
from explorer.pictures import images, preprocess
from explorer.runs import evaluation
from explorer.training.data import draw
from explorer.types import CropMode, Interpolation, Preprocessing
from tests.helpers import (
    Array,
    assert_one_sentence,
    eigenvalues_and_noise,
    paired_interval,
    picture,
    quadratics,
    vit_reference,
    write_folder,
)

CLASSES = [f"n{i}" for i in range(5)]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture
def standard(
    tmp_path: Path, make_model: Callable[..., VisionTransformer], declared: dict[str, Any], checkpoint: Path
) -> Path:
    """Weights of its own, so that both models differ in hits."""
    path = tmp_path / "standard.safetensors"
    checkpoints.save(
        path, make_model(quadratics(1.0, 1.0), seed=4).state_dict(), {**declared, "name": "Tiny", "filter": [1.0, 1.0]}
    )
    return path


def evaluated(*paths: Path, data: Path, **options: object) -> dict[str, Any]:
    out = data.parent / "out.json"
    told = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    arguments = ["evaluate", *map(str, paths), "--data", str(data), "--json", str(out), "--device", "cpu", *told]
    assert cli.main(arguments) == 0
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def references(path: Path, data: Path) -> list[dict[str, Array]]:
    """What each picture leaves behind, by the NumPy model."""
    model = checkpoints.load(path)
    found = []
    for file in sorted(data.rglob("*.png")):
        label = CLASSES.index(file.parent.name)
        pixels = np.asarray(picture(100 * label + int(file.stem)), dtype=np.float64) / 255
        image = torch.from_numpy(((pixels - MEAN) / STD).transpose(2, 0, 1))
        found.append({**vit_reference(model.module.state_dict(), image, model.card.filter, 2, 8), "label": label})
    return found


def test_accuracy_and_difference_of_two_models(checkpoint: Path, standard: Path, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", CLASSES, each=4)
    found = evaluated(standard, checkpoint, data=data)
    hits = []
    for row, path in zip(found["models"], (standard, checkpoint), strict=True):
        hits.append([one["logits"].argmax() == one["label"] for one in references(path, data)])
        assert row["top1"][0] == pytest.approx(np.mean(hits[-1]))
        assert row["top5"][0] == 1.0
        assert row["top1"][1] <= row["top1"][0] <= row["top1"][2]
        assert (row["images"], row["classes"], row["read_at"]) == (20, 5, [32, 32])
    (difference,) = found["differences"]
    assert (difference["of"], difference["minus"]) == ("Tiny-Twicing", "Tiny")
    assert difference["top1"] == pytest.approx(paired_interval(*map(np.array, hits)))
    assert hits[0] != hits[1], "models that hit the same pictures would show nothing"


def test_models_are_evaluated_at_the_input_size_that_is_asked_for(checkpoint: Path, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", CLASSES)
    (row,) = evaluated(checkpoint, data=data, **{"input-size": 48})["models"]
    assert row["input_size"] == row["read_at"] == [48, 48]
    assert row["changes"] == ["Positions of 4x4 patches are resampled to 6x6, bicubic, antialiased."]


def test_measures_by_layer(checkpoint: Path, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", CLASSES)
    (row,) = evaluated(checkpoint, data=data, measures=100)["models"]
    assert row["measured"] == 10
    similarities, outputs, ratios = [], [], []
    for one in references(checkpoint, data):
        A, V = one["attention"], one["values"]
        filtered = np.stack(
            [2 * a @ v - a @ (a @ v) if block else a @ v for block, (a, v) in enumerate(zip(A, V, strict=True))]
        )
        joined = np.concatenate(list(filtered.transpose(1, 0, 2, 3)), axis=-1)
        for tokens, curves in ((one["tokens"], similarities), (joined, outputs)):
            patches = tokens[:, 1:]
            unit = patches / np.linalg.norm(patches, axis=-1, keepdims=True)
            cosines = unit @ unit.transpose(0, 2, 1)
            curves.append(cosines[:, ~np.eye(16, dtype=bool)].mean(axis=1))
        smoothed = one["attention"] @ one["values"]
        back = one["attention"] @ (one["values"] - smoothed)
        frobenius = [np.sqrt((x[:, :, 1:] ** 2).sum(axis=(2, 3))) for x in (back, smoothed)]
        ratios.append((frobenius[0] / frobenius[1]).mean(axis=1))
    for name, expected in (("similarity", similarities), ("output_similarity", outputs), ("ratio", ratios)):
        assert row[name]["mean"] == pytest.approx(np.mean(expected, axis=0), rel=1e-4)
        assert row[name]["std"] == pytest.approx(np.std(expected, axis=0, ddof=1), rel=1e-3)


def test_eigenvalues(checkpoint: Path, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", CLASSES)
    (row,) = evaluated(checkpoint, data=data, measures=10)["models"]
    matrices = np.concatenate([one["attention"].reshape(-1, 17, 17) for one in references(checkpoint, data)])
    values, noise = eigenvalues_and_noise(matrices)
    mapped = np.abs(2 * values - values**2)
    above = np.abs(values) > noise
    real = above & (np.abs(values.imag) <= noise) & (values.real > 0)
    found = row["eigenvalues"]
    assert found["count"] == len(values) == 10 * 2 * 2 * 17
    assert found["vanishing"] == (~above).sum()
    assert found["on_curve"] == real.sum() > 0
    assert found["leaving"] == (mapped > 1 + 1e-5).sum()
    assert found["largest"] == pytest.approx(mapped.max(), rel=1e-5)


def test_the_seed_draws_the_images(checkpoint: Path, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", CLASSES)
    of = [evaluated(checkpoint, data=data, measures=3, seed=seed)["models"][0] for seed in (0, 0, 1)]
    assert of[0] == of[1]
    assert of[0]["similarity"] != of[2]["similarity"]
    assert of[0]["measured"] == 3
    assert sorted(draw(5, 9).tolist()) == list(range(5))


def test_at_most_so_many_images_are_evaluated(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data", CLASSES, each=4)
    few, every = (evaluated(checkpoint, data=data, images=count)["models"][0] for count in (7, 99))
    assert (few["images"], every["images"]) == (7, 20)
    capsys.readouterr()
    assert cli.main(["evaluate", str(checkpoint), "--data", str(data), "--images", "0", "--device", "cpu"]) == 2
    assert "0 came" in capsys.readouterr().err


def test_batches_do_not_change_the_measures(checkpoint: Path, tmp_path: Path) -> None:
    from explorer.training import data as labelled

    model = checkpoints.load(checkpoint)
    data = labelled.load([write_folder(tmp_path / "data", CLASSES)], 32)
    one, many = (evaluation.measure(model, data, torch.arange(10), batch_size=size) for size in (1, 8))
    torch.testing.assert_close(one.similarity.mean, many.similarity.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.ratio.std, many.ratio.std, rtol=1e-3, atol=1e-6)


def test_costs(checkpoint: Path, standard: Path, tmp_path: Path) -> None:
    """Multiply-adds by hand: the twicing block multiplies with `A` once more."""
    data = write_folder(tmp_path / "data", CLASSES)
    found = evaluated(standard, checkpoint, data=data, times="1,2")
    tokens, dim, heads, head = 17, 32, 2, 16
    product = heads * tokens * tokens * head
    block = tokens * (3 * dim * dim + dim * dim + 8 * dim * dim) + 2 * product
    plain = 16 * (3 * 8 * 8) * dim + 2 * block + dim * 5
    assert [row["multiply_adds"] for row in found["models"]] == [plain, plain + product]
    for row in found["models"]:
        assert set(row["ms_per_image"]) == {"1", "2"}
        assert all(0 < taken < 1000 for taken in row["ms_per_image"].values())
    assert found["device"].startswith("CPU")


def test_times_interleave_and_leave_out_the_first_rounds(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = checkpoints.load(checkpoint)
    ticks = iter(range(10_000))
    monkeypatch.setattr(evaluation.time, "perf_counter", lambda: next(ticks))
    assert evaluation.forward_times([model, model], batch=4, rounds=5) == [0.25, 0.25]


@pytest.mark.parametrize("name", ["n02124075_Egyptian_cat.png", "photo-n02124075.png"])
def test_a_flat_folder_is_read_by_the_ids_in_its_names(
    tmp_path: Path, make_model: Callable[..., VisionTransformer], declared: dict[str, Any], name: str
) -> None:
    """A class may have no picture, and pictures of other classes are left out."""
    wnids = ["n00000001", "n02124075", "n00000003", "n00000004", "n00000005"]
    path = tmp_path / "flat.safetensors"
    checkpoints.save(path, make_model().state_dict(), {**declared, "wnids": wnids})
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate((name, "n99999999_other.png", "README.txt", "nothing.png")):
        picture(number).save(flat / file, "PNG")
    (row,) = evaluated(path, data=flat)["models"]
    assert (row["images"], row["classes"]) == (1, 5)
    model = checkpoints.load(path)
    pixels = (np.asarray(picture(0), dtype=np.float64) / 255 - MEAN) / STD
    state = model.module.state_dict()
    logits = vit_reference(state, torch.from_numpy(pixels.transpose(2, 0, 1)), model.card.filter, 2, 8)["logits"]
    assert row["top1"][0] == float(logits.argmax() == 1)


def test_every_model_sees_what_its_card_says(
    make_model: Callable[..., VisionTransformer],
    declared: dict[str, Any],
    preprocessing: Preprocessing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two crops, one pass over the data, and as few pictures at once as are asked for; sizes by hand where asked."""
    monkeypatch.setattr(evaluate, "_AT_ONCE", 3)
    crops = (
        replace(preprocessing, crop_pct=0.6, interpolation=Interpolation.BILINEAR),
        replace(preprocessing, crop_mode=CropMode.SQUASH),
    )
    paths = [tmp_path / f"{number}.safetensors" for number in (0, 1)]
    for path, seen in zip(paths, crops, strict=True):
        checkpoints.save(path, make_model().state_dict(), {**declared, "preprocessing": asdict(seen)})
    data = tmp_path / "photos"
    for number in range(20):
        (data / f"n{number % 5}").mkdir(parents=True, exist_ok=True)
        picture(number, (60, 90)).save(data / f"n{number % 5}" / f"{number}.gif")
    found = evaluated(*paths, data=data)
    shared = evaluated(*paths, data=data, **{"source-size": 48})
    assert [row["read_at"] for row in (*found["models"], *shared["models"])] == [[32, 32]] * 2 + [[48, 48]] * 2
    assert shared["models"][0]["top1"] == shared["models"][1]["top1"]
    hits: list[list[bool]] = []
    for row, path, seen in zip(found["models"], paths, crops, strict=True):
        model = checkpoints.load(path)
        hits.append([])
        for file in sorted(data.rglob("*.gif")):
            view = preprocess.model_view(images.decode(file.read_bytes()).rgb, seen)
            logits = model.module(preprocess.batch([view], seen))[0]
            hits[-1].append(int(logits.argmax()) == CLASSES.index(file.parent.name))
        assert row["top1"][0] == pytest.approx(np.mean(hits[-1]))
    assert found["differences"][0]["top1"] == pytest.approx(paired_interval(*map(np.array, hits)))
    assert hits[0] != hits[1], "crops that change no answer would show nothing"


def test_a_broken_picture_is_named_and_left_out(
    checkpoint: Path, standard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data", CLASSES)
    whole = evaluated(standard, checkpoint, data=data, measures=100)
    (data / "n1" / "broken.png").write_bytes(b"no image")
    out = tmp_path / "out.json"
    words = ["evaluate", standard, checkpoint, "--data", data, "--json", out, "--measures", 100, "--device", "cpu"]
    assert cli.main([*map(str, words)]) == 1
    assert json.loads(out.read_text(encoding="utf-8")) == whole
    assert capsys.readouterr().err.count("data/n1/broken.png") == 1
    for path in data.rglob("*.png"):
        path.write_bytes(b"no image")
    assert cli.main([*map(str, words)]) == 2
    assert "none of 11 can" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--times", "1,0"], ["--times", "many"], ["--measures", "0"]])
def test_what_cannot_be_measured_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    data = write_folder(tmp_path / "data", CLASSES)
    assert cli.main(["evaluate", str(checkpoint), "--data", str(data), "--device", "cpu", *options]) == 2
    assert_one_sentence(capsys.readouterr().err)


def test_whoever_reads_the_output_may_leave(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data", CLASSES)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert cli.main(["evaluate", str(checkpoint), "--data", str(data), "--device", "cpu"]) == 141
        print("what is written later is lost in silence", flush=True)
    assert capsys.readouterr().err == ""
