"""Which class a page asks about, and what the models answer."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from torch import Tensor

from explorer.models.classes import class_name
from explorer.traces import Comparison
from explorer.types import ModelCard
from explorer.ui.shell.session import View

_FIRST = "top-1"
Targets = tuple[int, int]
"""A class of each model."""


def choose(view: View, comparison: Comparison, key: str, label: str = "Class", first: str = "") -> Targets:
    """A class for each model: its own first choice, or any class both know."""
    tops = predictions(comparison)
    shared = _shared(view.pair.cards, [trace.logits.shape[0] for trace in comparison])
    example = view.photo.example
    wnid = example.wnid if example else None
    known = view.pair.baseline.wnids
    right = next((name for name, (index, _) in shared.items() if known and known[index] == wnid), None)
    options = [_FIRST, *([right] if right else []), *(name for name in shared if name != right)]

    def words(option: str) -> str:
        if option == _FIRST:
            return first or "first choice of each model"
        name = class_name(view.pair.baseline, shared[option][0])
        return f"{name} (what the photograph shows)" if option == right else name

    if st.session_state.get(key) not in options:
        st.session_state[key] = _FIRST
    chosen = st.selectbox(
        label, options, format_func=words, key=key, persist_state="session", help="Any class that both models know."
    )
    return tops if chosen == _FIRST else shared[chosen]


def predictions(comparison: Comparison) -> Targets:
    """Each model's own first choice."""
    first, second = (int(trace.logits.argmax()) for trace in comparison)
    return first, second


def _shared(cards: Sequence[ModelCard], counts: Sequence[int]) -> dict[str, Targets]:
    """Classes both know: by WordNet id, else by number where both name them alike."""
    first, second = cards
    if first.wnids and second.wnids:
        return {wnid: (i, second.wnids.index(wnid)) for i, wnid in enumerate(first.wnids) if wnid in second.wnids}
    if first.classes == second.classes and counts[0] == counts[1]:
        return {str(index): (index, index) for index in range(counts[0])}
    return {}


def answer(card: ModelCard, logits: Tensor, index: int) -> str:
    """A class and its probability."""
    return f"{class_name(card, index)} {100 * float(logits.float().softmax(dim=0)[index]):.0f}%"
