"""Attention heatmaps of both models over the photograph."""

from dataclasses import replace
from functools import partial

import streamlit as st

from explorer.figures import maps as figures
from explorer.measures.attention import Heads, Operator
from explorer.ui import attention_view as av
from explorer.ui import panels, view
from explorer.ui.session import palette

QUIET = {"displayModeBar": False}
chosen = view()
colours = palette()
panels.opening(
    "Attention",
    "Which patches one token looks at, in both models. Click a patch to see what **it** looks at; compare how "
    "concentrated the maps stay towards the last layers.",
)
panels.warn_swapped(chosen)
comparison = chosen.comparison()
depth, heads = av.shared_depth(comparison), av.shared_heads(comparison)

layer_column, head_column, operator_column = st.columns([2.4, 2.8, 4], gap="medium")
layer = layer_column.slider("Layer", 1, depth, depth, key="layer", bind="query-params") - 1
operator = Operator(
    operator_column.segmented_control(
        "Operator",
        [o.value for o in Operator],
        default=Operator.EFFECTIVE.value,
        key="operator",
        required=True,
        bind="query-params",
        help="**effective**: what a block really applies to V (A in a standard block, 2A − A² in a twicing one). "
        "**rollout**: product over layers of (E + I)/2, E the mean over heads of the effective matrix.",
    )
)
head_options = [Heads.MEAN.value, Heads.MAX.value, *(str(h) for h in range(1, heads + 1))]
head = head_column.segmented_control(
    "Head",
    head_options,
    default="mean",
    key="head",
    required=True,
    bind="query-params",
    disabled=operator is Operator.ROLLOUT,
    help="**max** takes, patch by patch, the head with the largest magnitude.",
)
head_choice = int(head) - 1 if head.isdigit() else Heads(head)
show_column, reset_column, seen_column, cells_column = st.columns([3, 2, 2.6, 2], vertical_alignment="bottom")
show = show_column.segmented_control(
    "Show",
    ["overlay", "bare map", "difference"],
    default="overlay",
    key="show",
    required=True,
    persist_state="session",
)
query = st.session_state.get(av.QUERY, av.Query())
if reset_column.button("Back to CLS", disabled=query.place is None, width="stretch"):
    query = av.Query()
st.session_state[av.QUERY] = query
as_seen = seen_column.toggle(
    "As the model saw it",
    key="as-seen",
    persist_state="session",
    help="The crop at the model's own resolution, no map.",
)
smooth = cells_column.toggle("Smooth", value=True, key="smooth", persist_state="session")

pair = [
    av.model_maps(trace, card, query, operator, head_choice)
    for trace, card in zip(comparison, chosen.pair.cards, strict=True)
]
look = replace(chosen.look, bare=show == "bare map", smooth=smooth)
sharp = av.photographs(chosen, as_seen=False)
pictures = [av.enlarged(seen) for seen in av.photographs(chosen, as_seen=True)] if as_seen else sharp


def large_map(picture, values, span, texts, key):
    grid = values.shape
    drawn = picture if as_seen else figures.draw(picture, values, span, look)
    figure = figures.interactive(drawn, texts, grid, query.patch(grid), colours)
    st.plotly_chart(
        figure,
        key=key,
        on_select=partial(av.pick, key, grid),
        selection_mode="points",
        config=QUIET,
        alt=f"Map of {query.words(grid)} in layer {layer + 1}",
    )


def bar(span, title, key):
    words = f"{title} for {query.words(comparison.baseline.grid)}, layer {layer + 1}, scale: {chosen.scale}"
    st.plotly_chart(figures.colour_bar(span, look.colour_map, colours, words), key=key, config=QUIET)


if show == "difference":
    change = av.difference(pair)[layer]
    span = av.difference_range(change, chosen.scale)
    st.markdown(f"**Difference**: {pair[1].label} of the second model minus {pair[0].label} of the first.")
    with st.columns([1, 2, 1])[1]:
        large_map(sharp[0], change, span, av.hover_texts([change], ["difference"]), "map-difference")
    bar(span, "difference of weights", "bar-difference")
else:
    ranges = av.layer_ranges(pair, layer, chosen.scale)
    same_grid = pair[0].maps.shape[1:] == pair[1].maps.shape[1:]
    for index, (slot, one) in enumerate(zip(st.columns(2, gap="medium"), pair, strict=True)):
        shown, names = (pair, chosen.names) if same_grid else ([one], [chosen.names[index]])
        with slot:
            panels.model_heading(chosen, index, one.label)
            texts = av.hover_texts([m.maps[layer] for m in shown], names)
            large_map(pictures[index], one.maps[layer], ranges[index], texts, f"map-{index}")
            if ranges[0] != ranges[1]:
                bar(ranges[index], "weight of each patch", f"bar-{index}")
    if ranges[0] == ranges[1]:
        bar(ranges[0], "weight of each patch", "bar")
    panels.layer_strip(
        chosen,
        [
            [
                figures.thumbnail(sharp[index], one.maps[at], av.layer_ranges(pair, at, chosen.scale)[index], look)
                for at in range(depth)
            ]
            for index, one in enumerate(pair)
        ],
        layer,
    )
st.caption(f"{av.DEFINITIONS[operator]} CLS is not drawn; a heatmap is not an attribution.")
panels.predictions(chosen, comparison)
