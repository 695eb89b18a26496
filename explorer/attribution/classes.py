"""Naming a class of a model."""

from __future__ import annotations

from explorer.types import ExplorerError, ModelCard


def class_index(card: ModelCard, count: int, text: str) -> int:
    """The class called `text`: its name, WordNet id or number from 0.

    Raises `ExplorerError` when the model has none of that name, or several: ImageNet-1k has two cranes.
    """
    wanted = text.strip().casefold()
    for known in (card.wnids, card.classes):
        found = [index for index, name in enumerate(known) if name.casefold() == wanted]
        if len(found) > 1:
            ids = ", ".join(card.wnids[index] if card.wnids else str(index) for index in found)
            raise ExplorerError(f"{card.name} calls several classes {text[:60]!r}: one of {ids} was expected.")
        if found:
            return found[0]
    if wanted.isdecimal() and int(wanted) < count:
        return int(wanted)
    raise ExplorerError(
        f"A class of {card.name} was expected, by its name, WordNet id or number from 0 to {count - 1}; "
        f"{text[:60]!r} came."
    )


def class_name(card: ModelCard, index: int) -> str:
    """What a model's class is called."""
    return card.classes[index] if card.classes else f"class {index}"
