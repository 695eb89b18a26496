"""The README's tree is what the docstrings say."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREE = runpy.run_path(str(ROOT / "docs" / "make_tree.py"))


def test_the_tree_is_that_of_the_docstrings() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert TREE["written"](readme) == readme, "docs/make_tree.py writes it anew"


def test_every_room_has_its_line() -> None:
    rooms = {
        path.stem for path in (ROOT / "explorer").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set(TREE["rooms"]()) == rooms - {"__init__", "__main__"}


def test_a_room_that_says_nothing_is_refused(tmp_path: Path) -> None:
    path = ROOT / "tests" / "docs" / "__init__.py"
    with pytest.raises(SystemExit, match="expected to say in a docstring"):
        TREE["entry"]("empty", path)
