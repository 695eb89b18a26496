"""What the corruptions page shows of the pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.disturb.effects import Choice
from explorer.disturb.pictures import around_grey
from explorer.ui.challenge import answers
from explorer.ui.challenge.corruptions import compute
from explorer.ui.shell.session import View, plain


def pictures(view: View, choice: Choice) -> None:
    """What the models see, clean and disturbed; twice where they see differently."""
    distinct = {
        replace(card.preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3): card  # which change no picture
        for card in reversed(view.pair.cards)
    }
    for card in reversed(distinct.values()):
        clean, disturbed, words = compute.before_and_after(view.photo, card, choice)
        left, right, difference = st.columns(3, gap="medium")
        left.image(answers.enlarged(clean), caption=f"Clean, {clean.shape[1]} x {clean.shape[0]} px", width="stretch")
        right.image(answers.enlarged(disturbed), caption=plain(words, 200), width="stretch")
        difference.image(
            answers.enlarged(around_grey(disturbed.astype(np.int16) - clean, 0.5)),
            caption="Disturbed minus clean, halved, around grey",
            width="stretch",
        )
