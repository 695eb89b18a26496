"""What natural disturbances of the picture do to both models: answers, attention, tokens, and all severities."""

import numpy as np
import streamlit as st

from explorer.disturb.effects import ALL_STRENGTHS, Outcome
from explorer.figures.records import Line, Trial
from explorer.figures.screen import curves, trials
from explorer.ui import view, work
from explorer.ui.challenge import answers
from explorer.ui.challenge.corruptions import compute, controls, draw
from explorer.ui.challenge.corruptions.controls import Over
from explorer.ui.shell import choices, panels
from explorer.ui.shell.session import array, palette, plain

chosen = view()
colours = palette()
cards, names = chosen.pair.cards, chosen.names
dashes = ["dash" if card.is_counterfactual else "solid" for card in cards]
bare = {"displayModeBar": False}
panels.opening(
    "Corruptions",
    "The same picture with noise, blur or less contrast. Look which model keeps its answer for longer, and in which "
    "layer attention and tokens begin to drift.",
)
panels.warn_swapped(chosen)
choice = controls.choose()
effects = [compute.effects(chosen.photo, card, choice, (choice.strength,)) for card in cards]
draw.pictures(chosen, choice)
answers.before_and_after(chosen, [(series[0].logits, series[1].logits) for series in effects], "disturbed")

st.subheader("What moves inside", anchor=False, help=compute.DEFINITIONS)
charts = st.columns(3, gap="medium")
for slot, (title, part, first, span) in zip(
    charts,
    (
        ("Attention drift, nats", "attention", 1, None),
        ("Token cosine to the clean picture", "tokens", 0, (-0.05, 1.02)),
    ),
    strict=False,
):
    lines = [
        Line(name, array(getattr(series[1], part)), colour, dash=dash)
        for name, series, colour, dash in zip(names, effects, colours.models, dashes, strict=True)
    ]
    figure = curves.by_layer(lines, colours, y=title, first_layer=first, height=330, y_range=span)
    slot.plotly_chart(figure, key=f"corruption-{part}", config=bare, alt=f"{title} by layer")
lines = []
for name, series, colour, dash in zip(names, effects, colours.models, dashes, strict=True):
    clean, disturbed = compute.clean_and_disturbed(series)
    lines += [Line(name, disturbed, colour, dash=dash), Line(f"{name}, clean", clean, colour, dash=dash, faint=True)]
figure = curves.by_layer(lines, colours, y="Token similarity (thin: clean)", first_layer=0, height=330)
charts[2].plotly_chart(figure, key="corruption-similarity", config=bare, alt="Token similarity by layer")

st.subheader("All severities", anchor=False, help=compute.DEFINITIONS)
st.caption(compute.about(cards, choice))
over_column, quantity_column, room = st.columns([2, 2, 3], gap="medium")
over = choices.segments(
    "Over",
    Over.ONE,
    key="corruption-over",
    place=over_column,
    format_func=lambda option: f"all {len(chosen.photos)} images" if option == Over.ALL else option,
)
quantity = choices.select("Quantity", Outcome.PROBABILITY, key="corruption-quantity", place=quantity_column)
photos = [chosen.photo] if over is Over.ONE else list(chosen.photos)
measured = work.offered(
    "corruption",
    (
        *("sweep", choice.kind, choice.seed, choice.queries, choice.final_jpeg),
        *(p.digest for p in photos),
        *(card.key for card in cards),
    ),
    work.line(room),
    "Disturbing …",
    lambda tell: compute.sweep(photos, cards, choice, tell),
    compute.sweep_is_kept(photos, cards, choice),
    start="Run all severities",
)
if measured is None:
    st.stop()
has_band = len(photos) > 1 and quantity is not Outcome.KEPT
sweeps = []
for name, of_model, colour, dash in zip(names, measured, colours.models, dashes, strict=True):
    mean, std = compute.curve(of_model, quantity)
    low, high = (mean - std, mean + std) if has_band else (None, None)
    sweeps.append(Trial(name, np.array(ALL_STRENGTHS), mean, colour, low, high, dash))
shares = quantity in (Outcome.KEPT, Outcome.PROBABILITY)
figure = trials.against(
    sweeps,
    colours,
    x=f"Severity, {choice.kind.label}",
    y=quantity.label,
    percent=shares,
    y_range=(-0.02, 1.02) if shares else None,
)
st.plotly_chart(figure, key="corruption-sweep", config=bare, alt=f"{quantity.label} by severity")
st.caption(
    (f"Mean over {len(photos)} images. " if len(photos) > 1 else "")
    + ("The band is one standard deviation between images. " if has_band else "")
    + "A model that is unsure of its clean answer has less to lose: "
    + "; ".join(
        f"{plain(name)} starts at {100 * compute.curve(of_model, Outcome.PROBABILITY)[0][0]:.0f}%"
        for name, of_model in zip(names, measured, strict=True)
    )
    + "."
)
