"""The README's tables of operators: of the registries, and of what was measured on the weights that ship."""

import runpy
from pathlib import Path

import pytest

from explorer.models import load, sources

ROOT = Path(__file__).parents[2]
OPERATORS = runpy.run_path(str(ROOT / "docs" / "make_operators.py"))


def test_the_tables_are_what_the_command_writes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert OPERATORS["written"](readme) == readme, "docs/make_operators.py writes it anew"


@pytest.mark.shipped
def test_every_operator_was_measured_on_the_weights_that_ship() -> None:
    assert OPERATORS["stale"]() == []
    known = OPERATORS["measured"]()
    assert known["weights"]["sha256"] == load(sources.bundled("standard")).card.digest
    for word, row in known["operators"].items():
        assert row["images"] == known["images"] >= 100, word
        assert 0 <= row["hits"] <= row["images"], word
        assert -1 <= row["mean"] <= 1, word
