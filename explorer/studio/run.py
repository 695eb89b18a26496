"""The images of a figure, one after the other, and what its settings mean for the models at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from explorer.figures.style import PALETTES, Theme
from explorer.measures import attention
from explorer.measures.attention import Heads
from explorer.pictures.photographs import Photograph
from explorer.serving.pair import ModelPair
from explorer.studio.naming import names
from explorer.studio.spec import Spec
from explorer.traces import Comparison, Trace
from explorer.types import ExplorerError, ImageInput, ModelCard, Progress

COLOURS = PALETTES[Theme.LIGHT].models


class FigureRun:
    """The images of a figure and the two models.

    One image at a time, so that a result never depends on what else was asked. Raises `ExplorerError` for a query that
    neither model has.
    """

    def __init__(
        self, spec: Spec, photographs: Sequence[Photograph], pair: ModelPair, progress: Progress | None
    ) -> None:
        self.spec, self.photographs, self.pair, self._progress = spec, photographs, pair, progress
        _check_query(spec, pair)
        self.digests: list[str] = []
        """SHA-256 of the images that were opened."""

    @property
    def names(self) -> tuple[str, str]:
        return names(self.spec, self.pair)

    @property
    def models(self) -> tuple[tuple[str, str, ModelCard], ...]:
        """Name, colour and card of each."""
        return tuple(zip(self.names, COLOURS, self.pair.cards, strict=True))

    @property
    def files(self) -> tuple[str, ...]:
        """What the images' files are called."""
        return tuple(photograph.name for photograph in self.photographs)

    @property
    def titles(self) -> tuple[str, ...]:
        """What the images' rows are called."""
        return self.spec.labels or tuple(Path(photograph.title).stem for photograph in self.photographs)

    def tell(self, number: int) -> None:
        """Tells that so many images are done."""
        if self._progress:
            self._progress(number, len(self.photographs))

    def images(self) -> Iterator[ImageInput]:
        """Opens them one by one and tells how far it is."""
        for number, photograph in enumerate(self.photographs):
            self.tell(number)
            image = photograph.open()
            self.digests.append(image.digest)
            yield image

    def compared(self) -> Iterator[tuple[ImageInput, Comparison]]:
        """Every image with its traces under both models."""
        for image in self.images():
            yield image, self.pair.compare(image)


def _check_query(spec: Spec, pair: ModelPair) -> None:
    if spec.query == "cls" or spec.place is not None:
        return
    names = [name for card in pair.cards for name in pair.engine.prefix_names(card.key)]
    known = dict.fromkeys(("cls", *map(attention.in_links, names)))
    if spec.query not in known:
        raise ExplorerError(
            f"query: {', '.join(known)} or a place was expected, as these models have; {spec.query} came."
        )


def chosen_layers(spec: Spec, depth: int) -> tuple[int, ...]:
    """Which layers are shown, from 1. Raises `ExplorerError` for one the models do not have."""
    if spec.layers:
        if max(spec.layers) > depth:
            raise ExplorerError(f"layers: 1 to {depth} was expected; {max(spec.layers)} came.")
        return spec.layers
    return spec.template.default_layers(depth)


def chosen_heads(spec: Spec, count: int) -> tuple[str, ...]:
    """Which of `count` heads are shown, from 1 where they are single ones.

    Raises `ExplorerError` for one the models do not have.
    """
    if spec.heads == "all":
        return tuple(str(head) for head in range(1, count + 1))
    if spec.heads.isdecimal() and int(spec.heads) > count:
        raise ExplorerError(f"heads: 1 to {count} was expected; {spec.heads} came.")
    return (spec.heads,)


def head_choice(head: str) -> attention.HeadChoice:
    """`mean`, `max` or a number from 1, as measures take it."""
    return int(head) - 1 if head.isdecimal() else Heads(head)


def token(spec: Spec, trace: Trace) -> attention.Query:
    """The query as a token: a prefix token, what stands in for it in models without it, or the patch at a place."""
    if spec.place is None:
        return attention.query_called(trace, spec.query)
    (rows, columns), (y, x) = trace.grid, spec.place
    return trace.prefix + min(int(y * rows), rows - 1) * columns + min(int(x * columns), columns - 1)


def patch(spec: Spec, trace: Trace) -> tuple[int, int] | None:
    """The query's patch as row and column; `None` for a prefix token."""
    query = token(spec, trace)
    if spec.place is None or query is None:
        return None
    row, column = divmod(query - trace.prefix, trace.grid[1])
    return row, column
