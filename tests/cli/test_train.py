"""The command line on tiny data: train, evaluate, and what it says when something is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from explorer import cli, places
from explorer.cli import train as train_command
from explorer.models import checkpoints, starts, weights
from explorer.training import plan, processes
from explorer.training.processes import Ending
from explorer.training.run import Process
from explorer.training.settings import TrainingRun
from tests.conftest import MakeModel
from tests.helpers import assert_one_sentence, quadratics, write_class_list, write_folder, write_parquet

Train = Callable[..., int]


@pytest.fixture(autouse=True)
def plain_generators() -> None:
    torch.manual_seed(0)


@pytest.fixture
def train(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Runs `train` on small Parquet data, in this process and to a decay at step 4; options given here win.

    `None` takes an option away.
    """
    classes = write_class_list(tmp_path / "classes.tsv", 3)
    images = write_parquet(tmp_path / "images.parquet", [0, 1, 2, 0, 1, 2])
    base = {
        "--train": images,
        "--val": images,
        "--classes": classes,
        "--source-size": 32,
        "--architecture": tiny,
        "--operators": "standard,twicing@2-2",
        "--sizes": "16,32@1",
        "--batch-size": 4,
        "--run-folder": tmp_path / "run",
        "--prefix": "tiny",
        "--title": "Tiny",
        "--data-note": "noise, free for all",
        "--device": "cpu",
    }
    monkeypatch.setattr(processes, "train", in_this_process)

    def run(**changes: object) -> int:
        options = base | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
        given = (str(part) for pair in options.items() if pair[1] is not None for part in pair)
        return cli.main(["train", *given])

    return run


def in_this_process(run: TrainingRun, ending: Ending, say: Callable[[str], None]) -> None:
    decay = {"at": 4, "steps": 2, "size": 32, "last": True}
    (run.folder / "plan.json").write_text(json.dumps([decay]))
    Process(run, list(run.operators)).train()
    say(f"{ending.core_hours} {ending.steps} {ending.size}")


def evaluate(path: Path, *data: Path, classes: Path | None = None) -> int:
    arguments = ["evaluate", str(path), "--data", *map(str, data), "--source-size", "32", "--device", "cpu"]
    return cli.main([*arguments, "--classes", str(classes)] if classes else arguments)


def assert_refused(code: int, capsys: pytest.CaptureFixture[str], *named: str) -> None:
    assert code == 2
    err = capsys.readouterr().err
    assert err.startswith("explorer: ")
    assert_one_sentence(err)
    assert all(word in err for word in named), err


def written(tmp_path: Path, name: str) -> Path:
    return tmp_path / "run" / name / "decay-4" / f"tiny-{name}.safetensors"


def test_train_writes_what_evaluate_reads(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(wnids="n0,n2") == 0
    capsys.readouterr()
    for variant, name in (("standard", "Tiny"), ("twicing-2-2", "Tiny-Twicing-2-2")):
        path = written(tmp_path, variant)
        assert evaluate(path, tmp_path / "images.parquet", classes=tmp_path / "classes.tsv") == 0
        said = capsys.readouterr().out
        card = checkpoints.load(path).card
        assert said.startswith(f"{name}: top-1 {card.top1:.2f}%")
        assert "4 images, chance 50.0%" in said


def test_train_declares_what_it_did(train: Train, tmp_path: Path, tiny: str) -> None:
    assert train(lr=2e-3, operator_warmup=3) == 0
    card = checkpoints.load(written(tmp_path, "twicing-2-2")).card
    assert (card.architecture, card.filter, card.wnids) == (tiny, quadratics(1.0, 2.0), ("n0", "n1", "n2"))
    assert (card.data, card.license) == ("noise, free for all", "not declared")
    for words in (
        "lr 0.002,",
        "sizes 16 from epoch 0, 32 from epoch 1,",
        "operator warmup 3,",
        "16 images at a constant",
    ):
        assert words in card.recipe
    assert "augmentation: scale 0.5 to 1," in card.recipe
    assert card.preprocessing.source_size is None  # of the input's size themselves
    assert card.git_revision


@pytest.mark.parametrize(("sharp", "source"), [(False, (16, 16)), (True, None)])
def test_photographs_pass_through_the_training_images_size_unless_told(
    train: Train, tmp_path: Path, sharp: bool, source: tuple[int, int] | None
) -> None:
    options = {"source_size": 16, **({"sharp": ""} if sharp else {})}
    assert cli_with_flags(train, options) == 0
    assert checkpoints.load(written(tmp_path, "standard")).card.preprocessing.source_size == source


def cli_with_flags(train: Train, options: dict[str, object]) -> int:
    """`train` with flags that take no value."""
    original = cli.main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "main", lambda given: original([part for part in given if part]))
        return train(**options)


def test_train_starts_from_imported_weights(train: Train, tmp_path: Path, make_model: MakeModel, tiny: str) -> None:
    """With the origin and the licence of the start, its architecture, and a head of its own."""
    body = {key: value for key, value in make_model().state_dict().items() if not key.startswith("head.")}
    origin, changes = "Somebody's model", ("folded",)
    starts._write(tmp_path / "start.safetensors", starts.Start(tiny, body, origin, "CC0", changes, "x", "y", ""))
    assert train(init=tmp_path / "start.safetensors", architecture=None, probe=1, lr=1e-9) == 0
    loaded = checkpoints.load(written(tmp_path, "standard"))
    assert loaded.card.license == "CC0"
    digest = starts.load_start(tmp_path / "start.safetensors").digest
    assert digest in loaded.card.recipe
    declared = weights.read(written(tmp_path, "standard")).declared
    assert declared is not None
    assert declared["origin"] == "Somebody's model; folded"
    state = loaded.module.state_dict()
    torch.testing.assert_close(state["blocks.0.attn.qkv.weight"], body["blocks.0.attn.qkv.weight"], rtol=0, atol=1e-3)
    assert state["head.weight"].any()


