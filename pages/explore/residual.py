"""Magnitudes of the smoothed residual A(V − AV) for both models."""

import numpy as np
import streamlit as st
from jaxtyping import Float
from torch import Tensor

from explorer.figures import maps as figures
from explorer.figures.records import Line
from explorer.figures.screen import curves
from explorer.figures.screen.maps import colour_bar, interactive
from explorer.figures.settings import ColourScale
from explorer.figures.style import Range
from explorer.measures import attention, residual
from explorer.measures.settings import Quantity
from explorer.pictures import preprocess
from explorer.types import STANDARD
from explorer.ui import view
from explorer.ui.shell import choices, detail, panels
from explorer.ui.shell.session import array, palette

chosen = view()
colours = palette()
panels.opening(
    "Smoothed residual",
    "What smoothing by A takes away from the values is V − AV; smoothed once more, A(V − AV), it is what twicing gives "
    "back. Look where on the image, and in which layers, that is most.",
)
panels.warn_swapped(chosen)
detail.control(chosen)
comparison = chosen.comparison()
depth, heads = comparison.depth, comparison.heads
magnitudes = [residual.magnitudes(trace) for trace in comparison]

quantity_column, layer_column, head_column = st.columns([3, 2, 4], gap="medium")
quantity = choices.segments(
    "Quantity",
    Quantity.SMOOTHED_RESIDUAL,
    key="residual-quantity",
    place=quantity_column,
    help="L2 norms over the channels of a head, before the output projection. **ratio**: ‖A(V − AV)‖ / ‖AV‖, on the "
    "map patch by patch, in the curve Frobenius norms over the patch tokens.",
)
layer = layer_column.slider("Layer", 1, depth, depth, key="layer", bind="query-params") - 1
head = head_column.segmented_control(
    "Head",
    ["mean", *(str(h) for h in range(1, heads + 1))],
    default="mean",
    key="residual-head",
    required=True,
    persist_state="session",
)
look, scale = panels.look()


def pick_head(values: Float[Tensor, "layer head ..."]) -> Float[Tensor, "layer ..."]:
    return values.mean(dim=1) if head == "mean" else values[:, int(head) - 1]


maps = [
    array(attention.patch_maps(pick_head(m.per_token(quantity)), trace))
    for m, trace in zip(magnitudes, comparison, strict=True)
]
spans = [Range.of(m[layer], signed=False) for m in maps]
if scale is ColourScale.SHARED:
    spans = [Range(0.0, max(s.high for s in spans))] * 2
for index, slot in enumerate(st.columns(2, gap="medium")):
    with slot:
        standard = chosen.pair.cards[index].filter[layer] == STANDARD
        panels.model_heading(chosen, index, "would give back" if standard and quantity is not Quantity.SMOOTHED else "")
        picture = preprocess.sharp_view(chosen.photo.image.rgb, chosen.pair.cards[index].preprocessing)
        drawn = figures.draw(picture, maps[index][layer], spans[index], look)
        texts = figures.hover_texts(maps[index][layer], quantity.label)
        figure = interactive(drawn, texts, maps[index][layer].shape, colours)
        panels.map_chart(slot, figure, f"residual-map-{index}", f"{quantity.label}, layer {layer + 1}")
        bar = colour_bar(spans[index], look.colour_map, colours, f"{quantity.label} per patch, layer {layer + 1}")
        st.plotly_chart(bar, key=f"residual-bar-{index}", config={"displayModeBar": False})
st.caption(
    "In a standard block A(V − AV) is not part of the output: it is what twicing **would** give back, drawn dashed."
)

lines = []
for m, card, name, colour in zip(magnitudes, chosen.pair.cards, chosen.names, colours.models, strict=True):
    values = array(m.by_layer(quantity))
    curve = values.mean(axis=1) if head == "mean" else values[:, int(head) - 1]
    # Blocks that twice give it back; in the others, dashed, it is what twicing would give back.
    gives = np.array([operator != STANDARD or quantity is Quantity.SMOOTHED for operator in card.filter])
    for part, words, dash in ((gives, "", "solid"), (~gives, ", would give back", "dash")):
        if part.any():
            dash = "dash" if card.is_counterfactual else dash
            lines.append(Line(name + words, np.where(part, curve, np.nan), colour, dash=dash))
            if head == "mean":
                lines += [
                    Line(f"{name}, head {h + 1}", np.where(part, of_head, np.nan), colour, dash=dash, faint=True)
                    for h, of_head in enumerate(values.T)
                ]
figure = curves.by_layer(
    lines,
    colours,
    y=f"{quantity.label}, mean over patches" if quantity is not Quantity.RATIO else "ratio",
    first_layer=1,
    layer=layer + 1,
)
st.plotly_chart(figure, key="residual-curve", config={"displayModeBar": False}, alt=f"{quantity.label} by layer")
st.caption("Thick: mean over heads. Thin: single heads." if head == "mean" else f"Head {head}.")
