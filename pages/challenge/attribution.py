"""Which pixels a class rests on, in both models, by eight methods, and how far such a map can be trusted."""

from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.attribution.result import Unit
from explorer.attribution.settings import Method
from explorer.figures import maps as figures
from explorer.figures.screen.maps import colour_bar, interactive
from explorer.figures.settings import ColourScale
from explorer.figures.style import Range
from explorer.pictures import preprocess
from explorer.ui import view, work
from explorer.ui.challenge import classes
from explorer.ui.challenge.attribution import compute, controls, draw
from explorer.ui.shell import choices, panels
from explorer.ui.shell.session import array, palette, plain, signed

chosen = view()
colours = palette()
panels.opening(
    "Attribution",
    "Attention says where a model looks, not what its answer rests on: attention is not attribution. Here red speaks "
    "for a class and blue against it; look whether both models rest on the same parts, and whether methods agree.",
)
panels.warn_swapped(chosen)
comparison = chosen.comparison()
method_column, class_column, grid_column, room = st.columns([3, 3, 2, 3], gap="medium")
method = choices.select("Method", Method.GRAD_CAM, key="attribution-method", place=method_column)
with class_column:
    targets = classes.choose(chosen, comparison, "attribution-class")
by = choices.segments(
    "Show by",
    Unit.PATCHES,
    key="attribution-grid",
    place=grid_column,
    help="**pixels**: as the method gives it. **patches**: mean over the pixels of each patch, which is what the "
    "models divide the picture into. Methods that give one value per patch look the same.",
)
settings = controls.choose_settings(method)
look, scale = panels.look(method.is_signed)
places = [column.container() for column in st.columns(2, gap="medium")]
pictures = [preprocess.sharp_view(chosen.photo.image.rgb, card.preprocessing) for card in chosen.pair.cards]
frames = []
for index, place in enumerate(places):
    with place:
        said = classes.answer(chosen.pair.cards[index], tuple(comparison)[index].logits, targets[index])
        panels.model_heading(chosen, index, said)
        frames.append(st.empty())
ready = compute.are_kept(chosen, method, targets, settings)
if not ready:  # photographs of the maps' size keep their place
    for index, (frame, picture) in enumerate(zip(frames, pictures, strict=True)):
        empty = interactive(picture, ["no map yet"], (1, 1), colours)
        panels.map_chart(frame, empty, f"attribution-frame-{index}", "The photograph; no map yet")
attributions = work.offered(
    "attribution",
    ("attribution", chosen.photo.digest, *(card.key for card in chosen.pair.cards), method, targets, settings),
    work.line(room),
    f"{method.label} …",
    lambda tell: compute.maps(chosen, method, targets, settings, tell),
    ready,
)
if attributions is None:
    st.stop()
values = [
    array(attribution.on_pixels() if by is Unit.PIXELS else attribution.on_patches()) for attribution in attributions
]
within = [compute.within(of_model) if by is Unit.PIXELS else of_model for of_model in values]
spans = [Range.of(of_model, signed=method.is_signed) for of_model in within]
if scale is ColourScale.SHARED:
    spans = [Range.of(*within, signed=method.is_signed)] * 2
if by is Unit.PIXELS:
    look = replace(look, smooth=False)
for index, place in enumerate(places):
    drawn = figures.draw(pictures[index], values[index], spans[index], look)
    by_patch = array(attributions[index].on_patches())
    texts = figures.hover_texts(by_patch, f"{method.label}, mean over the patch")
    figure = interactive(drawn, texts, by_patch.shape, colours)
    panels.map_chart(frames[index], figure, f"attribution-map-{index}", f"{method.label} for {chosen.names[index]}")
    ends = "; ends at the 99th percentile" if by is Unit.PIXELS else ""
    measured = f"{method.label}, {method.unit}" if method.unit else method.label
    bar = colour_bar(spans[index], look.colour_map, colours, measured + ends)
    place.plotly_chart(bar, key=f"attribution-bar-{index}", config={"displayModeBar": False})
    delta = attributions[index].delta
    if delta is not None:
        total = float(np.sum(array(attributions[index].on_pixels())))
        place.caption(
            f"Sum {signed(total)} logits; convergence delta {signed(delta)}: "
            "the sum minus (y(image) − y(baseline)). More steps bring it nearer to 0."
        )
if targets[0] != targets[1] and chosen.pair.baseline.wnids == chosen.pair.twicing.wnids:
    st.caption(
        "The models' first choices differ, so their maps are about **different classes**; choose one class to compare."
    )
panels.class_note(chosen)
draw.faithfulness(chosen, attributions, [plain(name) for name in chosen.names])
draw.agreement(chosen, targets, attributions[0])
