"""What one visitor has loaded and chosen: images and the pair of models."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st
from torch import Tensor

from explorer.arrays import array as array
from explorer.figures.style import PALETTES, Palette, Theme
from explorer.jobs.passes import SimilarityJob
from explorer.measures.settings import Definition
from explorer.pictures.crops import Cropping
from explorer.pictures.examples import Example
from explorer.pictures.photographs import Photograph, cropped
from explorer.serving import engine as serving
from explorer.traces import Comparison
from explorer.types import ImageInput, ModelCard
from explorer.ui.shell import resources

_CHUNK = 8
_QUIET_CHUNKS = 4
"""So many chunks are traced without a progress bar."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Photo(Photograph):
    """A photograph that the visitor can pick; holds no pixels, so that a long list costs nothing."""

    key: str
    digest: str
    thumbnail: str = ""
    example: Example | None = None
    state: Mapping[str, str] | None = None
    """How the viewer showed it, where it comes from a saved view."""
    whole: Photo | None = None
    """Before it was cropped, where it is."""

    @property
    def image(self) -> ImageInput:
        """Decoded, as all visitors share it."""
        if self.whole and self.crop:
            return resources.cropped(self.digest, self.whole, self.crop)
        return resources.reopen(self.digest, self.read)

    def under(self, crop: Cropping | None) -> Photo:
        """The same photograph, cropped."""
        if crop is None:
            return self
        return replace(cropped(self, crop), digest=crop.digest(self.digest), whole=self)


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
    loaded: Pair
    """The same two models at the size of input that they were loaded at."""

    @property
    def names(self) -> tuple[str, str]:
        """What the models are called; two of one title by their place, so that neither hides the other in a table."""
        first, second = (card.title for card in self.pair.cards)
        return (first, second) if first != second else (f"{first} (baseline)", f"{second} (twicing)")

    def comparison(self) -> Comparison:
        """Traces of the chosen image under both models."""
        keys = self.pair.baseline.key, self.pair.twicing.key
        return serving.compare(resources.engine(), [self.photo.image], keys)[0]

    def similarity_of_all(self, definition: Definition) -> list[list[Tensor]]:
        """The similarity curve of every loaded image, per model; computed in chunks, each remembered."""
        store, engine, job = resources.curves(), resources.engine(), SimilarityJob(definition)
        keys = {
            (card.key, photo.digest): (card.key, photo.digest, definition)
            for card in self.pair.cards
            for photo in self.photos
        }
        curves = {short: curve for short, key in keys.items() if (curve := store.get(key)) is not None}
        missing = [
            (card, chunk)
            for card in self.pair.cards
            for chunk in _chunks([p for p in self.photos if (card.key, p.digest) not in curves])
        ]
        progress = st.progress(0.0, "Running the images …") if len(missing) > _QUIET_CHUNKS else None
        for number, (card, chunk) in enumerate(missing):
            computed = serving.ask(engine, job, [photo.image for photo in chunk], card.key)
            for photo, curve in zip(chunk, computed, strict=True):
                curves[card.key, photo.digest] = curve
                store.put((card.key, photo.digest, definition), curve)
            if progress:
                progress.progress((number + 1) / len(missing), "Running the images …")
        if progress:
            progress.empty()
        return [[curves[card.key, photo.digest] for photo in self.photos] for card in self.pair.cards]


def _chunks(photos: list[Photo]) -> list[list[Photo]]:
    return [photos[start : start + _CHUNK] for start in range(0, len(photos), _CHUNK)]


def palette() -> Palette:
    """The colours of the visitor's theme."""
    return PALETTES[Theme.DARK if st.context.theme.type == "dark" else Theme.LIGHT]


def plain(text: str, length: int = 60) -> str:
    """Untrusted text without Markdown, HTML, links or control characters, short enough for a label.

    A zero-width space behind `.`, `:`, `@` and `/` keeps addresses from becoming links and `:name:` icons.
    """
    visible = "".join(c for c in text if c.isprintable())
    short = visible if len(visible) <= length else visible[: length - 1] + "…"
    return re.sub(r"([.:@/])", "\\1\u200b", re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])", r"\\\1", short))


def escaped(text: str, length: int = 60) -> str:
    """Untrusted text for `st.html`."""
    return html.escape("".join(c for c in text if c.isprintable())[:length])


def signed(value: float, digits: str = ".3g") -> str:
    """A number with its sign."""
    return f"{value:+{digits}}".replace("-", "−")
