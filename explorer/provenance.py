"""Who made what: how models, images and versions are told in every file that the explorer writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from explorer.paper import operators
from explorer.types import ROLES, ModelCard
from explorer.version import VERSION

LIBRARIES = ("torch", "timm", "pillow", "numpy")
"""What numbers depend on, beside the explorer itself."""


def of_model(card: ModelCard) -> dict[str, Any]:
    """A set of weights under a filter; `sha256` is that of the file, see `ModelCard.digest`.

    An input of another size than the architecture's is model, too, what was done to the weights for it, that linear
    layers computed on packed weights, and a precision other than float32.
    """
    model = {"name": card.title, "source": card.source, "sha256": card.digest, "filter": operators.written(card.filter)}
    size, changes = input_size(card), list(card.changes)
    precision = "bfloat16" if card.is_bfloat16 else ""
    said = {"input_size": size, "changes": changes, "packed": card.is_packed, "precision": precision}
    return model | {key: value for key, value in said.items() if value}


def input_size(card: ModelCard) -> list[int] | None:
    """`[height, width]` where it is not the architecture's own, which goes without saying."""
    return list(card.preprocessing.input_size) if card.is_resized else None


def of_pair(cards: Sequence[ModelCard]) -> dict[str, dict[str, Any]]:
    """Both models of a pair by their roles."""
    return {role: of_model(card) for role, card in zip(ROLES, cards, strict=True)}


def of_image(name: str, digest: str) -> dict[str, str]:
    """An image's file."""
    return {"name": name, "sha256": digest}


def sha256_of(model: Mapping[str, Any]) -> Any:
    """Of a model as a file tells it; it was called `digest` in files written before 0.4."""
    return model["sha256"] if "sha256" in model else model["digest"]


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Of the explorer and of the libraries."""
    return {"explorer": VERSION} | {name: version(name) for name in libraries}
