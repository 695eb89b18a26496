"""The script for a borrowed GPU, dry on the CPU: what comes home is what was trained, and the clock's plan fits."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from docs.gpu import home, loads, timed
from docs.gpu.__main__ import _parser, main
from docs.gpu.timetable import GRACE, MARGIN, SHARE, Paces, Timetable
from explorer.cli.options import given
from explorer.models import checkpoints, starts, weights
from explorer.models.classes import read_classes
from explorer.models.starts import Start
from explorer.training import data, kept, plan, stored
from explorer.training.recipe import Decay
from explorer.training.settings import Schedule
from explorer.types import ExplorerError
from tests.conftest import MakeModel
from tests.helpers import assert_one_sentence, quadratics, write_class_list, write_parquet

DRY = (
    *("--device", "cpu", "--sizes", "16", "--last-size", "32", "--source-size", "32", "--batch-size", "4"),
    *("--operator-warmup", "2", "--warmup-steps", "2", "--evaluate-every", "100", "--probe", "2", "--prefix", "tiny"),
)


@pytest.fixture
def start(tiny: str, make_model: MakeModel, tmp_path: Path) -> Path:
    state = {key: value for key, value in make_model().state_dict().items() if not key.startswith("head")}
    path = tmp_path / "start.safetensors"
    starts._write(path, Start(tiny, state, "Somebody", "CC0", ("nothing",), "x.onnx", "0" * 64, ""))
    return path


@pytest.fixture
def cut(start: Path, tmp_path: Path) -> Path:
    """Three loads of 24 training images in two files, and 6 of 8 validation images."""
    files = [write_parquet(tmp_path / f"{name}.parquet", labels) for name, labels in SPLITS.items()]
    extra = tmp_path / "package.whl"
    extra.write_bytes(b"wheel")
    given = ["--init", str(start), "--add", str(extra), "--val-images", "6", "--size", "32"]
    given += ["--train", str(files[0]), str(files[1]), "--val", str(files[2]), "--out", str(tmp_path / "gpu")]
    assert main(["cut", *given, "--classes", str(write_class_list(tmp_path / "classes.tsv"))]) == 0
    return tmp_path / "gpu"


SPLITS = {"a": [0] * 12, "b": [0, 1] * 6, "val": [0, 1] * 4}


def decoded(cut: Path, folder: Path) -> Path:
    for load in sorted(cut.glob("load-*"), reverse=True):  # in any order
        assert main(["decode", str(load), str(folder)]) == 0
    return folder


def test_there_and_back(cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it, with a hundredth of the steps: the checkpoints here are, byte for byte, those that were trained."""
    run, out, back = decoded(cut, tmp_path / "run"), tmp_path / "out", tmp_path / "back"
    assert main(["train", str(run), str(out), "--steps", "20", "3", *DRY]) == 0
    said = capsys.readouterr().out
    assert "80 + 12 pairs" in said
    assert [(decay.at, decay.steps, decay.last) for decay in plan.decays(run)] == [(10, 3, False), (20, 3, True)]
    assert {name: len(rows) for name, rows in json.loads((out / "logs.json").read_bytes()).items()} == {
        name: len(plan.log(run / name)) for name in ("standard", "twicing")
    }
    assert main(["home", str(run), "standard", str(out)]) == 0
    assert main(["join", str(out), str(back)]) == 0
    assert main(["home", str(run), "twicing", str(tmp_path / "second")]) == 0
    assert main(["join", str(tmp_path / "second"), str(back)]) == 0
    assert sorted(path.name for path in back.iterdir()) == [
        "tiny-standard.safetensors",
        "tiny-twicing.safetensors",
        "twicing.int8.safetensors",
    ]
    for name, filter in (("standard", quadratics(1.0, 1.0)), ("twicing", quadratics(2.0, 2.0))):
        path = back / f"tiny-{name}.safetensors"
        assert path.read_bytes() == (run / name / "decay-20" / path.name).read_bytes()
        assert checkpoints.load(path).card.filter == filter
    small, whole = weights.read(back / "twicing.int8.safetensors"), weights.read(back / "tiny-twicing.safetensors")
    for key, value in kept.unpack(small.sets["model"]).items():
        expected = whole.sets["model"][key].float()
        torch.testing.assert_close(value, expected, atol=float(expected.abs().max()) / 127, rtol=1e-3)
    assert checkpoints.load(back / "tiny-standard.safetensors").card.git_revision == loads.Manifest.read(run).revision


