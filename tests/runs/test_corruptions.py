"""`corruptions`: the numbers of the page, resumed to the same file, and one sentence for what is wrong."""

import csv
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from explorer import cli
from explorer.disturb.corruptions import Corruption
from explorer.disturb.effects import Choice, effects, margin
from explorer.measures.settings import Queries
from explorer.models import load, with_filter
from explorer.models.classes import class_name
from explorer.pictures import images, preprocess
from explorer.runs import corruptions
from explorer.runs.partial import ROWS
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, picture, quadratics

Run = Callable[..., int]
KINDS = ("gaussian-noise", "occlusion")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        picture(i, (40, 50)).save(path)
    return paths


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path, photos: list[Path]) -> Run:
    """Runs `corruptions` with the tiny model and its standard twin."""

    def run(*options: object, sources: list[object] | None = None, out: str = "out.csv") -> int:
        models = ["--baseline", checkpoint, "--baseline-filter", "1", "--twicing", checkpoint, "--device", "cpu"]
        given = photos if sources is None else sources
        words = [*given, "--kind", ",".join(KINDS), "--severities", "2-3", "--out", tmp_path / out, *models, *options]
        return cli.main(["corruptions", *map(str, words)])

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stop_before_the_table(run: Run, monkeypatch: pytest.MonkeyPatch, sources: Sequence[object] | None = None) -> None:
    """Leaves everything in the partial file."""

    def fails(*_: object) -> None:
        raise ExplorerError("Stopped.")

    with monkeypatch.context() as patched:
        patched.setattr(corruptions, "write_table", fails)
        assert run(sources=sources) == 2


def test_the_table_holds_the_numbers_of_the_page(
    run: Run, checkpoint: Path, tmp_path: Path, photos: list[Path]
) -> None:
    assert run("--seed", 7, "--first-token", "--strength", "2.5") == 0
    found = rows(tmp_path / "out.csv")
    assert len(found) == 3 * 2 * 4 * 2
    loaded = load(checkpoint)
    for side, model in (("baseline", with_filter(loaded, quadratics(1.0, 1.0))), ("twicing", loaded)):
        view = preprocess.model_view(images.decode(photos[1].read_bytes()).rgb, model.card.preprocessing)
        choice = Choice(Corruption.GAUSSIAN_NOISE, 0.0, 7, Queries.FIRST)
        expected = effects(model, view, choice, (2.0, 2.5, 3.0))
        clean = int(expected[0].logits.argmax())
        of_it = [
            row
            for row in found
            if (row["image"], row["model"], row["corruption"]) == (str(photos[1]), side, "Gaussian noise")
        ]
        assert [float(row["severity"]) for row in of_it] == [0, 2, 2.5, 3]
        for row, one in zip(of_it, expected, strict=True):
            probabilities = one.logits.softmax(dim=0)
            now = int(one.logits.argmax())
            assert (row["prediction"], row["clean_prediction"]) == tuple(
                class_name(model.card, index) for index in (now, clean)
            )
            assert np.float32(row["probability"]) == np.float32(probabilities[now])
            assert np.float32(row["clean_probability"]) == np.float32(probabilities[clean])
            assert np.float32(row["margin"]) == np.float32(margin(one.logits, clean))
            assert [np.float32(row[f"attention_{i}"]) for i in (1, 2)] == one.attention.tolist()
            assert [np.float32(row[f"tokens_{i}"]) for i in range(3)] == one.tokens.tolist()
            change = one.similarity - expected[0].similarity
            assert [np.float32(row[f"similarity_change_{i}"]) for i in range(3)] == change.tolist()
            assert row["seed"] == "7"
        assert float(of_it[0]["attention_1"]) == float(of_it[0]["similarity_change_2"]) == 0
    told = json.loads((tmp_path / "out.json").read_text())
    assert (told["seed"], told["strengths"], told["images"]) == (7, [2.0, 2.5, 3.0], 3)
    assert [one["filter"] for one in told["models"].values()] == [[1.0, 1.0], [1.0, 2.0]]


def test_csv_and_parquet_hold_the_same(run: Run, tmp_path: Path, photos: list[Path]) -> None:
    sources = [photos[0], "none.png"]
    assert run(sources=sources) == run(sources=sources, out="out.parquet") == 1
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    for left, right in zip(rows(tmp_path / "out.csv"), table, strict=True):
        for name, value in right.items():
            assert left[name] == ("" if value is None else value) or np.float32(left[name]) == value, name


def test_the_same_seed_gives_the_same_file_and_another_another(run: Run, tmp_path: Path) -> None:
    for seed, out in ((0, "a.csv"), (0, "b.csv"), (1, "c.csv")):
        assert run("--seed", seed, out=out) == 0
    first, same, other = ((tmp_path / name).read_bytes() for name in ("a.csv", "b.csv", "c.csv"))
    assert first == same != other