def test_a_run_says_how_it_ends(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(core_hours=1.5, last_decay=21, last_size=16) == 0
    assert capsys.readouterr().out == "1.5 5 16\n"


def test_branch_plans_a_decay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "standard").mkdir()
    line = {"step": 20, "decay": None}
    (tmp_path / "standard" / "log.jsonl").write_text(json.dumps(line) + "\n")
    assert cli.main(["branch", str(tmp_path), "--steps", "7", "--last"]) == 0
    assert capsys.readouterr().out == "A decay of 7 steps at 224 px begins at step 80.\n"
    assert plan.decays(tmp_path)[0].last
    assert_refused(cli.main(["branch", str(tmp_path), "--steps", "7"]), capsys, "already planned")


@pytest.mark.parametrize("words", [["--steps", "1000000000"], ["--steps", "0"], ["--steps", "7", "--size", "100000"]])
def test_branch_refuses_numbers_beyond_any_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "standard").mkdir()
    (tmp_path / "standard" / "log.jsonl").write_text(json.dumps({"step": 20, "decay": None}) + "\n")
    assert_refused(cli.main(["branch", str(tmp_path), *words]), capsys, "1 to ")
    assert plan.decays(tmp_path) == []


def test_keep_writes_what_resume_reads(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    capsys.readouterr()
    assert cli.main(["keep", str(tmp_path / "run"), "--out", str(tmp_path / "kept")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "kept" / f"{name}.int8.safetensors") for name in ("standard", "twicing-2-2")
    ]
    again = tmp_path / "again"
    assert train(run_folder=again, resume=tmp_path / "kept") == 0
    assert torch.load(again / "standard" / "state.pt", weights_only=True)["since"] == 4


def test_keep_refuses_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(cli.main(["keep", str(tmp_path), "--out", str(tmp_path / "kept")]), capsys, tmp_path.name)


def test_evaluate_reads_a_folder(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "data", [f"n{i}" for i in range(5)])
    assert evaluate(checkpoint, folder) == 0
    assert "10 images, chance 20.0%" in capsys.readouterr().out


def test_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    assert "train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "option"),
    [("train", "--device"), ("evaluate", "--device"), ("branch", "--steps"), ("keep", "--out")],
)
def test_help_of_commands_is_printed(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert option in capsys.readouterr().out


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fly"])
    assert stopped.value.code == 2
    assert "fly" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"architecture": "resnet50"}, "resnet50"),
        ({"operators": "twicing@1-12"}, "[1-12]"),
        ({"operators": "twicing@0-0"}, "[0-0]"),
        ({"operators": "standard,last"}, "last"),
        ({"sizes": "16@1"}, "epoch 0"),
        ({"sizes": "16,large"}, "large"),
        ({"batch_size": "3"}, "even"),
        ({"wnids": "n0,n9"}, "n9"),
        ({"source_size": "-5"}, "source_size: 1 to 1024 was expected; -5 came."),
        ({"source_size": "100000"}, "source_size: 1 to 1024"),
        ({"sizes": "100000"}, "sizes: 1 to 1024"),
        ({"warmup_steps": "1000000000"}, "warmup_steps"),
        ({"evaluate_every": "0"}, "evaluate_every"),
        ({"core_hours": "nan"}, "core_hours"),
        ({"last_decay": "100000000000"}, "last_decay"),
        ({"last_size": "100000"}, "last_size"),
        ({"scale": "0"}, "scale"),
    ],
)
def test_train_refuses_what_does_not_fit(
    train: Train, capsys: pytest.CaptureFixture[str], changes: dict[str, str], named: str
) -> None:
    assert_refused(train(**changes), capsys, named)


@pytest.mark.parametrize("option", ["train", "val", "classes", "init"])
def test_train_refuses_files_that_are_not_there(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert_refused(train(**{option: tmp_path / "absent.safetensors"}), capsys, "absent.safetensors")


def test_train_refuses_data_that_is_no_parquet(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"not Parquet")
    assert_refused(train(train=tmp_path / "bad.parquet"), capsys, "bad.parquet")


def test_train_refuses_an_unknown_device(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(train(device="toaster"), capsys, "toaster")


def test_the_folder_of_the_run_need_not_exist(train: Train, tmp_path: Path) -> None:
    assert train(run_folder=tmp_path / "new" / "run") == 0
    assert (tmp_path / "new" / "run" / "standard" / "decay-4" / "tiny-standard.safetensors").exists()


def test_train_refuses_another_recipe_in_the_same_folder(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    assert_refused(train(lr=1e-3), capsys, "another recipe")


def test_evaluate_refuses_data_of_other_classes(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(evaluate(checkpoint, write_folder(tmp_path / "data", ("cats", "dogs"))), capsys, "cats")


def test_evaluate_refuses_parquet_without_a_class_list(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(evaluate(checkpoint, write_parquet(tmp_path / "x.parquet", [0])), capsys, "class list")


def test_evaluate_refuses_a_folder_that_is_not_there_by_name(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(evaluate(checkpoint, tmp_path / "absent"), capsys, "absent")


def test_evaluate_refuses_a_broken_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.write_bytes(b"")
    assert_refused(evaluate(checkpoint, tmp_path), capsys, checkpoint.name)


def test_evaluate_refuses_a_missing_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(evaluate(tmp_path / "absent.safetensors", tmp_path), capsys, "absent.safetensors")


def test_what_was_installed_names_no_revision_of_a_repository_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SITE", Path(places.__file__).parent / "site")
    assert train_command._revision() == "unknown"
