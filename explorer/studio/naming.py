"""What a figure calls the two models."""

from __future__ import annotations

from explorer.serving.pair import ModelPair
from explorer.studio.spec import Spec
from explorer.types import TWICING, ModelCard


def names(spec: Spec, pair: ModelPair) -> tuple[str, str]:
    """The names asked for, or what the models are; an operator that was swapped is always said."""
    if spec.names:
        given = [
            f"{name} (operator swapped)" if card.is_counterfactual else name
            for name, card in zip(spec.names, pair.cards, strict=True)
        ]
        return given[0], given[1]
    first, second = (_short(card) for card in pair.cards)
    return (first, second) if first != second else (pair.baseline.title, pair.twicing.title)


def _short(card: ModelCard) -> str:
    if not card.architecture.startswith("deit"):
        return card.title
    twiced = [block for block, operator in enumerate(card.filter, start=1) if operator == TWICING]
    if card.is_standard:
        name = "DeiT"
    elif not card.is_twicing or twiced != list(range(twiced[0], twiced[-1] + 1)):
        return card.title
    else:
        name = "DeiT-Twicing" + (f" [{twiced[0]}-{twiced[-1]}]" if len(twiced) < len(card.filter) else "")
    return f"{name} (operator swapped)" if card.is_counterfactual else name
