"""FAN's class-attention blocks: what CLS attends to after the last block, which has no row in any map of the viewer."""

from __future__ import annotations

import streamlit as st

from explorer.figures import maps as figures
from explorer.figures.screen.maps import interactive
from explorer.figures.settings import Look
from explorer.figures.style import Range
from explorer.measures import attention
from explorer.pictures import preprocess
from explorer.ui.shell import panels
from explorer.ui.shell.session import View, array, palette, plain


def show(view: View) -> None:
    """Its maps for each model that has such blocks, and what a channel attention is; nothing for others."""
    for index, trace in enumerate(view.comparison()):
        if trace.class_attention is None:
            continue
        card = view.pair.cards[index]
        st.subheader(f"Class attention of {plain(card.name)}", anchor=False)
        picture = preprocess.sharp_view(view.photo.image.rgb, card.preprocessing)
        drawn = array(attention.class_maps(trace))
        own = trace.class_attention[:, :, 0].mean(dim=1).tolist()
        for number, (slot, values, share) in enumerate(zip(st.columns(len(drawn)), drawn, own, strict=True), start=1):
            name = f"class attention, block {number}"
            chart = interactive(
                figures.draw(picture, values, Range.of(values, signed=False), Look()),
                figures.hover_texts(values, name),
                values.shape,
                palette(),
            )
            panels.map_chart(slot, chart, f"class-map-{index}-{number}", f"{name}, {plain(card.name)}")
            slot.caption(f"Block {number} of {len(drawn)}, mean over heads; CLS keeps {share:.0%} for itself.")
        st.caption(
            "FAN's blocks mix patches without CLS, so the maps above are of patches: at rest their mean row, and each "
            "patch as a query. CLS reads the patches here, at the end. The channel attention of a block weighs "
            "channels: it is no matrix between patches and has no map. Operators act on the token mixing alone."
        )
