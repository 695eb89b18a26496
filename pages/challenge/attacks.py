"""The smallest change that breaks the answer: FGSM and PGD on both models, and what they do to each other."""

import streamlit as st

from explorer.disturb.settings import Label, units
from explorer.ui import view, work
from explorer.ui.challenge import classes
from explorer.ui.challenge.attacks import compute, controls, draw
from explorer.ui.challenge.labelled.controls import LOADED, sources
from explorer.ui.challenge.labelled.draw import show
from explorer.ui.shell import panels

chosen = view()
panels.opening(
    "Attacks",
    "Every pixel is moved by at most eps in the direction that hurts one model most, to first order. Look how little "
    "is needed, whether the answer holds, and whether what fools one model fools the other.",
)
panels.warn_swapped(chosen)
settings = controls.choose()
comparison = chosen.comparison()
class_column, room = st.columns([3, 4], gap="medium")
with class_column:
    if settings.label is Label.PREDICTED:
        targets = classes.predictions(comparison)
        st.caption("Attacked is the clean prediction of each model, right or wrong.")
    else:
        targets = classes.choose(
            chosen, comparison, "attack-class", "Class that is attacked", "clean prediction of each model"
        )
attacks = work.offered(
    "attack",
    ("attack", chosen.photo.digest, *(card.key for card in chosen.pair.cards), targets, settings),
    work.line(room),
    "Attacking …",
    lambda tell: compute.both(chosen, targets, settings, tell),
    compute.are_kept(chosen, targets, settings),
)
if attacks is not None:
    draw.pictures(chosen, attacks, settings)
    st.caption(
        f"{settings.sentence()} {units(settings, chosen.pair.cards)}, at the model's input. "
        f"{draw.bounds(attacks, settings)} {draw.losses(attacks)}"
    )
    draw.transfer(chosen, attacks, targets)

draw.reported(chosen)

st.subheader("Over many images", anchor=False)
over = st.segmented_control(
    "Over", sources(), default=LOADED, key="attack-over", required=True, persist_state="session"
)
if over != LOADED:
    show(chosen, str(over), settings)
    st.stop()
words, room = st.columns([4, 3], gap="medium")
words.caption(
    f"Uploads have no labels: each model's own clean prediction on the {len(chosen.photos)} images counts as the "
    "label, so this is agreement with itself, not accuracy. It starts at 100%."
)
photos, cards = list(chosen.photos), chosen.pair.cards
kept = work.offered(
    "attack-sweep",
    ("attack-sweep", *(p.digest for p in photos), *(card.key for card in cards), compute.of_any_eps(settings)),
    work.line(room),
    "Attacking …",
    lambda tell: compute.over_images(photos, cards, settings, tell),
    compute.sweep_is_kept(photos, cards, settings),
    start="Attack all images",
)
if kept is not None:
    draw.curves(chosen, kept, compute.SWEEP_EPS, "Clean prediction survives", "attack-sweep", settings)
    st.caption(
        f"{compute.of_any_eps(settings).rule()}; {len(photos)} images, band: 95% Wilson interval, wide with few "
        "images. For accuracy, choose a labelled folder, or `python -m explorer robustness`."
    )
