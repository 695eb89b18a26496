"""Token similarity across depth for both models."""

import streamlit as st

from explorer.figures.records import Line
from explorer.figures.screen import curves
from explorer.measures import similarity
from explorer.measures.settings import Definition
from explorer.ui import view
from explorer.ui.explore import evidence
from explorer.ui.shell import detail, panels
from explorer.ui.shell.session import array, palette, plain

chosen = view()
colours = palette()
panels.opening(
    "Token similarity",
    "How alike the patch tokens have become after each block. A curve that climbs to 1 means the tokens have collapsed "
    "onto one direction (over-smoothing); look for the depth at which the two models part.",
)
panels.warn_swapped(chosen)
detail.control(chosen)
first, second, third = st.columns(3)
definition = Definition(
    with_prefix=first.toggle("With CLS and other prefix tokens", key="similarity-prefix", persist_state="session"),
    absolute=second.toggle("Absolute cosine", key="similarity-absolute", persist_state="session"),
    with_diagonal=third.toggle("Include i = j", key="similarity-diagonal", persist_state="session"),
)
comparison = chosen.comparison()

left, right = st.columns(2, gap="large")
own = [array(similarity.token_similarity(trace, definition)) for trace in comparison]
bands = [similarity.band(of_model) for of_model in chosen.similarity_of_all(definition)]
low = min(0.0, *(float(values.min()) for values in own), *(float((b.mean - b.std).min()) for b in bands))
with left:
    st.subheader("This image", anchor=False)
    lines = [
        Line(name, values, colour, dash="dash" if card.is_counterfactual else "solid")
        for name, values, colour, card in zip(chosen.names, own, colours.models, chosen.pair.cards, strict=True)
    ]
    figure = curves.by_layer(lines, colours, y="Token similarity", first_layer=0, y_range=(low, 1.02))
    st.plotly_chart(figure, key="similarity-one", config={"displayModeBar": False}, alt="Token similarity by layer")
with right:
    st.subheader(f"All {bands[0].count} images loaded", anchor=False)
    lines = [
        Line(name, array(b.mean), colour, array(b.std), dash="dash" if card.is_counterfactual else "solid")
        for name, b, colour, card in zip(chosen.names, bands, colours.models, chosen.pair.cards, strict=True)
    ]
    figure = curves.by_layer(lines, colours, y="Token similarity", first_layer=0, y_range=(low, 1.02))
    st.plotly_chart(
        figure, key="similarity-all", config={"displayModeBar": False}, alt="Mean token similarity by layer"
    )
st.caption(
    f"{definition.sentence()} On the right: mean over images, band of one standard deviation between images. "
    "How much over-smoothing matters is contested in the literature; the paper's Fig. 2 does not state its definition."
)
if evidence.claims_apply(chosen.pair):
    st.info(evidence.against_the_paper([*map(plain, chosen.names)], bands))
columns = st.columns(4)
for index, name in enumerate(map(plain, chosen.names)):
    columns[index].metric(f"{name}, last layer", f"{own[index][-1]:.3f}", help=definition.sentence())
    columns[2 + index].metric(
        f"{name}, mean of all", f"{float(bands[index].mean[-1]):.3f} ± {float(bands[index].std[-1]):.3f}"
    )

st.subheader("The operator alone, on one set of weights", anchor=False)
card, colour = chosen.pair.baseline, colours.baseline
alone = evidence.of_view(chosen, definition)
values, once, twiced = alone
lines = [
    Line("V", array(values), colours.theory),
    Line("AV", array(once), colour, dash="solid" if card.is_standard else "dash"),
    Line("(2A − A²)V", array(twiced), colour, dash="dash" if card.is_standard else "solid"),
]
figure = curves.by_layer(
    lines,
    colours,
    y="Similarity of outputs",
    first_layer=1,
    y_range=(min(0.0, float(alone.min())), 1.02),
)
st.plotly_chart(
    figure,
    key="similarity-operator",
    config={"displayModeBar": False},
    alt="Similarity of V, AV and (2A − A²)V by layer",
)
st.caption(
    f"{evidence.of_operator(plain(chosen.names[0]), once, twiced)} This image; {definition.pairs()}, heads joined, "
    "before the output projection. Dashed: what the block does not apply; no later block was run on it. What the two "
    "trained models do, above, is another question: their weights differ."
)
