"""Attention of both models over the photograph, in every layer and head, under one cursor."""

import streamlit as st

from explorer.ui import view
from explorer.ui.explore import class_attention, evidence, viewer_panel
from explorer.ui.shell import detail, panels
from explorer.ui.shell.session import plain

chosen = view()
title, finer = st.columns([5, 4], gap="medium", vertical_alignment="bottom")  # so that the maps begin higher up
with title:
    panels.opening(
        "Attention",
        "Which patches one token looks at, in both models. Point at a patch to see what **it** looks at, click to pin "
        "it; compare how concentrated the maps stay towards the last layers.",
    )
with finer:
    detail.control(chosen, is_narrow=True)
panels.warn_swapped(chosen)
viewer_panel.show(chosen)
class_attention.show(chosen)
panels.class_note(chosen)
_, once, twiced = evidence.of_view(chosen)
st.caption(
    f"How alike attention leaves the patches: {evidence.of_operator(plain(chosen.names[0]), once, twiced)} Mean cosine "
    "of patch tokens over pairs i ≠ j, heads joined, before the projection; the curves are on the similarity page."
)
with st.expander("What the numbers are"):
    st.markdown(
        """
- **A** = softmax(QKᵀ/√d): each row sums to 1 over all tokens (paper Eqn 2).
- **A − A²**: what twicing adds, or would add, to A; each row sums to 0.
- **2A − A²**: each row sums to 1, and entries can be negative (paper Def. 2).
- **effective**: aA + (1 − a)A² of each block, the matrix applied to V: A where a = 1, 2A − A² where a = 2.
- **rollout**: product over the layers so far of (E + I)/2, E the mean over heads of the effective matrices; not
  normalised or clamped, so it can be negative (Abnar & Zuidema 2020, adapted).
- **Entropy** of the query's row of A in nats; **attention distance**: its mean distance to the patches in pixels of the
  model's input; both are means over the chosen heads, over all of them where the map shows “max”.
- **Similarity**: mean cosine between patch tokens after each block; of *this token*: its mean cosine with the other
  patches. **‖A(V − AV)‖ / ‖AV‖**: Frobenius norms over the patch tokens, mean over heads.

Maps are drawn by monotone cubic curves through the patches' values, downwards and then across (Fritsch & Carlson 1980):
a patch's centre has its own value, and nothing between two patches is above or below both. Colour and opacity carry the
magnitude; of signed maps negative values are blue and 0 is the photograph. **Contours** are at eighths of the scale.

A is sent in one byte an entry, rollout in two. Values are printed in the digits that hold all the same, right to within
one unit of the last; where fewer than two do, as what the value lies between, and where it cannot be told from 0, as
“< x”. Prefix tokens (CLS; in some models a distillation token or registers) are not drawn; the row of each can be, with
it as the query. A heatmap is not an attribution: it does not say what the prediction rests on.
"""
    )
