"""Filters put into sets of blocks, and what is read off the logits."""

import pytest
import torch

from explorer.lessons import dial
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, quadratics

STANDARD = quadratics(1.0) * 4


def test_presets_of_twelve_blocks_are_the_papers() -> None:
    assert dial.presets(12) == {"[1–12]": range(12), "[7–12]": range(6, 12), "[10–12]": range(9, 12)}


def test_the_dial_changes_the_blocks_it_is_put_in() -> None:
    assert dial.dialled(STANDARD, {1, 3}, 2.5) == quadratics(1.0, 2.5, 1.0, 2.5)
    assert dial.dialled(quadratics(2.0, 1.0), (), 0.0) == quadratics(2.0, 1.0)


def test_sweeps_run_over_the_whole_dial() -> None:
    over_a = dial.over_a(STANDARD, [3], count=7)
    assert [a for a, _ in over_a] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert all(filter == quadratics(1.0, 1.0, 1.0, a) for a, filter in over_a)
    assert dial.over_depth(quadratics(1.0, 1.0), 2.0) == [
        (0, quadratics(1.0, 1.0)),
        (1, quadratics(1.0, 2.0)),
        (2, quadratics(2.0, 2.0)),
    ]


def test_a_prediction_and_its_margin() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0])
    found = dial.prediction(logits)
    assert (found.label, found.margin) == (1, pytest.approx(2.0))
    assert found.probability == pytest.approx(float(logits.double().softmax(0)[1]))
    assert dial.margin_for(logits, 1) == pytest.approx(2.0)
    assert dial.margin_for(logits, 2) == pytest.approx(-2.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: dial.dialled(STANDARD, [0], 3.1),
        lambda: dial.dialled(STANDARD, [4], 2.0),
        lambda: dial.over_a(STANDARD, [0], count=1),
        lambda: dial.prediction(torch.tensor([1.0])),
        lambda: dial.prediction(torch.tensor([1.0, float("nan")])),
        lambda: dial.margin_for(torch.tensor([1.0, 2.0]), 2),
    ],
)
def test_what_cannot_be_dialled_is_an_error(call) -> None:
    with pytest.raises(ExplorerError) as caught:
        call()
    assert_one_sentence(str(caught.value))
