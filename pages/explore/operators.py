"""Any operator of the literature on one set of weights: maps, answers, similarity, spectra and costs side by side."""

import streamlit as st

from explorer.ui import view, work
from explorer.ui.explore.lab import compute, controls, draw
from explorer.ui.shell import detail, panels
from explorer.ui.shell.session import palette, plain

chosen = view()
panels.opening(
    "Operator lab",
    "What else a block may do with its attention, on the very same weights. Choose operators, turn their parameters, "
    "and look which of them keep maps, tokens and answer as the trained one has them.",
)
detail.control(chosen)
weights_column, operators_column = st.columns([2, 5], gap="medium")
side = controls.weights(chosen, weights_column)
card = chosen.pair.cards[side]
picked = controls.candidates(card, palette(), operators_column)
*seen_columns, room = st.columns([4, 7, 3, 4], gap="medium")
seen = controls.seen([*chosen.comparison()][side], seen_columns)
if not picked:
    st.info("Choose an operator.")
    st.stop()
filters = [candidate.operators for candidate in picked]
place = chosen.photo, card, filters, seen.layer, seen.query
readings = work.offered(
    "operators",
    ("operators", chosen.photo.digest, card.key, *filters, seen.layer, seen.query),
    work.line(room),
    "Running the operators …",
    lambda tell: compute.readings(*place, tell),
    compute.are_there(*place),
)
if readings is None:
    st.stop()
draw.columns(chosen.photo, card, picked, readings, seen)
st.caption(
    f"{plain(card.name)}, layer {seen.layer + 1}, {seen.heads}, query: {seen.token}. **E** is applied to the "
    "block's own values, **E₀** to the first block's: U = EV + E₀V¹. All maps share one scale"
    + ("; the query's own patch may be beyond its end." if seen.patch is not None else ".")
)

left, right = st.columns(2, gap="large")
with left:
    st.subheader("Token similarity", anchor=False)
    draw.similarity_chart(picked, readings)
    st.caption(
        "Mean cosine of patch tokens over pairs i ≠ j, after each block (0 is the embedding). Solid: as trained; "
        "dashed: counterfactual."
    )
with right:
    st.subheader(f"Spectrum of E, layer {seen.layer + 1}", anchor=False)
    draw.spectrum_chart(picked, readings, seen)
    st.caption(
        "Moduli of the eigenvalues, which are complex because A is not symmetric, largest first, "
        f"{seen.heads} at each rank."
    )
linear = [candidate.title for candidate in picked if candidate.is_linear]
if linear:
    st.caption(
        f"{plain(', '.join(linear), 200)}: linear attention is computed in its explicit form, as a matrix (the paper's "
        "B.1). Its rows sum to a little less than 1, so the largest eigenvalue of its A is not exactly 1."
    )
panels.class_note(chosen)
with st.expander("What the numbers are"):
    st.markdown(
        """
- **A** is what the kernel makes of queries and keys; **E** and **E₀** are what the filter makes of A, block by block.
- **Probability, margin**: of the class that comes first; the margin is its logit minus the next best.
- **Token similarity**: mean cosine between different patch tokens of the residual stream.
- **GFLOPs**: multiply-adds of matrix products and convolutions in one pass.
- An operator that was put on weights trained with another one is a counterfactual: it says what these weights rest on,
  not what a model trained with that operator would do.
- How much over-smoothing matters is contested in the literature, and a heatmap is not an attribution.
"""
    )
st.page_link("learn/dial.py", label="The quadratic filter alone, live: lesson 5, the dial")
