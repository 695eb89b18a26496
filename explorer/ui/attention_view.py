"""The attention page's arithmetic between controls and pictures: which maps, on which scale, with which words."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from jaxtyping import Float, UInt8

from explorer import images
from explorer.figures import maps as figure_maps
from explorer.figures.maps import number
from explorer.figures.style import Range
from explorer.measures import attention
from explorer.measures.attention import HeadChoice, Operator
from explorer.types import Comparison, ExplorerError, ModelCard, Size, Trace
from explorer.ui.session import View, array

QUERY = "query"
"""Session key of the query."""
LayerMaps = Float[np.ndarray, "layer height width"]


DEFINITIONS = {
    Operator.EFFECTIVE: "The effective operator p(A) = aA + (1 − a)A² of each block, the matrix applied to V: A where "
    "a = 1, 2A − A² where a = 2. Entries of 2A − A² can be negative.",
    Operator.ATTENTION: "A = softmax(QKᵀ/√d): each row sums to 1 over all tokens (paper Eqn 2).",
    Operator.CORRECTION: "A − A²: what twicing adds, or would add, to A. Each row sums to 0.",
    Operator.TWICING: "2A − A²: each row sums to 1 over all tokens, and entries can be negative (paper Def. 2).",
    Operator.ROLLOUT: "Product over the layers so far of (E + I)/2, E the mean over heads of the effective operators; "
    "not normalised or clamped, so it can be negative (Abnar & Zuidema 2020, adapted).",
}
"""What the numbers on the maps are, for beneath them."""


@dataclass(frozen=True)
class Query:
    """The token whose row is shown: a place on the image, as shares of height and width, or the first prefix token.

    A place rather than a patch number, so that it stays where it is when models have other grids.
    """

    place: tuple[float, float] | None = None

    @classmethod
    def of_patch(cls, number: int, grid: Size) -> Query:
        """The centre of a patch, counted row by row."""
        row, column = divmod(number, grid[1])
        return cls(((row + 0.5) / grid[0], (column + 0.5) / grid[1]))

    def patch(self, grid: Size) -> tuple[int, int] | None:
        """Row and column of the patch at this place."""
        if self.place is None:
            return None
        row, column = (min(int(p * g), g - 1) for p, g in zip(self.place, grid, strict=True))
        return row, column

    def token(self, trace: Trace) -> int:
        """Its row in this trace's matrices."""
        patch = self.patch(trace.grid)
        return 0 if patch is None else trace.prefix + patch[0] * trace.grid[1] + patch[1]

    def words(self, grid: Size) -> str:
        patch = self.patch(grid)
        return "CLS" if patch is None else f"patch row {patch[0] + 1}, column {patch[1] + 1}"


def pick(key: str, grid: Size) -> None:
    """Makes the patch selected in the chart `key` the query.

    A callback must live in a module: Streamlit keeps it as long as the session, one for every figure ever drawn, and
    a function of the page's keeps everything that page had computed, 5 MiB for each image.
    """
    points = st.session_state[key].selection.point_indices
    if points:
        st.session_state[QUERY] = Query.of_patch(points[0], grid)


@dataclass(frozen=True, eq=False)
class ModelMaps:
    """Maps of one model in every layer, and how it names the operator."""

    maps: LayerMaps
    signed: tuple[bool, ...]
    """For each layer, whether its values are drawn around 0."""
    label: str


def model_maps(trace: Trace, card: ModelCard, query: Query, operator: Operator, heads: HeadChoice) -> ModelMaps:
    """Row of the query over the patches, for every layer."""
    per_token = attention.maps(trace, query.token(trace), operator, heads)
    label = card.operator if operator is Operator.EFFECTIVE else str(operator.value)
    signed = tuple(attention.is_signed(operator, trace, layer) for layer in range(trace.depth))
    return ModelMaps(array(attention.patch_maps(per_token, trace)), signed, label)


def layer_ranges(pair: Sequence[ModelMaps], layer: int, scale: str) -> list[Range]:
    """The colour range of each model's map in one layer; see the sidebar's `Scale`."""
    chosen = [m.maps[layer] for m in pair]
    if scale == "map":
        return [Range.of(m, signed=p.signed[layer]) for m, p in zip(chosen, pair, strict=True)]
    signed = any(p.signed[layer] for p in pair)
    if scale == "absolute":
        return [Range(-1.0 if signed else 0.0, 1.0)] * len(pair)
    return [Range.of(*chosen, signed=signed)] * len(pair)


def difference(pair: Sequence[ModelMaps]) -> LayerMaps:
    """Second model minus first, in every layer they share.

    Raises `ExplorerError` where the grids differ.
    """
    first, second = (m.maps for m in pair)
    if first.shape[1:] != second.shape[1:]:
        raise ExplorerError(
            f"A difference needs equal patch grids; {first.shape[1]}x{first.shape[2]} and "
            f"{second.shape[1]}x{second.shape[2]} came."
        )
    depth = min(len(first), len(second))
    change: LayerMaps = second[:depth] - first[:depth]
    return change


def difference_range(values: Float[np.ndarray, "height width"], scale: str) -> Range:
    """Around 0 to the largest difference, or to 1 on the absolute scale."""
    return Range(-1.0, 1.0) if scale == "absolute" else Range.of(values, signed=True)


def hover_texts(values: Sequence[Float[np.ndarray, "height width"]], names: Sequence[str]) -> list[str]:
    """One text per patch of the first map: its place and every map's value there."""
    rows, columns = values[0].shape
    return [
        f"row {y + 1}, column {x + 1}<br>"
        + "<br>".join(f"{html.escape(name)}: {number(float(v[y, x]))}" for name, v in zip(names, values, strict=True))
        for y in range(rows)
        for x in range(columns)
    ]


def photographs(view: View, as_seen: bool) -> list[figure_maps.Picture]:
    """The crop under each model's map: sharp, or exactly as the model saw it."""
    return [
        images.model_view(view.photo.image.rgb, card.preprocessing)
        if as_seen
        else images.sharp_view(view.photo.image.rgb, card.preprocessing)
        for card in view.pair.cards
    ]


def enlarged(picture: figure_maps.Picture, side: int = 448) -> UInt8[np.ndarray, "_ _ 3"]:
    """Small crops at a size a screen shows without smoothing of its own."""
    factor = max(1, side // picture.shape[0])
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)


def shared_depth(comparison: Comparison) -> int:
    """Layers that both models have."""
    return min(trace.depth for trace in comparison)


def shared_heads(comparison: Comparison) -> int:
    """Heads that both models have."""
    return min(trace.heads for trace in comparison)
