"""The command line on tiny data: train, evaluate, and what it says when something is wrong."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from explorer import cli
from explorer.models import checkpoints
from tests.helpers import assert_one_sentence, write_class_list, write_folder, write_parquet

Train = Callable[..., int]


@pytest.fixture(autouse=True)
def plain_generators() -> None:
    torch.manual_seed(0)


@pytest.fixture
def train(tiny: str, tmp_path: Path) -> Train:
    """Runs `train` on small Parquet data; options given here come last and win."""
    classes = write_class_list(tmp_path / "classes.tsv", 3)
    images = write_parquet(tmp_path / "images.parquet", [0, 1, 2, 0, 1, 2])
    out = tmp_path / "out"
    out.mkdir()
    base = {
        "--train": images,
        "--val": images,
        "--classes": classes,
        "--source-size": 32,
        "--architecture": tiny,
        "--layers": "2",
        "--epochs": 2,
        "--small-epochs": 1,
        "--small-size": 16,
        "--batch-size": 4,
        "--run-folder": tmp_path / "run",
        "--out": out,
        "--prefix": "tiny",
        "--title": "Tiny",
        "--data-note": "noise, free for all",
        "--device": "cpu",
    }

    def run(**changes: object) -> int:
        options = base | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
        return cli.main(["train", *(str(part) for pair in options.items() for part in pair)])

    return run


def evaluate(path: Path, *data: Path, classes: Path | None = None) -> int:
    arguments = ["evaluate", str(path), "--data", *map(str, data), "--source-size", "32", "--device", "cpu"]
    return cli.main([*arguments, "--classes", str(classes)] if classes else arguments)


def assert_refused(code: int, capsys: pytest.CaptureFixture[str], *named: str) -> None:
    assert code == 2
    err = capsys.readouterr().err
    assert err.startswith("explorer: ")
    assert_one_sentence(err)
    assert all(word in err for word in named), err


def test_train_writes_what_evaluate_reads(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(wnids="n0,n2") == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "tiny-log.csv",
        "tiny-standard.safetensors",
        "tiny-twicing.safetensors",
    ]
    assert "4 training and 4 validation images of 2 classes" in capsys.readouterr().out
    for variant, name in (("standard", "Tiny"), ("twicing", "Tiny-Twicing")):
        path = out / f"tiny-{variant}.safetensors"
        assert evaluate(path, tmp_path / "images.parquet", classes=tmp_path / "classes.tsv") == 0
        said = capsys.readouterr().out
        card = checkpoints.load(path).card
        assert said.startswith(f"{name}: top-1 {card.top1:.2f}%")
        assert "4 images, chance 50.0%" in said


def test_train_declares_what_it_did(train: Train, tmp_path: Path, tiny: str) -> None:
    assert train() == 0
    card = checkpoints.load(tmp_path / "out" / "tiny-twicing.safetensors").card
    assert (card.architecture, card.filter, card.wnids) == (tiny, (1.0, 2.0), ("n0", "n1", "n2"))
    assert card.data == "noise, free for all"
    assert "epochs 2" in card.recipe
    assert "augmentation: scale 0.35 to 1," in card.recipe
    assert card.git_revision
    rows = list(csv.DictReader((tmp_path / "out" / "tiny-log.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]


def test_evaluate_reads_a_folder(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "data", [f"n{i}" for i in range(5)])
    assert evaluate(checkpoint, folder) == 0
    assert "10 images, chance 20.0%" in capsys.readouterr().out


def test_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    assert "train" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_help_of_commands_is_printed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert "--device" in capsys.readouterr().out


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fly"])
    assert stopped.value.code == 2
    assert "fly" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"architecture": "resnet50"}, "resnet50"),
        ({"layers": "1-12"}, "[1-12]"),
        ({"layers": "0"}, "[0-0]"),
        ({"wnids": "n0,n9"}, "n9"),
    ],
)
def test_train_refuses_what_does_not_fit(
    train: Train, capsys: pytest.CaptureFixture[str], changes: dict[str, str], named: str
) -> None:
    assert_refused(train(**changes), capsys, named)


def test_train_refuses_layers_that_are_no_numbers(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(train(layers="last"), capsys, "last")


@pytest.mark.parametrize("option", ["train", "val", "classes"])
def test_train_refuses_files_that_are_not_there(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert_refused(train(**{option: tmp_path / "absent.data"}), capsys, "absent.data")


def test_train_refuses_data_that_is_no_parquet(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"not Parquet")
    assert_refused(train(train=tmp_path / "bad.parquet"), capsys, "bad.parquet")


def test_train_refuses_an_unknown_device(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(train(device="toaster"), capsys, "toaster")


def test_the_folder_of_the_checkpoints_need_not_exist(train: Train, tmp_path: Path) -> None:
    """Found out after the last epoch, a missing folder would cost the person a night."""
    assert train(out=tmp_path / "new" / "out") == 0
    assert (tmp_path / "new" / "out" / "tiny-twicing.safetensors").exists()


def test_train_refuses_another_recipe_in_the_same_folder(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(epochs=1) == 0
    assert_refused(train(epochs=2), capsys, "another recipe")


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
