"""What one visitor has loaded and chosen: images, the pair of models, how maps are drawn."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from torch import Tensor

from explorer.examples import Example
from explorer.figures.maps import Look
from explorer.figures.style import PALETTES, Palette, Theme
from explorer.types import Comparison, ImageInput, ModelCard
from explorer.ui import resources


@dataclass(frozen=True, eq=False)
class Photo:
    """One image the visitor can pick."""

    key: str
    title: str
    image: ImageInput
    example: Example | None = None


@dataclass(frozen=True)
class Pair:
    """The two models side by side."""

    baseline: ModelCard
    twicing: ModelCard

    @property
    def cards(self) -> tuple[ModelCard, ModelCard]:
        return self.baseline, self.twicing


@dataclass(frozen=True, eq=False)
class View:
    """Everything the sidebar decides, for a page to read."""

    photo: Photo
    photos: Sequence[Photo]
    pair: Pair
    look: Look
    scale: str

    @property
    def names(self) -> tuple[str, str]:
        return display_name(self.pair.baseline), display_name(self.pair.twicing)

    def comparison(self) -> Comparison:
        """Traces of the chosen image under both models."""
        return resources.engine().compare(self.photo.image, self.pair.baseline.key, self.pair.twicing.key)

    def comparisons(self) -> list[Comparison]:
        """Traces of every loaded image under both models."""
        return resources.engine().compare_all(
            [photo.image for photo in self.photos], self.pair.baseline.key, self.pair.twicing.key
        )


def palette() -> Palette:
    """The colours of the visitor's theme."""
    theme: Theme = "dark" if st.context.theme.type == "dark" else "light"
    return PALETTES[theme]


def filter_label(card: ModelCard) -> str:
    """The effective operator of a model in symbols."""
    distinct = set(card.filter)
    if distinct == {1.0}:
        return "A"
    if distinct == {2.0}:
        return "2A − A²"
    if distinct == {1.0, 2.0}:
        twiced = [str(block) for block, a in enumerate(card.filter, start=1) if a == 2.0]
        return f"2A − A² in blocks {', '.join(twiced)}"
    return "aA + (1 − a)A²"


def display_name(card: ModelCard) -> str:
    """The model's name, with the swap said aloud."""
    if card.is_counterfactual:
        return f"{card.name}, operator swapped to {filter_label(card)}"
    return card.name


def plain(text: str, length: int = 60) -> str:
    """Untrusted text without Markdown, HTML or control characters, short enough for a label."""
    visible = "".join(c for c in text if c.isprintable())
    short = visible if len(visible) <= length else visible[: length - 1] + "…"
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])", r"\\\1", short)


def escaped(text: str, length: int = 60) -> str:
    """Untrusted text for `st.html`."""
    return html.escape("".join(c for c in text if c.isprintable())[:length])


def array(tensor: Tensor) -> np.ndarray:
    """A tensor from any device as a NumPy array."""
    return np.asarray(tensor.detach().float().cpu())
