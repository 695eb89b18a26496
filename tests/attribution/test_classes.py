"""Classes are found by name, id or number, and never guessed between two of one name."""

from dataclasses import replace

import pytest

from explorer.attribution.classes import class_index
from explorer.models import LoadedModel
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

NAMES = ("crane", "Cardigan", "cardigan", "hen", "Crane")


def test_a_class_by_name_id_or_number(loaded: LoadedModel) -> None:
    card = replace(loaded.card, classes=NAMES)
    assert [class_index(card, 5, text) for text in ("Hen", "n3", "N4", " 2 ")] == [3, 3, 4, 2]


@pytest.mark.parametrize(("text", "ids"), [("crane", "n0, n4"), ("CARDIGAN", "n1, n2")])
def test_a_name_of_several_classes_is_refused_with_their_ids(loaded: LoadedModel, text: str, ids: str) -> None:
    with pytest.raises(ExplorerError, match=ids) as caught:
        class_index(replace(loaded.card, classes=NAMES), 5, text)
    assert_one_sentence(str(caught.value))
    with pytest.raises(ExplorerError, match=ids.replace("n", "")):
        class_index(replace(loaded.card, classes=NAMES, wnids=()), 5, text)
