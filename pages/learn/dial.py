"""Lesson 5: the filter as a dial."""

import streamlit as st

from explorer.ui import learn, view
from explorer.ui.learn import dial
from explorer.ui.shell import panels

learn.opening(
    "5. " + dial.TITLE,
    "The loaded standard model with another filter in its blocks, live: turn a and watch the last map, the tokens and "
    "the prediction.",
)
dial.lesson()
panels.class_note(view())
st.subheader("The whole dial", anchor=False)
with panels.refusals():
    dial.sweep()
st.page_link(
    "explore/operators.py",
    label="The operator lab puts any other operator on these weights",
    query_params={"operators": ["standard", "quadratic"]},
)
learn.question(
    dial.ASKED,
    "Where the margin crosses 0 in the sweep, the prediction changes. Compare [1-12] with [10-12]: blocks at the end "
    "change the output directly, early ones through everything that follows, which was trained for other tokens. The "
    "model that was **trained** with twicing had the chance to adapt; its line is the fair comparison.",
)
