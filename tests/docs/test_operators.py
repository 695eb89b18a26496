"""The README's tables of operators are what their command writes."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPERATORS = runpy.run_path(str(ROOT / "docs" / "make_operators.py"))


def test_the_tables_are_what_the_command_writes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert OPERATORS["written"](readme) == readme, "docs/make_operators.py writes it anew"
