"""`robustness` and `attribute` on tiny data: what they write, resumed, and what they say when something is wrong."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

from explorer import cli
from explorer.attribution import methods
from explorer.attribution.faithfulness import Removal, infidelity, sensitivity
from explorer.attribution.settings import Method
from explorer.disturb.attacks import attack
from explorer.disturb.ranks import label_ranks
from explorer.disturb.settings import Attack
from explorer.models import checkpoints, load, with_filter
from explorer.models.pixels import resized
from explorer.pictures import images, preprocess
from explorer.runs.robustness_file import read
from explorer.types import CropMode, Interpolation, Preprocessing
from tests.helpers import assert_one_sentence, picture, quadratics, write_class_list, write_folder, write_parquet

Run = Callable[..., int]


@pytest.fixture
def robustness(checkpoint: Path, tmp_path: Path) -> Run:
    """Runs `robustness` with the tiny model twice, on a folder of its classes; options given here come last."""
    folder = write_folder(tmp_path / "data", [f"n{i}" for i in range(5)], each=1)

    def run(*options: object, data: Path = folder, out: str = "sweep.jsonl") -> int:
        models = ["--baseline", checkpoint, "--twicing", checkpoint, "--device", "cpu"]
        words = [data, "--out", tmp_path / out, "--eps", "0,4", "--batch-size", "2", *models, *options]
        return cli.main(["robustness", *map(str, words)])

    return run


@pytest.fixture
def attribute(checkpoint: Path, tmp_path: Path) -> Run:
    """Runs `attribute` with the tiny model twice."""
    path = tmp_path / "cat.png"
    picture(0, (40, 50)).save(path)

    def run(*options: object) -> int:
        models = ["--baseline", checkpoint, "--twicing", checkpoint, "--device", "cpu"]
        return cli.main(["attribute", *map(str, [path, "--out", tmp_path / "maps", *models, *options])])

    return run


def assert_refused(code: int, capsys: pytest.CaptureFixture[str], *named: str) -> None:
    assert code == 2
    err = capsys.readouterr().err
    assert err.startswith("explorer: ")
    assert_one_sentence(err)
    assert all(word in err for word in named), err


def test_a_sweep_of_a_folder_prints_what_its_file_holds(
    robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert robustness() == 0
    result = read(tmp_path / "sweep.jsonl")
    assert len(result.ranks) == 5
    assert [round(255 * eps) for eps in result.settings["eps"]] == [0, 4]
    said = capsys.readouterr().out
    for curve in result.curves:
        low, high = curve.accuracy[1].interval(curve.accuracy[1].top1)
        shown = f"{100 * curve.accuracy[1].top1:.1f}% (95% interval {100 * low:.1f} to {100 * high:.1f})"
        assert f"eps 4/255: top-1 {shown}" in said


def test_transfer_is_printed_and_tabled_with_its_intervals(
    robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    assert robustness("--transfer", "--csv", table) == 0
    curves = read(tmp_path / "sweep.jsonl").curves
    said = capsys.readouterr().out
    assert said.count("95% interval") == 4 * 2
    assert "shown images made to fool" in said
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["eps_255ths"] for row in rows] == ["0", "4"] * 4
    for row, found in zip(rows, [one for curve in curves for one in curve.accuracy], strict=True):
        low, high = found.interval(found.top1)
        assert [float(row[key]) for key in ("top1", "top1_low", "top1_high")] == pytest.approx(
            [found.top1, low, high], abs=1e-5
        )
    assert_refused(robustness("--csv", tmp_path / "table.txt"), capsys, ".csv")
    assert_refused(robustness(), capsys, "transfer")


@pytest.mark.parametrize("images_of", ["card", "one size"])
def test_the_models_see_what_the_page_shows_them(
    robustness: Run,
    make_model: Callable[..., VisionTransformer],
    declared: dict[str, Any],
    preprocessing: Preprocessing,
    tmp_path: Path,
    images_of: str,
) -> None:
    """Crop and interpolation of each model's card, on pictures that are neither square nor of the input's size."""
    cropped = replace(preprocessing, crop_pct=0.6, interpolation=Interpolation.BILINEAR)
    squashed = replace(preprocessing, crop_mode=CropMode.SQUASH)
    paths = [tmp_path / f"{number}.safetensors" for number in (0, 1)]
    for path, seen in zip(paths, (cropped, squashed), strict=True):
        checkpoints.save(path, make_model().state_dict(), {**declared, "preprocessing": asdict(seen)})
    folder = tmp_path / "photos"
    for label in range(5):
        (folder / f"n{label}").mkdir(parents=True)
        picture(label, (60, 90)).save(folder / f"n{label}" / "a.gif")
    options = [] if images_of == "card" else ["--source-size", "48"]
    assert robustness("--baseline", paths[0], "--twicing", paths[1], "--batch-size", 1, *options, data=folder) == 0
    result = read(tmp_path / "sweep.jsonl")
    names = [f"photos/n{label}/a.gif" for label in range(5)] if images_of == "card" else [*"01234"]
    assert list(result.ranks) == names
    for side, (path, seen) in enumerate(zip(paths, (cropped, squashed), strict=True)):
        model = checkpoints.load(path)
        for label, name in enumerate(names):
            rgb = images.decode((folder / f"n{label}" / "a.gif").read_bytes()).rgb
            view: Any = preprocess.model_view(rgb, seen)
            if images_of != "card":
                square = preprocess.model_view(rgb, replace(preprocessing, input_size=(48, 48)))
                view = resized(torch.from_numpy(square).permute(2, 0, 1)[None], (32, 32))[0]
            found = attack(model, [view], [label], Attack(eps=4 / 255), ids=[name])
            assert result.ranks[name][side][1] == int(label_ranks(found.after.logits, found.labels))


@pytest.mark.parametrize("options", [[], ["--source-size", "32"]])
def test_a_broken_image_is_named_and_the_others_go_on(
    robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    (tmp_path / "data" / "n2" / "broken.png").write_bytes(b"no image")
    (tmp_path / "data" / "unicorn").mkdir()
    picture(3).save(tmp_path / "data" / "unicorn" / "a.png")
    assert robustness(*options) == 1
    assert len(read(tmp_path / "sweep.jsonl").ranks) == 5
    err = capsys.readouterr().err
    assert "data/n2/broken.png: " in err
    assert "unicorn (1 images)" in err
    assert robustness(*options) == 1  # nothing is left to do, and it is still broken


def test_images_are_decoded_when_it_is_their_turn(robustness: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from explorer.runs import robustness as runs

    decode, ranks, order = images.decode, runs._ranks, []
    monkeypatch.setattr(images, "decode", lambda data: order.append("decode") or decode(data))
    monkeypatch.setattr(runs, "_ranks", lambda *given: order.append("attack") or ranks(*given))
    assert robustness() == 0
    assert order == [*["decode"] * 2, "attack"] * 2 + ["decode", "attack"]


def test_at_most_so_many_images_are_attacked_and_fewer_are_a_part_of_more(
    robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for count in (2, 4, 9):
        assert robustness("--images", count, out=f"{count}.jsonl") == 0
    two, four, all_five = (read(tmp_path / f"{count}.jsonl") for count in (2, 4, 9))
    assert [len(result.ranks) for result in (two, four, all_five)] == [2, 4, 5]
    assert two.ranks.keys() < four.ranks.keys() < all_five.ranks.keys()
    assert len({result.settings["data"] for result in (two, four, all_five)}) == 3
    capsys.readouterr()
    assert_refused(robustness("--images", 0, out="none.jsonl"), capsys, "images", "0 came")
    assert not (tmp_path / "none.jsonl").exists()


def test_a_swapped_filter_is_a_model_of_its_own(robustness: Run, tmp_path: Path) -> None:
    assert robustness("--baseline-filter", "1") == 0
    told = read(tmp_path / "sweep.jsonl").settings["models"]
    assert [model["filter"] for model in told] == [[1.0, 1.0], [1.0, 2.0]]
    assert "swapped" in told[0]["name"]


def test_a_folder_that_moved_goes_on_and_one_that_changed_does_not(
    robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert robustness() == 0
    before = (tmp_path / "sweep.jsonl").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "data").rename(tmp_path / "elsewhere" / "data")
    assert str(tmp_path) not in before.decode()
    assert robustness(data=moved) == 0
    assert (tmp_path / "sweep.jsonl").read_bytes() == before
    picture(77).save(moved / "n0" / "0.png")
    capsys.readouterr()
    assert_refused(robustness(data=moved), capsys, "other settings: data")


def test_parquet_gives_the_same_columns(robustness: Run, tmp_path: Path) -> None:
    data = write_parquet(tmp_path / "val.parquet", [0, 1, 2, 3, 4, 0])
    classes = write_class_list(tmp_path / "classes.tsv", 5)
    assert robustness("--classes", classes, "--attack", "pgd", "--steps", 2, "--step-size", 1, data=data) == 0
    settings = read(tmp_path / "sweep.jsonl").settings
    assert settings["attack"] == {"kind": "PGD", "steps": 2, "step_size": 1 / 255, "random_start": False, "seed": 0}


def test_as_han_et_al_coded_it(robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Space, label and step are in the file, the table and what is printed, the budget in both units."""
    words = ["--attack", "pgd", "--steps", 2, "--step-share", 0.15, "--random-start", "--eps", "0,2,4"]
    assert robustness(*words, "--space", "normalised", "--label", "predicted", "--csv", tmp_path / "t.csv") == 0
    said = capsys.readouterr().out
    rule = (
        "PGD, 2 steps of 0.15 eps from a random start (seed 0), on the normalised input, not clipped, away from the "
        "model's own prediction"
    )
    assert f"{rule}; 1/255 of the normalised input = " in said
    result = read(tmp_path / "sweep.jsonl")
    assert result.settings["attack"] == {
        "kind": "PGD",
        "steps": 2,
        "step_size": None,
        "random_start": True,
        "seed": 0,
        "step_share": 0.15,
        "space": "normalised",
        "label": "predicted",
    }
    (std,) = {tuple(model["std"]) for model in result.settings["models"]}
    rows = table(tmp_path / "t.csv")
    assert [row["eps_255ths"] for row in rows] == ["0", "2", "4"] * 2
    for row in rows:
        assert float(row["eps_pixels_255ths"]) == pytest.approx(float(row["eps_255ths"]) * sum(std) / 3, rel=1e-5)
        assert [row[key] for key in ("attack", "space", "label", "settings")] == [
            "pgd",
            "normalised",
            "predicted",
            rule,
        ]
    before = (tmp_path / "sweep.jsonl").read_bytes()
    assert robustness(*words, "--space", "normalised", "--label", "predicted") == 0  # goes on
    assert (tmp_path / "sweep.jsonl").read_bytes() == before
    assert_refused(robustness(*words), capsys, "other settings: attack")
    assert_refused(robustness(*words, "--step-size", 1, out="b.jsonl"), capsys, "step share", "both")
    assert_refused(robustness("--space", "colours"), capsys, "pixels, normalised", "'colours'")