def test_the_loads_hold_all_images_once_and_in_order(cut: Path, tmp_path: Path) -> None:
    folders = sorted(cut.glob("load-*"))
    assert [folder.name for folder in folders] == ["load-1", "load-2", "load-3"]
    assert (folders[0] / "package.whl").read_bytes() == b"wheel"
    assert all(list(folder.glob("*.parquet")) for folder in folders[1:])
    run = decoded(cut, tmp_path / "run")
    loads.assemble(run)
    train, validation = (stored.open_stored(run / "data" / split) for split in ("train", "validation"))
    classes = read_classes(tmp_path / "classes.tsv")
    expected = data.load([tmp_path / "a.parquet", tmp_path / "b.parquet"], 32, classes)
    assert torch.equal(train.images, expected.images)
    assert torch.equal(train.labels, expected.labels)
    assert (train.classes, len(validation)) == (classes, 6)
    assert starts.load_start(run / loads.START).license == "CC0"


def test_a_load_that_is_missing_is_named(cut: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["decode", str(cut / "load-1"), str(run)])
    with pytest.raises(ExplorerError, match="not, ") as caught:
        loads.assemble(run, patience=0.0)
    assert_one_sentence(str(caught.value))


def test_a_load_that_is_too_heavy_is_refused(cut: Path, monkeypatch: pytest.MonkeyPatch, start: Path) -> None:
    monkeypatch.setattr(loads, "LARGEST", 100)
    folder = start.parent
    sources = loads.Sources([folder / "a.parquet"], [folder / "val.parquet"], folder / "classes.tsv", start)
    with pytest.raises(ExplorerError, match="100 bytes") as caught:
        loads.cut(sources, folder / "other", 3, 6, 32, "abc")
    assert_one_sentence(str(caught.value))


# --- the way back -------------------------------------------------------------------------------------------------


def test_parts_are_small_and_a_newer_copy_takes_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "PART", 10)
    for content in (b"a" * 35, bytes(range(25))):
        home.split(content, "x.bin", tmp_path)
    assert sorted(path.stat().st_size for path in tmp_path.glob("*.part")) == [5, 10, 10]
    assert home.join(tmp_path, tmp_path / "back") == [tmp_path / "back" / "x.bin"]
    assert (tmp_path / "back" / "x.bin").read_bytes() == bytes(range(25))
    home.drop("x.bin", tmp_path)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("harm", ["missing", "changed", "no manifest"])
