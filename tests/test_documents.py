"""What the documents show works: the notebook runs from top to bottom, the card holds what was measured."""

import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from explorer.measures import similarity
from explorer.pictures import examples
from explorer.serving.pair import load_pair
from tests.pair import facts

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.usefixtures("shipped")


@pytest.mark.filterwarnings("ignore::Warning")  # of the kernel's client, none of ours
def test_the_notebook_runs_from_top_to_bottom() -> None:
    notebook = nbformat.read(ROOT / "docs" / "explorer.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept: they would grow old"
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    shown = [data for cell in notebook.cells for output in cell.get("outputs", []) if (data := output.get("data"))]
    assert sum("image/png" in data for data in shown) == 2
    assert any("<iframe" in data.get("text/html", "") for data in shown)


def test_the_card_holds_what_was_measured() -> None:
    """The tables of the card are those of the files beside it, which are of the very weights that ship."""
    card = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    make_card = runpy.run_path(str(ROOT / "docs" / "make_card.py"))
    assert make_card["written"](card) == card
    assert make_card["stale"]() == []


def test_the_card_counts_real_eigenvalues_among_those_that_are_not_zero() -> None:
    make_card = runpy.run_path(str(ROOT / "docs" / "make_card.py"))
    counts = {"count": 1000, "vanishing": 200, "on_curve": 100, "leaving": 3, "largest": 2.5}
    table = make_card["eigenvalues"]({"models": [{"eigenvalues": counts}, {"eigenvalues": {**counts, "vanishing": 0}}]})
    assert "| not to be told from 0 in float32 | 20.0% | 0.0% |" in table
    assert "| real and not negative, of the others | 12.5% | 10.0% |" in table


def test_what_the_card_says_of_the_operator_alone_holds() -> None:
    """On the standard model's own weights twicing leaves outputs less alike, in every block and for every example."""
    pair = load_pair(device="cpu")
    for example in examples.EXAMPLES:
        _, once, twiced = similarity.operator_alone(pair.compare(f"example:{example.file}").baseline)
        assert similarity.order(twiced, once).below == tuple(range(1, facts().depth + 1))
