"""Lesson 4's three filters of one photograph's patches: nonlocal means, and a head of either model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image

from explorer.lessons import attention_filter
from explorer.lessons.attention_filter import FilteredPatches, PatchFilter
from explorer.lessons.nonlocal_means import FloatPicture
from explorer.paper import operators
from explorer.pictures import preprocess
from explorer.settings import Option
from explorer.types import ModelCard, Picture, Size
from explorer.ui.shell import choices, panels
from explorer.ui.shell.session import View, array, palette

_PATCH = 16
"""Pixels a side to which every patch of the photograph is resized."""
_MAP = 320
"""Pixels a side of the maps over the photograph."""
"""What of every patch is filtered."""
NLM = "Nonlocal means"


@dataclass(frozen=True)
class FilteredSide:
    """One filter: its name, its matrix, and the photograph as its patches see it."""

    name: str
    colour: str
    filter: PatchFilter
    photograph: Picture
    """For maps to lie on."""
    patches: attention_filter.Patches
    left_out: float = 0.0
    """The weight of keys that are no patch, before rows were renormalised."""
    applied: str = "A"
    """What the block really applies to its values."""


class FilteredValues(Option):
    """What of every patch is filtered."""

    COLOURS = "mean colour"
    PIXELS = "all pixels"


@dataclass(frozen=True)
class FilterSettings:
    """What the sliders say: the bandwidth, and layer and head of each model, 0-based."""

    bandwidth: float = 0.15
    layers: tuple[int, int] = (0, 0)
    heads: tuple[int, int] = (0, 0)
    values: FilteredValues = FilteredValues.COLOURS


def controls(chosen: View) -> FilterSettings:
    """The bandwidth, and a layer and a head of either model: heads of two models do not correspond."""
    first, *models = st.columns(3, gap="large")
    with first:
        _heading(NLM)
        bandwidth = st.slider("Bandwidth h", 0.02, 0.6, 0.15, 0.01, key="lesson4-h", persist_state="session")
        values = choices.segments(
            "Filtered is",
            FilteredValues.COLOURS,
            key="lesson4-values",
            help="Of every patch its mean colour, or all of its pixels as one vector.",
        )
    layers, heads = [], []
    comparison = chosen.comparison()
    for index, (column, trace) in enumerate(zip(models, comparison, strict=True)):
        with column:
            panels.model_heading(chosen, index)
            layers.append(choose_index("Layer", trace.depth, 1, _key(index, "layer", trace.depth)))
            heads.append(choose_index("Head", trace.heads, min(trace.heads, 2), _key(index, "head", trace.heads)))
    return FilterSettings(bandwidth, (layers[0], layers[1]), (heads[0], heads[1]), values)


def _heading(name: str) -> None:
    st.html(f'<strong style="font-size:1.1rem">{name}</strong>')


def _key(index: int, axis: str, count: int) -> str:
    return f"lesson4-{axis}-{index}-{count}"


def choose_index(label: str, count: int, start: int, key: str) -> int:
    """A slider from 1, or the only choice there is; 0-based."""
    if count == 1:
        st.caption(f"{label} 1 is the only one.")
        return 0
    return int(st.slider(label, 1, count, start, key=key, persist_state="session")) - 1


def patches_of(view: View, card: ModelCard, grid: Size) -> FloatPicture:
    """What a model sees of the photograph, every patch `_PATCH` px a side."""
    sharp = preprocess.sharp_view(view.photo.image.rgb, card.preprocessing, side=grid[0] * _PATCH)
    resized = Image.fromarray(sharp).resize((grid[1] * _PATCH, grid[0] * _PATCH), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.float32) / np.float32(255)


def filtered_sides(chosen: View, settings: FilterSettings) -> list[FilteredSide]:
    """Nonlocal means on the baseline's grid, then a head of either model."""
    sides = []
    for index, (card, trace) in enumerate(zip(chosen.pair.cards, chosen.comparison(), strict=True)):
        patches = attention_filter.cut(patches_of(chosen, card, trace.grid), trace.grid)
        photograph = preprocess.sharp_view(chosen.photo.image.rgb, card.preprocessing, side=_MAP)
        if index == 0:
            nlm = attention_filter.nonlocal_means(patches, settings.bandwidth, trace.grid)
            sides.append(FilteredSide(NLM, palette().text, nlm, photograph, patches))
        layer, head = settings.layers[index], settings.heads[index]
        matrix = array(trace.attention[layer, head])
        sides.append(
            FilteredSide(
                f"{card.title}, layer {layer + 1}, head {head + 1}",
                palette().models[index],
                attention_filter.attention(matrix, trace.prefix, trace.grid),
                photograph,
                patches,
                attention_filter.prefix_weight(matrix, trace.prefix) if trace.prefix else 0.0,
                str(operators.polynomials(card.filter[layer], layer)[0]),
            )
        )
    return sides


def steps(side: FilteredSide, values: FilteredValues) -> tuple[FilteredPatches, Callable[[np.ndarray], FloatPicture]]:
    """The photograph's patches through the filter, and how to lay them out as a picture."""
    grid = side.filter.grid
    if values is FilteredValues.PIXELS:
        done = side.filter.apply(side.patches)
        return done, lambda patches: attention_filter.joined(patches, grid, (_PATCH, _PATCH))
    done = side.filter.apply(attention_filter.mean_colours(side.patches))
    return done, lambda patches: attention_filter.joined(patches, grid)
