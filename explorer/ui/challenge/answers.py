"""Pictures before and after, and what both models say of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from torch import Tensor

from explorer.disturb.effects import margin
from explorer.figures.maps import ScreenPicture
from explorer.figures.screen import trials
from explorer.figures.screen.trials import Answer
from explorer.models.classes import class_name
from explorer.types import ModelCard
from explorer.ui.shell import panels
from explorer.ui.shell.session import View, palette, plain, signed

_SHOWN = 448
"""Pixels a side; the model's own pixels stay squares."""
_CLASSES = 3


def enlarged(picture: ScreenPicture) -> np.ndarray:
    """Every pixel as a square, so that a browser has nothing to smooth."""
    factor = max(1, -(-_SHOWN // picture.shape[0]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def top(logits: Sequence[Tensor], count: int = _CLASSES) -> list[int]:
    """The first classes of each, in order, without repetition."""
    return list(dict.fromkeys(int(index) for row in logits for index in row.topk(min(count, len(row))).indices))


def before_and_after(view: View, logits: Sequence[tuple[Tensor, Tensor]], after: str) -> None:
    """Bars of the classes' probabilities for both models, and what became of the clean answer."""
    colours = palette()
    for index, slot in enumerate(st.columns(2, gap="large")):
        card, (clean, disturbed) = view.pair.cards[index], logits[index]
        with slot:
            panels.model_heading(view, index, verdict(card, clean, disturbed))
            before, now = clean.softmax(dim=0), disturbed.softmax(dim=0)
            rows = [Answer(class_name(card, i), float(before[i]), float(now[i])) for i in top((clean, disturbed))[:5]]
            figure = trials.answers(rows, colours.models[index], colours, after=after)
            st.plotly_chart(
                figure,
                key=f"answers-{index}",
                config={"displayModeBar": False},
                alt=f"{view.names[index]}: {', '.join(f'{r.name} {r.before:.0%} to {r.after:.0%}' for r in rows)}",
            )
            answer = int(clean.argmax())
            st.caption(
                f"Margin of {plain(class_name(card, answer))}: {signed(margin(clean, answer), '.2f')} "
                "clean, "
                f"{signed(margin(disturbed, answer), '.2f')} {after}.",
                help="Probability of the clean answer minus that of the strongest other class; below 0 another has "
                "won.",
            )


def verdict(card: ModelCard, clean: Tensor, disturbed: Tensor) -> str:
    """Whether the answer stayed."""
    first, now = int(clean.argmax()), int(disturbed.argmax())
    return "keeps its answer" if first == now else f"changes to {class_name(card, now)}"