def test_a_table_in_pixels_says_so(robustness: Run, tmp_path: Path) -> None:
    assert robustness("--csv", tmp_path / "t.csv") == 0
    for row in table(tmp_path / "t.csv"):
        assert row["eps_pixels_255ths"] == row["eps_255ths"]
        assert [row[key] for key in ("attack", "space", "label", "settings")] == ["fgsm", "pixels", "given", "FGSM"]


def test_a_run_that_was_cut_short_goes_on_to_the_same_file(robustness: Run, tmp_path: Path) -> None:
    assert robustness(out="whole.jsonl") == 0
    whole = (tmp_path / "whole.jsonl").read_bytes()
    (tmp_path / "sweep.jsonl").write_bytes(whole[: len(whole) * 2 // 3])
    assert robustness() == 0
    assert (tmp_path / "sweep.jsonl").read_bytes() == whole


def test_ctrl_c_keeps_what_was_measured(
    robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from explorer.runs import robustness as runs

    ranks, calls = runs._ranks, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return ranks(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(runs, "_ranks", interrupted)
        assert robustness() == 130
    assert "goes on from there" in capsys.readouterr().err
    assert len(read(tmp_path / "sweep.jsonl").ranks) == 2
    assert robustness() == 0
    assert len(read(tmp_path / "sweep.jsonl").ranks) == 5


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--eps", "9"], ["0 to 8", "'9'"]),
        (["--eps", "a"], ["eps", "'a'"]),
        (["--eps", "nan"], ["eps"]),
        (["--steps", "0"], ["steps"]),
        (["--batch-size", "0"], ["batch"]),
        (["--classes", "nowhere.tsv"], ["nowhere.tsv"]),
    ],
)
def test_what_is_wrong_is_one_sentence(
    robustness: Run, capsys: pytest.CaptureFixture[str], options: list[str], named: list[str]
) -> None:
    assert_refused(robustness(*options), capsys, *named)


def test_a_file_of_other_settings_is_not_added_to(
    robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert robustness() == 0
    before = (tmp_path / "sweep.jsonl").read_bytes()
    capsys.readouterr()
    assert_refused(robustness("--attack", "pgd"), capsys, "sweep.jsonl", "attack")
    assert (tmp_path / "sweep.jsonl").read_bytes() == before


def test_a_result_of_another_suffix_or_place_is_refused(
    robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(robustness(out="sweep.csv"), capsys, ".jsonl")
    (tmp_path / "file").write_text("no folder")
    assert_refused(robustness(out="file/sweep.jsonl"), capsys)


def test_data_of_other_classes_is_refused(robustness: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(robustness(data=write_folder(tmp_path / "other", ["a", "b"])), capsys, "classes")


def test_maps_are_written_with_numbers_and_settings(attribute: Run, tmp_path: Path) -> None:
    assert attribute("--method", "saliency,feature-ablation", "--class", "dog", "--baseline-picture", "black") == 0
    folder = tmp_path / "maps" / "cat"
    names = {f"{slug}-{role}.png" for slug in ("saliency", "feature-ablation") for role in ("baseline", "twicing")}
    assert {path.name for path in folder.iterdir()} == names | {"maps.npz", "settings.json"}
    for name in names:
        with Image.open(folder / name) as shown:
            assert shown.size == (448, 448)
    with np.load(folder / "maps.npz") as file:
        arrays = dict(file)
    assert arrays["saliency, baseline"].shape == (32, 32)
    told = json.loads((folder / "settings.json").read_text())
    assert told["settings"]["baseline"] == "black"
    assert told["maps"]["feature-ablation"]["twicing"]["class_name"] == "dog"
    largest = max(np.abs(arrays[f"saliency, {role}"]).max() for role in ("baseline", "twicing"))
    assert told["maps"]["saliency"]["colours_end_at"] == pytest.approx(largest)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values.ravel()))


def test_faithfulness_is_written_beside_the_maps(attribute: Run, checkpoint: Path, tmp_path: Path) -> None:
    """Areas and correlations by plain arithmetic on what is written, the rest by the measures themselves."""
    options = ("--method", "grad-cam,feature-ablation,gradient-shap", "--samples", 2, "--twicing-filter", 1)
    assert attribute(*options, "--faithfulness") == 0
    folder = tmp_path / "maps" / "cat"
    with np.load(folder / "maps.npz") as file:
        maps = dict(file)
    told = json.loads((folder / "settings.json").read_text())
    assert Removal().sentence() in told["faithfulness"]["Deletion, insertion"]
    assert (told["maps"]["grad-cam"]["unit"], told["maps"]["feature-ablation"]["unit"]) == (None, "logit")

    curves = table(folder / "curves.csv")
    rows = {(row["method"], row["model"]): row for row in table(folder / "faithfulness.csv")}
    assert len(rows) == 6
    for (slug, role), row in rows.items():
        own = [one for one in curves if (one["method"], one["model"]) == (slug, role)]
        share = np.array([float(one["share"]) for one in own])
        np.testing.assert_allclose(share, np.arange(17) / 16)
        for kind in ("deletion", "insertion", "deletion_at_random", "insertion_at_random"):
            area = np.trapezoid([float(one[kind]) for one in own], share)
            assert float(row[kind.replace("_at", "_auc_at") if "_at" in kind else f"{kind}_auc"]) == pytest.approx(area)
    models = {"baseline": load(checkpoint), "twicing": with_filter(load(checkpoint), quadratics(1.0, 1.0))}
    seen = preprocess.model_view(
        images.decode((tmp_path / "cat.png").read_bytes()).rgb, models["twicing"].card.preprocessing
    )
    for role, model in models.items():
        found = methods.attribute(model, seen, Method.GRAD_CAM)
        row = rows["grad-cam", role]
        assert float(row["infidelity_logits2"]) == pytest.approx(infidelity(model, seen, found, samples=64), rel=1e-4)
        expected = sensitivity(model, seen, Method.GRAD_CAM, found.target, samples=5)
        assert float(row["sensitivity"]) == pytest.approx(expected, rel=1e-4)
        assert row["class"] == model.card.classes[found.target]

    pairs = table(folder / "correlations.csv")
    assert len(pairs) == 2 * 3 + 3
    for one in pairs:
        first, second = (f"{one[f'{end}method']}, {one[f'{end}model']}" for end in ("", "other_"))
        both = [maps[name] for name in (first, second)]
        if both[0].shape != both[1].shape:  # pixels beside patches
            both = [m.reshape(4, len(m) // 4, 4, -1).mean(axis=(1, 3)) for m in both]
        expected = np.corrcoef(*map(ranks, both))[0, 1]
        assert float(one["rank_correlation"]) == pytest.approx(expected, abs=1e-6)
    assert {(one["model"], one["other_model"]) for one in pairs[-3:]} == {("baseline", "twicing")}


def test_the_same_seed_gives_the_same_numbers(attribute: Run, tmp_path: Path) -> None:
    found = []
    for seed in (0, 0, 1):
        assert attribute("--method", "gradient-shap", "--samples", 4, "--seed", seed) == 0
        with np.load(tmp_path / "maps" / "cat" / "maps.npz") as file:
            found.append(file["gradient-shap, baseline"])
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0


def test_an_image_that_cannot_be_read_is_said_and_left_out(
    attribute: Run, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--baseline", str(checkpoint), "--twicing", str(checkpoint), "--device", "cpu", "--method", "saliency"]
    assert cli.main(["attribute", "none.png", str(tmp_path / "cat.png"), "--out", str(tmp_path / "o"), *models]) == 1
    assert "none.png" in capsys.readouterr().err
    assert (tmp_path / "o" / "cat" / "maps.npz").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--method", "magic"], ["saliency", "'magic'"]),
        (["--class", "unicorn"], ["unicorn", "0 to 4"]),
        (["--class", "5"], ["0 to 4"]),
        (["--baseline-picture", "pink"], ["blurred", "'pink'"]),
        (["--steps", "0"], ["Steps"]),
        (["--steps", "1000000000"], ["steps: 1 to 1000"]),
        (["--samples", "1001"], ["samples: 1 to 1000"]),
        (["--window", "100000"], ["window: 1 to 1024"]),
        (["--seed", "-1"], ["2^63 - 1", "-1"]),
        (["--seed", str(10**20)], ["2^63 - 1", str(10**20)]),
    ],
)
def test_wrong_options_of_attribute_are_one_sentence(
    attribute: Run, capsys: pytest.CaptureFixture[str], options: list[str], named: list[str]
) -> None:
    assert_refused(attribute(*options), capsys, *named)
