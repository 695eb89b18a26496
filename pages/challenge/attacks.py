"""The smallest change that breaks the answer: FGSM and PGD on both models, and what they do to each other."""

import streamlit as st

from explorer.ui import attack_view, attacking, classes, labelled_view, labelling, panels, view, work

chosen = view()
panels.opening(
    "Attacks",
    "Every pixel is moved by at most eps in the direction that hurts one model most. Look how little is needed, "
    "whether the answer holds, and whether what fools one model fools the other.",
)
panels.warn_swapped(chosen)
settings = attacking.choose()
comparison = chosen.comparison()
class_column, room = st.columns([3, 4], gap="medium")
with class_column:
    targets = classes.choose(
        chosen, comparison, "attack-class", "Class that is attacked", "clean prediction of each model"
    )
found = work.offered(
    "attack",
    ("attack", chosen.photo.digest, *(card.key for card in chosen.pair.cards), targets, settings),
    work.line(room),
    "Attacking …",
    lambda tell: attacking.both(chosen, targets, settings, tell),
    attacking.are_kept(chosen, targets, settings),
)
if found is not None:
    attack_view.pictures(chosen, found, settings)
    st.caption(
        f"{settings.sentence()} Pixels at the model's input, in [0, 1], normalisation inside the model. "
        f"{attack_view.losses(found)}"
    )
    attack_view.transfer(chosen, found, targets)

attack_view.reported(chosen)

st.subheader("Over many images", anchor=False)
over = st.segmented_control(
    "Over", labelling.sources(), default=labelling.LOADED, key="attack-over", required=True, persist_state="session"
)
if over != labelling.LOADED:
    labelled_view.show(chosen, str(over), settings, comparison)
    st.stop()
words, room = st.columns([4, 3], gap="medium")
words.caption(
    f"Uploads have no labels: each model's own clean prediction on the {len(chosen.photos)} images counts as the "
    "label, so this is agreement with itself, not accuracy. It starts at 100%."
)
photos, cards = list(chosen.photos), chosen.pair.cards
kept = work.offered(
    "attack-sweep",
    ("attack-sweep", *(p.digest for p in photos), *(card.key for card in cards), attacking.of_any_eps(settings)),
    work.line(room),
    "Attacking …",
    lambda tell: attacking.over_images(photos, cards, settings, tell),
    attacking.sweep_is_kept(photos, cards, settings),
    start="Attack all images",
)
if kept is not None:
    attack_view.curves(chosen, kept, attacking.SWEEP_EPS, "Clean prediction survives", "attack-sweep")
    st.caption(
        f"{attacking.of_any_eps(settings).kind}, {len(photos)} images, band: 95% Wilson interval, wide with few "
        "images. For accuracy, choose a labelled folder, or `python -m explorer robustness`."
    )
