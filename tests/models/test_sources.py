"""Which files a visitor may name: those in the folders of the server, and nothing that leads out of them.

Which pair opens: the bundled one, or the one that the operator of the server names.
"""

import shutil
from pathlib import Path

import pytest

from explorer.models import load, sources
from explorer.models.named import load_named
from explorer.places import pair_file
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = tmp_path / "mine"
    inside.mkdir()
    monkeypatch.setenv(sources.VARIABLE, str(inside))
    return inside


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundled folder in which nothing lies yet, where no variable names another pair or folder."""
    inside = tmp_path / "checkpoints"
    inside.mkdir()
    monkeypatch.setattr(sources, "BUNDLED", inside)
    for variable in (sources.VARIABLE, sources.PAIR_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return inside


def write(prefix: Path, *variants: str) -> Path:
    """Empty files of a pair."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for variant in variants or sources.VARIANTS:
        Path(f"{prefix}-{variant}.safetensors").touch()
    return prefix


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["standard", "twicing"])
def test_others_beside_the_bundled_pair_do_not_take_its_place(variant: str, own: Path) -> None:
    (own / f"another-{variant}.safetensors").touch()
    for asked in (sources.bundled, sources.opening):
        with pytest.raises(ExplorerError, match=f"The bundled {variant} model was expected") as caught:
            asked(variant)
        assert_one_sentence(str(caught.value))
    path = own / f"{sources.BUNDLED_PAIR}-{variant}.safetensors"
    path.touch()
    assert sources.bundled(variant) == sources.opening(variant) == path


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


# --- the pair that opens ------------------------------------------------------------------------------------------


def test_without_a_variable_the_bundled_pair_opens(own: Path) -> None:
    write(own / sources.BUNDLED_PAIR)
    assert sources.opens_bundled()
    assert sources.prefix() == own / sources.BUNDLED_PAIR
    assert [sources.opening(variant) for variant in sources.VARIANTS] == list(map(sources.bundled, sources.VARIANTS))


def test_a_variable_names_another_pair_by_what_its_files_begin_with(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(own / sources.BUNDLED_PAIR)
    mine = write(tmp_path / "weights" / "mine")
    expected = [tmp_path / "weights" / f"mine-{variant}.safetensors" for variant in sources.VARIANTS]
    monkeypatch.chdir(tmp_path / "weights")
    for given in (str(mine), "mine", "../weights/mine"):
        monkeypatch.setenv(sources.PAIR_VARIABLE, given)
        assert not sources.opens_bundled()
        assert [sources.opening(variant) for variant in sources.VARIANTS] == expected
        assert sources.labels() == ("weights/mine-standard.safetensors", "weights/mine-twicing.safetensors")


def test_an_empty_variable_is_none(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.PAIR_VARIABLE, "")
    assert sources.opens_bundled()


def test_the_variable_may_name_the_bundled_pair(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also through a link: cards and records call its files by the folder's own name."""
    (tmp_path / "link").symlink_to(own)
    for place in (own, tmp_path / "link"):
        monkeypatch.setenv(sources.PAIR_VARIABLE, str(place / sources.BUNDLED_PAIR))
        assert sources.opens_bundled()
        assert all(label.startswith("checkpoints/") for label in sources.labels())


@pytest.mark.parametrize("given", ["absent/mine", "whole/mine-standard.safetensors", "whole/", "/", "half/mine"])
def test_a_pair_that_is_not_there_is_one_sentence_that_names_the_variable(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    write(own / sources.BUNDLED_PAIR)
    write(tmp_path / "whole" / "mine")
    write(tmp_path / "half" / "mine", "standard")
    monkeypatch.setenv(sources.PAIR_VARIABLE, given if given == "/" else f"{tmp_path}/{given}")
    for ask in (lambda: sources.opening("twicing"), sources.to_load, lambda: load_named(None, "twicing", "cpu")):
        with pytest.raises(ExplorerError, match=sources.PAIR_VARIABLE) as caught:
            ask()
        assert_one_sentence(str(caught.value))
    assert f"checkpoints/{sources.BUNDLED_PAIR}-twicing.safetensors" in sources.files()


def test_a_server_loads_the_bundled_pair_first_and_what_else_its_folder_holds(own: Path) -> None:
    write(own / sources.BUNDLED_PAIR)
    for other in ("another", "zebra"):
        write(own / other)
    assert [path.name.rpartition("-")[0] for path in sources.to_load()] == [
        *[sources.BUNDLED_PAIR] * 2, *["another"] * 2, *["zebra"] * 2
    ]  # fmt: skip


def test_a_server_of_another_pair_loads_nothing_else(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where that pair lies in the bundled folder; what lies there can still be chosen by its label."""
    write(own / sources.BUNDLED_PAIR)
    write(tmp_path / "weights" / "other")
    for mine in (write(tmp_path / "weights" / "mine"), write(own / "mine")):
        monkeypatch.setenv(sources.PAIR_VARIABLE, str(mine))
        assert sources.to_load() == [Path(f"{mine}-{variant}.safetensors") for variant in sources.VARIANTS]
        assert {*sources.labels(), f"checkpoints/{sources.BUNDLED_PAIR}-twicing.safetensors"} <= set(sources.files())
        assert not [label for label in sources.files() if "other" in label]


def test_the_label_of_the_pair_that_opens_is_its_own(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of a file in a folder of the same name."""
    write(own / "mine")
    mine = write(tmp_path / "elsewhere" / "checkpoints" / "mine")
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(mine))
    assert [sources.files()[label] for label in sources.labels()] == list(map(sources.opening, sources.VARIANTS))


def test_what_a_run_keeps_below_the_folder_is_never_loaded(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training run keeps its state in `checkpoints/run`: neither a server nor a visitor opens it."""
    write(own / sources.BUNDLED_PAIR)
    for name in ("state-standard.safetensors", f"{sources.BUNDLED_PAIR}-standard.safetensors", "last.pth"):
        (own / "run" / "deeper").mkdir(parents=True, exist_ok=True)
        (own / "run" / name).touch()
        (own / "run" / "deeper" / name).touch()
    mine = write(tmp_path / "weights" / "mine")
    write(tmp_path / "weights" / "run" / "mine")
    for given in ("", str(mine)):
        monkeypatch.setenv(sources.PAIR_VARIABLE, given)
        assert not [path for path in [*sources.to_load(), *sources.files().values()] if "run" in path.parts]


def test_a_model_that_nobody_names_is_that_of_the_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As trained: by its file, and under the label of that file."""
    for variant in sources.VARIANTS:
        shutil.copy(sources.opening(variant), tmp_path / f"mine-{variant}.safetensors")
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(tmp_path / "mine"))
    for variant in sources.VARIANTS:
        card = load_named(None, variant, "cpu").card
        assert card == load(tmp_path / f"mine-{variant}.safetensors").card
        assert card.source == f"{tmp_path.name}/mine-{variant}.safetensors"
        assert load_named(card.source, "standard", "cpu").card == card


def test_the_bundled_pair_opens_at_its_clearest_layer_and_others_at_the_last() -> None:
    bundled = [sources.label(pair_file(sources.BUNDLED / sources.BUNDLED_PAIR, v)) for v in sources.VARIANTS]
    assert sources.opening_layer(bundled) == sources.CLEAREST_LAYER
    assert sources.opening_layer([bundled[0], "elsewhere/mine-twicing.safetensors"]) is None
    assert sources.opening_layer(["unknown", "unknown"]) is None
