"""Which results of attacks are offered: those that lie beside the pair that opens."""

from pathlib import Path

import pytest

from explorer.models import sources
from explorer.runs import measured


def write(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of several pairs' results, in a folder and below it."""
    folder = tmp_path / "weights"
    names = ("mine-fgsm.jsonl", "mine-pgd.jsonl", "mine-2-fgsm.jsonl", "other-pgd.jsonl", "mine-log.jsonl")
    write(folder, *names)
    write(folder / "run", *names)
    return folder


def test_beside_a_pair_that_is_named_its_own_count(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(weights / "mine"))
    assert measured.files() == {
        f"weights/mine-{kind}.jsonl": weights / f"mine-{kind}.jsonl" for kind in ("fgsm", "pgd")
    }
    assert measured.results() == {}  # files that hold nothing are left out
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(weights / "[mn]ine"))
    assert measured.files() == {}


def test_a_run_that_has_no_image_yet_is_left_out(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header is complete, and nothing of it can be drawn."""
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(weights / "mine"))
    written = Path(__file__).parents[2] / "docs" / "pairs" / "deit-tiny-patch8-64-20c" / "pgd.jsonl"
    header, row, *_ = written.read_text().splitlines(keepends=True)
    (weights / "mine-pgd.jsonl").write_text(header)
    assert measured.results() == {}
    (weights / "mine-pgd.jsonl").write_text(header + row)
    assert list(measured.results()) == ["weights/mine-pgd.jsonl"]


def test_in_the_bundled_folder_those_of_every_pair_count(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that was trained into it may be chosen there, and each result says whose it is."""
    monkeypatch.delenv(sources.PAIR_VARIABLE)
    monkeypatch.setattr(sources, "BUNDLED", weights)
    assert list(measured.files()) == [
        f"weights/{name}.jsonl" for name in ("mine-2-fgsm", "mine-fgsm", "mine-pgd", "other-pgd")
    ]


def test_the_results_beside_the_pair_of_the_suite_are_read() -> None:
    assert list(measured.results()) == list(measured.files())
    assert [one.attack.kind.label for one in measured.results().values()] == ["FGSM", "PGD"]
