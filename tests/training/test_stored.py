"""Data is decoded once, and again when its files or what is wanted of them change."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from explorer.models.classes import read_classes
from explorer.training import data, stored
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, write_class_list, write_folder, write_parquet


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a split was decoded so far."""
    calls: list[object] = []
    original = data.load

    def counted(*given: object) -> data.Dataset:
        calls.append(given)
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(data, "load", counted)
    return lambda: len(calls)


@pytest.mark.parametrize("kind", ["parquet", "folder"])
def test_what_is_opened_is_what_was_loaded(tmp_path: Path, kind: str) -> None:
    classes = read_classes(write_class_list(tmp_path / "classes.tsv")) if kind == "parquet" else None
    source = write_parquet(tmp_path / "x.parquet", [0, 1, 1]) if classes else write_folder(tmp_path / "x")
    stored.store(tmp_path / "stored", [source], 16, classes, None)
    opened, expected = stored.open_stored(tmp_path / "stored"), data.load([source], 16, classes, None)
    assert torch.equal(opened.images, expected.images)
    assert torch.equal(opened.labels, expected.labels)
    assert opened.classes == expected.classes


def test_data_is_decoded_once(tmp_path: Path, decoded: Callable[[], int]) -> None:
    folder = write_folder(tmp_path / "data")
    for _ in range(2):
        stored.store(tmp_path / "stored", [folder], 16, None, None)
    assert decoded() == 1


@pytest.mark.parametrize("change", ["size", "wnids", "file", "time", "more"])
def test_what_changed_is_decoded_again(tmp_path: Path, decoded: Callable[[], int], change: str) -> None:
    folder = write_folder(tmp_path / "data")
    stored.store(tmp_path / "stored", [folder], 16, None, None)
    if change == "file":
        (folder / "n0" / "0.png").write_bytes((folder / "n1" / "0.png").read_bytes() + b" ")
    if change == "time":
        os.utime(folder / "n0" / "0.png", ns=(1, 1))
    if change == "more":
        (folder / "n0" / "9.png").write_bytes((folder / "n1" / "0.png").read_bytes())
    wnids = ["n0"] if change == "wnids" else None
    stored.store(tmp_path / "stored", [folder], 8 if change == "size" else 16, None, wnids)
    assert decoded() == 2
    expected = data.load([folder], 8 if change == "size" else 16, None, wnids)
    assert torch.equal(stored.open_stored(tmp_path / "stored").images, expected.images)


def test_writing_to_what_was_opened_leaves_the_file(tmp_path: Path) -> None:
    stored.store(tmp_path / "stored", [write_folder(tmp_path / "data")], 16, None, None)
    before = (tmp_path / "stored" / "images.npy").read_bytes()
    stored.open_stored(tmp_path / "stored").images.zero_()
    assert (tmp_path / "stored" / "images.npy").read_bytes() == before


def test_files_that_are_not_there_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match=r"absent\.parquet"):
        stored.store(tmp_path / "stored", [tmp_path / "absent.parquet"], 16, (), None)


@pytest.mark.parametrize("name", ["source.json", "images.npy", "labels.npy"])
@pytest.mark.parametrize("damage", [os.mkfifo, lambda path: path.write_bytes(b"[]"), lambda path: None])
def test_what_was_damaged_is_a_sentence(tmp_path: Path, name: str, damage: Callable[[Path], object]) -> None:
    source, folder = write_folder(tmp_path / "x"), tmp_path / "stored"
    stored.store(folder, [source], 16, None, None)
    (folder / name).unlink()
    damage(folder / name)
    with pytest.raises(ExplorerError) as caught:
        stored.open_stored(folder)
    assert_one_sentence(str(caught.value))


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "stored"
    folder.mkdir()
    for name in ("images.npy", "labels.npy", "source.json"):
        (folder / f".{name}.0123abcd").write_bytes(b"half")
    stored.store(folder, [write_folder(tmp_path / "x")], 16, None, None)
    assert sorted(path.name for path in folder.iterdir()) == ["images.npy", "labels.npy", "source.json"]
