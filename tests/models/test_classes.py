"""Classes are found by name, id or number, and never guessed between two of one name; class lists are by index."""

from dataclasses import replace
from pathlib import Path

import pytest

from explorer.models import LoadedModel
from explorer.models.classes import ClassName, class_index, read_classes, select
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, write_class_list

OF_DATA = tuple(ClassName(f"n{i}", f"name {i}") for i in range(3))
NAMES = ("crane", "Cardigan", "cardigan", "hen", "Crane")


def test_a_class_by_name_id_or_number(loaded: LoadedModel) -> None:
    card = replace(loaded.card, classes=NAMES)
    assert [class_index(card, text) for text in ("Hen", "n3", "N4", " 2 ")] == [3, 3, 4, 2]


@pytest.mark.parametrize(("text", "ids"), [("crane", "n0, n4"), ("CARDIGAN", "n1, n2")])
def test_a_name_of_several_classes_is_refused_with_their_ids(loaded: LoadedModel, text: str, ids: str) -> None:
    with pytest.raises(ExplorerError, match=ids) as caught:
        class_index(replace(loaded.card, classes=NAMES), text)
    assert_one_sentence(str(caught.value))
    with pytest.raises(ExplorerError, match=ids.replace("n", "")):
        class_index(replace(loaded.card, classes=NAMES, wnids=()), text)


def test_class_list_keeps_the_first_name(tmp_path: Path) -> None:
    assert read_classes(write_class_list(tmp_path / "classes.tsv")) == OF_DATA[:2]


def test_a_class_list_without_tabs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.tsv").write_text("0 n0 cat\n", encoding="utf-8")
    with pytest.raises(ExplorerError, match=r"classes\.tsv needs lines"):
        read_classes(tmp_path / "classes.tsv")


def test_a_class_list_may_be_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "classes.tsv"
    path.write_text("2\tn2\tname 2\n0\tn0\tname 0\n1\tn1\tname 1\n", encoding="utf-8")
    assert read_classes(path) == OF_DATA


@pytest.mark.parametrize("second", ["0", "2", "one", "-1"])
def test_labels_without_a_class_are_refused(tmp_path: Path, second: str) -> None:
    path = tmp_path / "classes.tsv"
    path.write_text(f"0\tn0\tname 0\n{second}\tn1\tname 1\n", encoding="utf-8")
    with pytest.raises(ExplorerError, match=r"classes\.tsv needs the indices 0 to 1, each once"):
        read_classes(path)


def test_select_keeps_the_order_of_the_classes() -> None:
    assert select(OF_DATA, ["n2", "n0"]) == (0, 2)
    assert select(OF_DATA, None) == (0, 1, 2)


def test_select_names_unknown_classes() -> None:
    with pytest.raises(ExplorerError, match="n7, n9"):
        select(OF_DATA, ["n9", "n0", "n7"])
