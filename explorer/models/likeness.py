"""What weights look like by the shapes of their parameters: an architecture and an input size, as a suggestion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from explorer.models import registry
from explorer.models.positions import KEY
from explorer.models.weights import State
from explorer.types import ExplorerError

Shapes = Mapping[str, tuple[int, ...]]

_SIZES = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge", 1408: "giant", 1536: "giant"}
"""timm's words for the channels of a token; heads, which no shape shows, follow from the name."""
_PATCHES = "patch_embed.proj.weight"


@dataclass(frozen=True)
class Likeness:
    """An architecture all of whose parameters have the file's names and shapes, but for positions of another size."""

    architecture: str
    side: int
    """Pixels of the input, which is a square."""

    def __str__(self) -> str:
        return f"{self.architecture} at {self.side} px"


def of(state: State, outputs: int) -> Likeness | None:
    """The first architecture that fits exactly, else the first that fits at another input size; None where none does.

    Few models are looked at: those whose names say the file's channels and patches.
    """
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    first = None
    for name in _candidates(shapes):
        try:
            expected = registry.shapes(name, outputs)
        except ExplorerError:
            continue
        own = registry.architecture(name).input_size[0]
        if shapes == expected:
            return Likeness(name, own)
        side = _side(shapes, expected, own)
        if first is None and side is not None:
            first = Likeness(name, side)
    return first


def _candidates(shapes: Shapes) -> Iterator[str]:
    yield from registry.ARCHITECTURES
    dim, _, _, patch = shapes[_PATCHES] if len(shapes.get(_PATCHES, ())) == 4 else (0, 0, 0, 0)
    words = (_SIZES.get(dim, " "), f"patch{patch}_", "distilled" if "dist_token" in shapes else "")
    yield from (name for name in registry.names() if all(word in f"{name}_" for word in words))


def _side(shapes: Shapes, expected: Shapes, own: int) -> int | None:
    """The input size that a file's positions are for, where all the rest is as expected of an input of `own` pixels."""
    if shapes.keys() != expected.keys() or any(shapes[key] != expected[key] for key in expected.keys() - {KEY}):
        return None
    given, wanted = shapes[KEY], expected[KEY]
    patch = expected[_PATCHES][-1]
    prefix = wanted[1] - (own // patch) ** 2
    side = math.isqrt(max(0, given[1] - prefix)) if len(given) == 3 else 0
    return side * patch if side and given == (1, prefix + side * side, wanted[2]) else None
