"""Lesson 4's answer: which heads of both models leave the photograph recognisable, counted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from explorer.lessons import attention_filter
from explorer.ui.learn.filters import patches_of
from explorer.ui.shell.session import View, array, plain

Likenesses = Float[np.ndarray, "layer head"]
_HALF = 0.5
"""The likeness from which AV is called a fainter V."""


def likenesses(chosen: View) -> list[Likenesses]:
    """Of AV to V, the patches' mean colours, in every layer and head of both models."""
    by_model = []
    for card, trace in zip(chosen.pair.cards, chosen.comparison(), strict=True):
        patches = attention_filter.cut(patches_of(chosen, card, trace.grid), trace.grid)
        colours = attention_filter.mean_colours(patches)
        by_model.append(attention_filter.likenesses(array(trace.attention), trace.prefix, trace.grid, colours))
    return by_model


def answer(chosen: View) -> str:
    """To lesson 4's question, of both models on the photograph."""
    said = [
        f"in {name} {int((values > _HALF).sum())} of {values.size} heads have a likeness over 0.5, "
        f"{_where(values > _HALF)}, and {int((values < 0).sum())} one below 0, {_where(values < 0)}"
        for name, values in zip(map(plain, chosen.names), likenesses(chosen), strict=True)
    ]
    return (
        f"Part 4 shows it at once. On this photograph, {'; '.join(said)}. Where a head's rows spread over patches of "
        "like colour, AV resembles V; deeper, a head asks for what it has learned to ask for. Where all patches look "
        "at the same few, AV is one flat colour, V − AV holds the picture and A(V − AV) is nearly 0: twicing gives "
        "back only what A does not erase. Where likeness is negative, A turns V against itself. Eigenvalues of A "
        "below 0 or off the real axis (the table of part 1 counts both) can grow under 2λ − λ²: the theory of twicing "
        "speaks of λ in [0, 1]."
    )


def _where(are: Bool[np.ndarray, "layer head"]) -> str:
    """The layer that has most of them."""
    counts = are.sum(axis=1)
    return f"most of them in layer {int(counts.argmax()) + 1}" if counts.any() else "nowhere"
