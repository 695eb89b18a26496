"""Lesson 6: a guided tour of the attention viewer."""

from functools import partial

import streamlit as st

from explorer.ui import learn
from explorer.ui.learn import tour

learn.opening(
    "6. " + tour.TITLE,
    "Ten cards that take the attention viewer to a place worth seeing and say what to notice; some wait until you have "
    "done it yourself.",
)
chosen = tour.tour_view()
tour.run(chosen)
learn.question(tour.ASKED, tour.answer(*chosen.comparison()))
learn.handout("tour", tour.TITLE, tour.WORDS, tour.ASKED, partial(tour.pictures, chosen))
st.caption(f"Photograph: {tour.CREDIT}, from scikit-image.")
