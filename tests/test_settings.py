"""Choices and records of settings: one spelling, one label, one sentence for what is wrong."""

import json
import math
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from explorer.settings import Option, check, converted, kinds, read, setting, settings_of
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


class Flavour(Option):
    PLAIN = "plain"
    LEMON = "lemon-ice", "Lemon ice"


@dataclass(frozen=True)
class Order:
    flavour: Flavour = setting(Flavour.PLAIN, "what it tastes of")
    scoops: tuple[int, ...] = setting((1,), "in each cone", (1, 3))
    price: float | None = setting(None, "in euros", (0.5, 9.0))
    spoons: int = setting(1, "to eat it with", (1, math.inf))
    note: str = ""

    def __post_init__(self) -> None:
        check(self)


def refusal(kind: Any, value: Any, **options: bool) -> str:
    with pytest.raises(ExplorerError) as caught:
        converted("scoops", kind, value, **options)
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def test_an_option_is_its_spelling_and_has_a_label() -> None:
    assert [option.label for option in Flavour] == ["plain", "Lemon ice"]
    assert json.dumps({"flavour": Flavour.LEMON}) == '{"flavour": "lemon-ice"}'
    assert str(Flavour.LEMON) == f"{Flavour.LEMON}" == "lemon-ice"
    assert pickle.loads(pickle.dumps(Flavour.LEMON)) is Flavour.LEMON


@pytest.mark.parametrize("text", ["lemon-ice", " LEMON-ICE ", "Lemon ice", "lemon ice"])
def test_an_option_is_known_by_its_spelling_or_its_label(text: str) -> None:
    assert Flavour.called(text) is Flavour(text) is converted("flavour", Flavour, text) is Flavour.LEMON


def test_another_word_is_one_sentence_with_all_options() -> None:
    with pytest.raises(ExplorerError, match=r"One of plain, lemon-ice was expected; 'mint' came\."):
        Flavour.called("mint")
    assert refusal(Flavour, "mint") == "scoops: one of plain, lemon-ice was expected; 'mint' came."


def test_values_come_out_in_their_types() -> None:
    values = read(Order, {"flavour": "lemon-ice", "scoops": np.array([1, 2]), "price": 2})
    assert values == {"flavour": Flavour.LEMON, "scoops": (1, 2), "price": 2.0}
    assert [type(value) for value in values.values()] == [Flavour, tuple, float]
    assert converted("scoops", int, np.int64(3)) == 3
    assert converted("scoops", tuple[int, ...], range(1, 3)) == (1, 2)
    assert converted("price", float | None, None) is None


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (int, 2.0, "a whole number was expected; 2 came"),
        (int, True, "a whole number was expected; True came"),
        (int, "2", "a whole number was expected; '2' came"),
        pytest.param(int, 10**5000, "a very large number came", id="huge"),
        (float | None, "x", "a number was expected; 'x' came"),
        (bool, 1, "true or false was expected; 1 came"),
        (str, b"x", "text was expected; b'x' came"),
        (str, "half \ud800", "text was expected; 'half \\ud800' came"),
        (tuple[int, ...], 3, "a list of whole numbers was expected; 3 came"),
        (tuple[int, ...], (1, None), "a list of whole numbers was expected; (1, None) came"),
        (tuple[str, ...], ("\ud800",), "a list of texts was expected"),
    ],
)
def test_a_value_of_another_type_is_one_sentence(kind: Any, value: Any, words: str) -> None:
    assert words in refusal(kind, value)


def test_texts_are_read_where_they_are_texts() -> None:
    assert converted("price", float | None, "2.5", is_text=True) == 2.5
    assert converted("font", str | None, "12", is_text=True) == "12"
    assert "'3.5' came" in refusal(int, "3.5", is_text=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"price": 0.25}, "price: 0.5 to 9 was expected; 0.25 came."),
        ({"price": math.nan}, "price: 0.5 to 9 was expected; nan came."),
        ({"price": math.inf}, "price: 0.5 to 9 was expected; inf came."),
        ({"scoops": (1, 4)}, "scoops: 1 to 3 was expected; 4 came."),
        ({"spoons": 0}, "spoons: at least 1 was expected; 0 came."),
    ],
)
def test_a_number_beyond_its_limits_is_one_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        Order(**values)
    assert str(caught.value) == words


def test_fields_without_help_are_no_settings() -> None:
    assert [field.name for field in settings_of(Order)] == ["flavour", "scoops", "price", "spoons"]
    assert kinds(Order)["price"] == float | None
