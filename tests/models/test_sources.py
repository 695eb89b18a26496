"""Which files a visitor may name: those in the folders of the server, and nothing that leads out of them."""

from pathlib import Path

import pytest

from explorer.models import sources
from explorer.types import ExplorerError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = tmp_path / "mine"
    inside.mkdir()
    monkeypatch.setenv(sources.VARIABLE, str(inside))
    return inside


def test_the_bundled_checkpoints_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sources.VARIABLE, raising=False)
    assert sources.folders() == [sources.BUNDLED]
    assert len(sources.files()) >= 2
    assert all(label.startswith("checkpoints/") for label in sources.files())


@pytest.mark.parametrize("variant", ["standard", "twicing"])
def test_others_beside_the_bundled_pair_do_not_take_its_place(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BUNDLED", tmp_path)
    (tmp_path / f"another-{variant}.safetensors").touch()
    with pytest.raises(ExplorerError, match=f"The bundled {variant} model was expected"):
        sources.bundled(variant)
    path = tmp_path / f"{sources.BUNDLED_PAIR}-{variant}.safetensors"
    path.touch()
    assert sources.bundled(variant) == path


def test_files_of_weights_are_listed_and_nothing_else(folder: Path) -> None:
    for name in ("a.safetensors", "b.pth", "c.pt", "notes.txt", "d.json"):
        (folder / name).touch()
    (folder / "folder.pth").mkdir()
    mine = {label for label in sources.files() if label.startswith("mine/")}
    assert mine == {"mine/a.safetensors", "mine/b.pth", "mine/c.pt"}


def test_links_out_of_the_folder_are_left_out(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.pth"
    secret.touch()
    (folder / "out.pth").symlink_to(secret)
    (folder / "gone.pth").symlink_to(tmp_path / "nowhere.pth")
    (folder / "real.pth").touch()
    (folder / "inside.pth").symlink_to(folder / "real.pth")
    assert {label for label in sources.files() if label.startswith("mine/")} == {"mine/real.pth", "mine/inside.pth"}


def test_several_folders_and_equal_names(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other" / "mine"
    other.mkdir(parents=True)
    for place in (folder, other):
        (place / "same.pth").write_text(str(place))
    monkeypatch.setenv(sources.VARIABLE, f"{folder}:{other}")
    assert sources.files()["mine/same.pth"] == folder / "same.pth"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(ExplorerError, match="absent is none"):
        sources.files()
