"""What the studio page keeps of a figure between two runs, and who draws when: no figure waits for a long one.

Models are asked in the engine's turns; drawing is a process's work (`figures.print.press`), previews and small files in
one queue, large files in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamlit.delta_generator import DeltaGenerator

from explorer.figures.print.plates import Plate, Print
from explorer.figures.print.press import PATIENCE, begin, pressed
from explorer.jobs.progress import parts
from explorer.serving.cache import ByteLRU, cache_of, once
from explorer.serving.pair import ModelPair
from explorer.serving.turns import Turns
from explorer.studio import Made, Spec, make
from explorer.studio.made import Press
from explorer.types import Progress
from explorer.ui import work
from explorer.ui.shell import resources
from explorer.ui.shell.session import Photo, View

MOST_PIXELS = 25_000_000
"""Of a figure that the page makes files of; a shell takes eight times as many."""
QUICK_PIXELS = 5_000_000
"""So many are drawn when a file is asked for, in a few seconds; more under a bar that can be cancelled."""
PREVIEW_PATIENCE = 20.0
"""Seconds that drawing a preview may take: as long as others may wait for theirs."""
_previews, _files = Turns(), Turns()


@dataclass(frozen=True)
class Preview:
    """What the page shows of a figure: small, where the figure itself holds photographs."""

    preview: bytes
    caption: str
    command: str
    size: tuple[float, float]

    @property
    def nbytes(self) -> int:
        return len(self.preview)

    def pixels(self, spec: Spec) -> int:
        """How many the figure has at its own dots per inch."""
        return round(self.size[0] * self.size[1] * spec.dpi**2)


def build(view: View, spec: Spec, photos: Sequence[Photo], progress: Progress | None = None) -> Made:
    """Gathers what the figure needs, with the server's engine."""
    return make(spec, photos, ModelPair(resources.engine(), *view.pair.cards), progress)


@once
def _kept() -> ByteLRU[tuple[object, ...], Preview]:
    return cache_of("previews")


@once
def _figures() -> ByteLRU[tuple[object, ...], Made]:
    """The last figures of all visitors, for the files that are asked for after the preview."""
    return cache_of("figures")


def _key(view: View, spec: Spec, photos: Sequence[Photo]) -> tuple[object, ...]:
    return (spec, tuple((photo.digest, photo.title) for photo in photos), *(card.key for card in view.pair.cards))


def preview(view: View, spec: Spec, photos: Sequence[Photo], slot: DeltaGenerator) -> Preview | None:
    """The preview and the words of a figure, made when it is not one of the last again, under a bar in `slot`.

    `None` when it was cancelled or could not be made, which is then said there.
    """
    key = _key(view, spec, photos)
    kept = _kept().get(key)

    def show(progress: Progress) -> Preview:
        return kept or _preview(view, spec, photos, progress)

    return work.offered("studio-figure", key, slot, "Making the figure", show, kept is not None)


def _preview(view: View, spec: Spec, photos: Sequence[Photo], progress: Progress) -> Preview:
    begin()
    images, drawing = (parts(progress, 2)(index) for index in range(2))

    def draw() -> Preview:
        figure = _figure(view, spec, photos, images)
        small = figure.preview(_press(_previews, PREVIEW_PATIENCE, drawing))
        return Preview(small.data, figure.caption, figure.command, small.size)

    return _kept().get_or_make(_key(view, spec, photos), draw, images)


def file(view: View, spec: Spec, photos: Sequence[Photo], suffix: str) -> Callable[[], bytes]:
    """For a download button: draws the file when it is asked for, of the figure that was previewed while it is kept."""
    return lambda: _figure(view, spec, photos).file(suffix, _press(_previews, PREVIEW_PATIENCE))


def large_file(view: View, spec: Spec, photos: Sequence[Photo], suffix: str, slot: DeltaGenerator) -> bytes | None:
    """A file of more than `QUICK_PIXELS`, drawn when the button in `slot` was pressed; remembered for everybody."""
    key = ("studio-file", *_key(view, spec, photos), suffix)

    def draw(progress: Progress) -> bytes:
        images, drawing = (parts(progress, 2)(index) for index in range(2))
        return work.remembered(
            key,
            lambda: _figure(view, spec, photos, images).file(suffix, _press(_files, PATIENCE, drawing)),
            len,
            images,
        )

    words, start = f"Drawing; it may take {PATIENCE:g} s", f"Draw {suffix.removeprefix('.').upper()}"
    return work.offered("studio-file", key, slot, words, draw, work.kept(key) is not None, start)


def _press(turns: Turns, patience: float, progress: Progress | None = None) -> Press:
    """Draws in a process, one of `turns` at a time; the bar says how much of its time is gone."""

    def look(seconds: float) -> None:
        if progress:
            progress(round(1000 * seconds), round(1000 * patience))

    def press(plate: Plate) -> Print:
        with turns.taken(progress):
            return pressed(plate, look, patience)

    return press


def _figure(view: View, spec: Spec, photos: Sequence[Photo], progress: Progress | None = None) -> Made:
    return _figures().get_or_make(_key(view, spec, photos), lambda: build(view, spec, photos, progress), progress)
