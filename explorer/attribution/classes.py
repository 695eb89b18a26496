"""Naming a class of a model."""

from __future__ import annotations

from explorer.types import ExplorerError, ModelCard


def class_index(card: ModelCard, count: int, text: str) -> int:
    """The class called `text`: its name, WordNet id or number from 0.

    Raises `ExplorerError` when the model has none of that name.
    """
    wanted = text.strip().casefold()
    for known in (card.wnids, tuple(name.casefold() for name in card.classes)):
        if wanted in known:
            return known.index(wanted)
    if wanted.isdecimal() and int(wanted) < count:
        return int(wanted)
    raise ExplorerError(
        f"A class of {card.name} was expected, by its name, WordNet id or number from 0 to {count - 1}; "
        f"{text[:60]!r} came."
    )


def class_name(card: ModelCard, index: int) -> str:
    """What a model's class is called."""
    return card.classes[index] if card.classes else f"class {index}"