def test_the_set_of_the_severities_and_the_final_jpeg_are_in_the_table_and_its_settings(
    run: Run, checkpoint: Path, tmp_path: Path, photos: list[Path]
) -> None:
    assert run() == run("--final-jpeg", out="last.csv") == 0
    (plain, last), names = (rows(tmp_path / name) for name in ("out.csv", "last.csv")), ("Gaussian noise", "Occlusion")
    assert [{row["final_jpeg"] for row in table} for table in (plain, last)] == [{"0"}, {"85"}]
    for name, constants in zip(names, ("CIFAR-10-C, 32 px", "ours"), strict=True):
        assert {row["constants"] for row in last if row["corruption"] == name} == {constants}
    written = [json.loads((tmp_path / name).read_text()) for name in ("out.json", "last.json")]
    assert [each["final_jpeg"] for each in written] == [0, 85]
    assert written[0]["corruptions"]["CIFAR-10-C, 32 px"]["Gaussian noise"][:3] == ["standard deviation", 0, 0.04]
    model = load(checkpoint)
    view = preprocess.model_view(images.decode(photos[0].read_bytes()).rgb, model.card.preprocessing)
    clean, disturbed = effects(model, view, Choice(Corruption.OCCLUSION, 0.0, final_jpeg=True), (3.0,))
    (row,) = (
        row
        for row in last
        if (row["image"], row["model"], row["corruption"]) == (str(photos[0]), "twicing", "Occlusion")
        and float(row["severity"]) == 3
    )
    assert np.float32(row["margin"]) == np.float32(margin(disturbed.logits, int(clean.logits.argmax())))
    unlike = [row["margin"] for row in plain if row["severity"] != "0.0"]
    assert unlike != [row["margin"] for row in last if row["severity"] != "0.0"]


def test_a_run_that_was_stopped_goes_on_to_the_same_file(
    run: Run, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(out="whole.csv") == 0
    real, calls = corruptions.rows_of, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(corruptions, "rows_of", interrupted)
    assert run() == 130
    assert "goes on from there" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
    (partial,) = tmp_path.glob(".out.csv.*.partial")
    with partial.open("ab") as file:
        file.write(b'["half a li')
    assert run() == 0
    assert len(calls) == 4
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not partial.exists()


def test_every_place_to_be_cut_short_gives_the_same_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run() == 0
    whole = (tmp_path / "out.csv").read_bytes()
    stop_before_the_table(run, monkeypatch)
    (partial,) = tmp_path.glob(".out.csv.*.partial")
    data = partial.read_bytes()
    ends = [len(b"\n".join(data.split(b"\n")[:n])) for n in range(0, 37, 5)]
    assert all(first < second for first, second in pairwise(ends))
    for end in ends:
        partial.write_bytes(data[:end])
        assert run() == 0
        assert (tmp_path / "out.csv").read_bytes() == whole


def test_an_image_that_changed_is_measured_again(
    run: Run, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_before_the_table(run, monkeypatch)
    picture(50, (40, 50)).save(photos[1])
    assert run() == 0
    resumed = (tmp_path / "out.csv").read_bytes()
    assert run(out="fresh.csv") == 0
    assert resumed == (tmp_path / "fresh.csv").read_bytes()


@pytest.mark.parametrize("noted", ["stamps", "stamps of copies", "no stamps"])
def test_what_is_the_same_is_not_measured_again(
    run: Run, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, noted: str
) -> None:
    """By size and time nothing is even read; by content where times differ, and for files of earlier versions."""

    def never(*_: object) -> object:
        raise AssertionError("Nothing was expected to be measured.")

    sources = [*photos, "none.png"]
    assert run(sources=sources, out="fresh.csv") == 1
    stop_before_the_table(run, monkeypatch, sources)
    (partial,) = tmp_path.glob(".out.csv.*.partial")
    rows_before = [ROWS.loads(line) for line in partial.read_bytes().splitlines()]
    assert {row.size for row in rows_before} == {*(path.stat().st_size for path in photos), -1}
    if noted == "no stamps":
        old = [replace(row, size=0, mtime_ns=0) for row in rows_before]
        partial.write_text("".join(ROWS.dumps(row) + "\n" for row in old))
    elif noted == "stamps of copies":
        for path in photos:
            os.utime(path, ns=(1, 1))
    else:
        monkeypatch.setattr(corruptions.images, "decode", never)
    monkeypatch.setattr(corruptions, "rows_of", never)
    assert run(sources=sources) == 1
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()


def test_an_image_that_cannot_be_read_is_said_and_the_others_go_on(
    run: Run, tmp_path: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert run(sources=[tmp_path / "bad.png", "none.png", photos[0], "example:nobody.png"]) == 1
    err = capsys.readouterr().err
    assert all(name in err for name in ("bad.png", "none.png", "nobody.png", "of which 3"))
    found = rows(tmp_path / "out.csv")
    assert len(found) == 3 + 12
    assert [bool(row["error"]) for row in found[:3]] == [True, True, False]
    assert found[0]["prediction"] == ""


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--kind", "fog"], ["gaussian-noise", "'fog'"]),
        (["--severities", "0-3"], ["1 to 5"]),
        (["--severities", "a"], ["severities"]),
        (["--strength", "6"], ["up to 5"]),
        (["--strength", "nan"], ["up to 5"]),
        (["--seed", "-1"], ["seed"]),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, capsys: pytest.CaptureFixture[str], options: list[str], named: list[str]
) -> None:
    assert run(*options) == 2
    err = capsys.readouterr().err
    assert_one_sentence(err)
    assert all(word in err for word in named), err


def test_a_name_of_another_kind_and_a_json_of_somebody_else_are_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(out="out.txt") == 2
    (tmp_path / "out.json").write_text('{"made_by": "hand"}')
    assert run() == 2
    assert "none of ours" in capsys.readouterr().err
    assert (tmp_path / "out.json").read_text() == '{"made_by": "hand"}'
