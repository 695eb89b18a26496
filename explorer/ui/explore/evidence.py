"""Sentences about two models that are computed from them: what the operator does alone, and what the paper claims."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from explorer.figures.words import listed
from explorer.measures import similarity
from explorer.measures.settings import Definition
from explorer.measures.similarity import Band, Order
from explorer.paper.reported import THREE_QUARTERS
from explorer.serving.device import computing
from explorer.types import TWICING
from explorer.ui.shell import resources
from explorer.ui.shell.session import Pair, View

Curve = Float[Tensor, " layer"]


def of_view(view: View, definition: Definition = Definition()) -> Float[Tensor, "3 layer"]:
    """`similarity.operator_alone` of the baseline on the chosen image, remembered: pages run again at every click."""
    key = "operator", view.pair.baseline.key, view.photo.digest, definition

    def compute() -> Float[Tensor, "3 layer"]:
        trace = view.comparison().baseline
        with computing():
            return similarity.operator_alone(trace, definition)

    return resources.curves().get_or_make(key, compute)


def of_operator(name: str, once: Curve, twiced: Curve) -> str:
    """What twicing alone does to the outputs of one set of weights."""
    words = _ordered(similarity.order(twiced, once), "in")
    return f"On the weights of {name}, with its own A and V: beside those of AV, the patches of (2A − A²)V are {words}."


def claims_apply(pair: Pair) -> bool:
    """Whether the paper speaks of such a pair: a standard model, and one trained with twicing in all blocks."""
    return (
        pair.baseline.is_standard
        and all(operator == TWICING for operator in pair.twicing.filter)
        and not any(card.is_counterfactual for card in pair.cards)
    )


def against_the_paper(names: Sequence[str], bands: Sequence[Band]) -> str:
    """The paper's Fig. 2 beside the mean curves of a standard model and of one trained with twicing."""
    standard, twicing = (band.mean[1:] for band in bands)
    order = similarity.order(twicing, standard)
    holds = (
        not order.above
        and not order.level
        and bool(twicing.max() < THREE_QUARTERS)
        and bool(standard.max() > THREE_QUARTERS)
    )
    past = [
        f"{name} exceeds it after {_blocks(layers)}" if layers else f"{name} never exceeds it"
        for name, layers in zip(names, map(_past, (standard, twicing)), strict=True)
    ]
    return (
        "The paper's Fig. 2 claims that DeiT's tokens quickly exceed a similarity of three-quarters and that "
        f"DeiT-Twicing's stay below. Over these images, beside the tokens of {names[0]}, those of {names[1]} "
        f"are {_ordered(order, 'after')}; as to three-quarters, {' and '.join(past)}. "
        f"{'This pair shows what the figure claims' if holds else 'This pair does not show what the figure claims'}; "
        "one pair of one seed says little about an operator."
    )


def _past(curve: Curve) -> list[int]:
    return [block for block, value in enumerate(curve.tolist(), start=1) if value > THREE_QUARTERS]


def _blocks(layers: Sequence[int]) -> str:
    return f"{'block' if len(layers) == 1 else 'blocks'} {listed(layers)}"


def _ordered(order: Order, where: str) -> str:
    by_word = {"less alike": order.below, "more alike": order.above, "as alike": order.level}
    return ", ".join(f"{word} {where} {_blocks(layers)}" for word, layers in by_word.items() if layers)
