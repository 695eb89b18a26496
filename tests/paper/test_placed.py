"""Operators in runs of blocks: what is written is what is read, and the same operator under two names is the same."""

import pytest

from explorer.paper import operators
from explorer.paper.placed import Placed, placed
from explorer.types import STANDARD, TWICING, ExplorerError, Operator
from tests.helpers import assert_one_sentence

DEPTH = 12


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("twicing", Placed(TWICING, 1, 12, DEPTH)),
        ("twicing@10-12", Placed(TWICING, 10, 12, DEPTH)),
        (" neutreno=0.4@2-12", Placed(Operator("neutreno", 0.4), 2, 12, DEPTH)),
        ("linear", Placed(Operator("standard", kernel="linear"), 1, 12, DEPTH)),
        ("quadratic=2@3-4", Placed(Operator("quadratic", 2.0), 3, 4, DEPTH)),
        ("linear-quadratic=1", Placed(Operator("quadratic", 1.0, "linear"), 1, 12, DEPTH)),
        ("1.5", Placed(Operator("quadratic", 1.5), 1, 12, DEPTH)),
        (",".join(["standard"] * 9 + ["twicing"] * 3), None),
    ],
)
def test_an_operator_is_placed_as_it_is_written(text: str, expected: Placed | None) -> None:
    result = placed(text, DEPTH)
    assert result == expected
    if result is not None:
        assert placed(str(result), DEPTH) == result
        assert result.operators == operators.in_blocks(text, DEPTH)


@pytest.mark.parametrize("text", ["twicing@0-3", "twicing@10-13", "nothing", "neutreno=2", ""])
def test_what_cannot_be_placed_is_refused(text: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        placed(text, DEPTH)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("boosting=2", "twicing", True),
        ("boosting=1", "standard", True),
        ("neutreno=0", "standard", True),
        ("attnscale=0", "standard", True),
        ("quadratic=2", "twicing", True),
        ("linear", "standard", False),
        ("twicing@2-12", "twicing", False),
        ("resformer", "standard", False),
        ("resformer@1-1", "standard", True),
    ],
)
def test_operators_are_the_same_by_what_they_do(text: str, other: str, expected: bool) -> None:
    assert operators.are_same(operators.in_blocks(text, DEPTH), operators.in_blocks(other, DEPTH)) is expected


def test_operators_of_another_depth_are_others() -> None:
    assert not operators.are_same((STANDARD,) * 3, (STANDARD,) * 4)


@pytest.mark.parametrize(
    ("text", "count"),
    [("standard", 12), ("twicing", 24), ("twicing@10-12", 15), ("boosting=4", 48), ("neutreno", 12), ("resformer", 23),
     ("svformer", 12), ("centred", 12), ("linear-twicing", 24)],
)  # fmt: skip
def test_applications_of_a_are_counted(text: str, count: int) -> None:
    assert operators.applications(operators.in_blocks(text, DEPTH)) == count


def test_every_word_is_read() -> None:
    words = operators.words()
    assert len(set(words)) == len(words)
    for word in words:
        assert operators.named(word)
