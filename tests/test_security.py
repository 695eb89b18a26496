"""SECURITY.md: every line of the threat model is held by a test that exists, or is said to be the operator's."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lines() -> list[list[str]]:
    """The cells of the table's lines, without its head."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"][2:]


def names() -> set[str]:
    """The names of all tests."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py")]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_line_is_held_by_a_test_or_is_the_operators() -> None:
    known = names()
    assert len(lines()) > 15
    for who, _, where, held in lines():
        named = re.findall(r"`(test_\w+)`", held)
        assert set(named) <= known, who
        assert named or held.startswith("the operator"), who
        assert set(where.split(", ")) <= {"all", "laptop", "class", "net"}, who


def test_the_documents_name_every_switch() -> None:
    """What an operator can set is in the page that an operator reads."""
    from explorer.models import hub, packed
    from explorer.serving import cache
    from explorer.ui.models import panel
    from explorer.ui.shell import guards, logs, uploads

    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    limits = (cache.VARIABLE, uploads.VISITOR, uploads.SERVER, hub.SIZE_VARIABLE, hub.NAMES_VARIABLE)
    for name in (*limits, panel.LOCKED_VARIABLE, packed.VARIABLE, guards.METRICS, logs.LOG):
        assert f"`{name}" in text
