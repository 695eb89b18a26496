"""What is said of two models holds for their curves, and nothing else is said."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer.measures import similarity
from explorer.measures.similarity import Band
from explorer.types import STANDARD, TWICING
from explorer.ui.explore import evidence
from explorer.ui.shell.session import Pair
from tests.helpers import make_trace, normal, quadratics, stochastic
from tests.pair import facts

NAMES = ("Plain", "Twiced")


def said(standard: list[float], twicing: list[float]) -> str:
    """Of curves whose first number is the embedding's."""
    bands = [Band(torch.tensor(curve), torch.zeros(len(curve)), 3) for curve in (standard, twicing)]
    return evidence.against_the_paper(NAMES, bands)


def test_a_pair_that_shows_the_figure_is_said_to() -> None:
    text = said([0.9, 0.5, 0.8, 0.9], [0.9, 0.4, 0.5, 0.74])
    assert "those of Twiced are less alike after blocks 1 to 3;" in text
    assert "Plain exceeds it after blocks 2, 3 and Twiced never exceeds it" in text
    assert "This pair shows what the figure claims" in text


@pytest.mark.parametrize(
    ("standard", "twicing", "words"),
    [
        ([0.1, 0.5, 0.8], [0.1, 0.6, 0.7], "are less alike after block 2, more alike after block 1;"),
        ([0.1, 0.5, 0.8], [0.1, 0.5, 0.7], "are less alike after block 2, as alike after block 1;"),
        ([0.1, 0.5, 0.7], [0.1, 0.4, 0.6], "Plain never exceeds it and Twiced never exceeds it"),
        ([0.1, 0.5, 0.9], [0.1, 0.4, 0.8], "Plain exceeds it after block 2 and Twiced exceeds it after block 2"),
    ],
)
def test_a_pair_that_does_not_show_it_is_said_not_to(standard: list[float], twicing: list[float], words: str) -> None:
    text = said(standard, twicing)
    assert words in text
    assert "This pair does not show what the figure claims" in text


def test_the_operator_alone_is_on_one_models_attention_and_values() -> None:
    A, V = stochastic(3, 2, 9, 9), normal(3, 2, 9, 4)
    curves = similarity.operator_alone(make_trace(A, quadratics(1.0, 2.0, 1.5), values=V))
    matrices = (torch.eye(9, dtype=torch.float64).expand_as(A), A, 2 * A - A @ A)
    for curve, matrix in zip(curves, matrices, strict=True):
        for layer, value in enumerate(curve.tolist()):
            patches = np.concatenate(list((matrix @ V)[layer].numpy()), axis=1)[1:]
            unit = patches / np.linalg.norm(patches, axis=1, keepdims=True)
            cosines = (unit @ unit.T)[~np.eye(8, dtype=bool)]
            assert value == pytest.approx(cosines.mean(), rel=1e-12)


def test_what_it_does_is_said_block_by_block() -> None:
    once, twiced = torch.tensor([0.5, 0.6, 0.7, 0.8]), torch.tensor([0.4, 0.6, 0.8, 0.7])
    text = evidence.of_operator("Plain", once, twiced)
    assert text.endswith("are less alike in blocks 1, 4, more alike in block 3, as alike in block 2.")
    assert "On the weights of Plain" in text


def test_the_papers_claims_are_of_a_standard_model_and_one_trained_with_twicing() -> None:
    standard, twicing = facts().cards
    assert evidence.claims_apply(Pair(standard, twicing))
    assert not evidence.claims_apply(Pair(twicing, standard))
    assert not evidence.claims_apply(Pair(standard, standard.with_filter((TWICING,) * facts().depth)))
    some = (STANDARD,) * (facts().depth - 1) + (TWICING,)
    assert not evidence.claims_apply(Pair(standard, replace(twicing, filter=some, trained_filter=some)))