def test_what_did_not_come_home_whole_is_not_joined(
    harm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.split(b"weights", "x.bin", tmp_path / "out")
    part = next((tmp_path / "out").glob("*.part"))
    if harm == "missing":
        part.unlink()
    elif harm == "changed":
        part.write_bytes(b"wEights")
    assert (
        main(["join", str(tmp_path / ("out" if harm != "no manifest" else "elsewhere")), str(tmp_path / "back")]) == 2
    )
    assert_one_sentence(capsys.readouterr().err)
    assert not (tmp_path / "back" / "x.bin").exists()


def test_a_run_whose_last_decay_is_not_done_has_no_checkpoint(tmp_path: Path) -> None:
    timed.write_plan(tmp_path, [Decay(3, 2, 32, last=True)])
    with pytest.raises(ExplorerError, match="small copy") as caught:
        timed.checkpoint(tmp_path, "standard")
    assert_one_sentence(str(caught.value))


# --- the clock ----------------------------------------------------------------------------------------------------


def drive(timetable: Timetable, seconds: dict[int, float], finish: float = 8.0) -> SimpleNamespace:
    """A run whose steps take so many seconds at each size, by a clock that nobody waits for."""
    paces, planned, now, step = Paces(timetable.trial // 3), [], 100.0, 0
    while not timetable.is_over(now):
        paces.begin(112, now)
        if decay := timetable.due(step, planned, paces, now):
            planned.append(decay)
            now += 30.0 if not decay.last else 0.0  # compiled
            for _ in range(decay.steps):
                now += seconds[decay.size]
                paces.begin(decay.size, now)
            now += finish
            timetable.finish = finish
            if decay.last:
                return SimpleNamespace(trial=planned[0], last=decay, end=now, paces=paces)
        now += seconds[112]
        step += 1
    raise AssertionError("the run was stopped before its last decay")


@pytest.mark.parametrize("pace", [0.01, 0.05, 0.4])
def test_the_last_decay_ends_in_time_and_takes_its_share(pace: float) -> None:
    timetable = Timetable(224, first=70, trial=30, until=100.0 + 420)
    run = drive(timetable, {112: pace, 224: 4.5 * pace})
    assert run.trial == Decay(70, 30, 224)
    assert 520 - 0.05 * 420 < run.end <= 520
    assert run.last.steps * 4.5 * pace == pytest.approx(MARGIN * SHARE * 420, rel=0.05)
    assert run.paces.all() == pytest.approx({112: pace, 224: 4.5 * pace})


def test_a_run_that_takes_too_long_is_stopped_and_a_dry_one_is_not() -> None:
    timetable = Timetable(224, 70, 30, until=500.0)
    assert not timetable.is_over(500.0 + GRACE)
    assert timetable.is_over(501.0 + GRACE)
    assert not Timetable(224, 70, 30, until=500.0, steps=(5, 2)).is_over(10**6)


def test_a_run_out_of_time_leaves_small_copies_that_training_can_go_on_from(cut: Path, tmp_path: Path) -> None:
    run, out, back = decoded(cut, tmp_path / "run"), tmp_path / "out", tmp_path / "back"
    process = timed.train(run, out, -GRACE, None, DRY)
    assert {path.name for path in home.join(out, back)} == set(map(timed.copy_name, process.tracks))
    for name, track in process.tracks.items():
        read = weights.read(back / timed.copy_name(name))
        assert read.declared == {"step": 1, "core_seconds": track.core_seconds, "identity": track.identity}
        for key, value in kept.unpack(read.sets["model"]).items():
            average = track.average()[key]
            torch.testing.assert_close(value, average, atol=float(average.abs().max()) / 127, rtol=0)
    again = replace(process.run, folder=tmp_path / "again", resumed=back)
    assert kept.beginning(again, "twicing", process.tracks["twicing"].identity).step == 1


def test_a_model_is_warmed_up_by_its_steps(tiny: str) -> None:
    assert timed.warm("twicing", 32, 2, ["--architecture", tiny, *DRY]) > 0


def test_the_recipe_is_read_as_train_reads_it() -> None:
    options = timed.options_of(Path("run"), ["--lr", "1e-4"])
    recipe = timed.command._recipe(options, options.architecture, None)
    last_size = Schedule(**given(options, Schedule)).last_size
    assert (recipe.batch_size, recipe.lr, last_size, options.sharp) == (256, 1e-4, 224, True)
    images = np.array([recipe.operator_warmup * recipe.batch_size, 400 * 32])
    assert images[0] == images[1]
    assert recipe.ema_decay == pytest.approx(0.995 ** (256 / 32), abs=1e-4)


def test_the_commands_of_the_readme_are_those_of_the_script() -> None:
    text = (Path(home.__file__).parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert max(map(len, blocks)) < 2000
    commands = re.findall(
        r"-m docs\.gpu (.*?)(?:\s(?:2?>|\|)|;|#|$)", "\n".join(blocks).replace("\\\n", " "), re.MULTILINE
    )
    read = [_parser().parse_known_args(shlex.split(given.replace("$s", "224"))) for given in commands]
    assert {options.run.__name__ for options, _ in read} == {"_cut", "_decode", "_warm", "_train", "_home", "_join"}
    for options, extra in read:
        assert not extra or options.passes
        timed.options_of(Path("run"), extra)
