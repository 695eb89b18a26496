"""How maps of several images, layers, heads and operators become rows and columns, and which share a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from explorer.attribution.result import method_called
from explorer.figures.maps import ScreenPicture
from explorer.figures.print.cells import WHOLE, Bar, Block, Cell, Columns, Grid, GridRow, Region, cells_of
from explorer.figures.print.page import INK
from explorer.figures.style import PALETTES, Range
from explorer.measures.attention import Operator
from explorer.pictures import preprocess
from explorer.studio.spec import Spec, Template
from explorer.types import ROLES, ImageInput, ModelCard, Preprocessing

_SIDES = PALETTES["light"].models
_THREE = (Operator.ATTENTION, Operator.CORRECTION, Operator.TWICING)
_MODEL_PIXELS = 256


@dataclass(frozen=True, eq=False)
class Panel:
    """One map and whether it may be negative."""

    values: np.ndarray
    signed: bool


@dataclass(frozen=True, eq=False)
class Photo:
    """An image and both models' maps of it, by `key`; `marks` are the query's patch in each model's grid."""

    title: str
    image: ImageInput
    sides: tuple[dict[str, Panel], ...]
    marks: Sequence[tuple[int, int] | None]


ATTRIBUTION = "attribution"
"""The key of the only map of a model and image."""


def of_severity(name: str, severity: int) -> str:
    """The key of a map of a disturbed photograph."""
    return f"{name}, severity {severity}"


def key(layer: int, head: str, operator: Operator | None = None) -> str:
    """What tells the maps of one model and image apart."""
    return f"layer {layer}, head {head}" + (f", {operator.value}" if operator else "")


def arrange(
    spec: Spec,
    photos: Sequence[Photo],
    cards: Sequence[ModelCard],
    named: tuple[str, str],
    layers: tuple[int, ...],
    heads: tuple[str, ...],
) -> tuple[Grid, tuple[float, ...]]:
    """The grid and its `ends`."""
    scales = Scales(spec, photos)
    pictures = _Pictures(spec, cards)

    def cell(photo: Photo, side: int, name: str) -> Cell:
        picture, region = pictures.of(photo.image, side)
        values = photo.sides[side][name].values
        return Cell(picture, values, scales.of(photo, side, name), region, mark(photo, side, region))

    blocks = []
    for photo in photos:
        picture, region = pictures.of(photo.image, 0)
        lead = Cell(picture, mark=mark(photo, 0, region))
        rows = tuple(
            GridRow(tuple(cell(photo, side, name) for side, name in names), label, colour)
            for names, label, colour in _rows(spec, named, layers, heads)
        )
        blocks.append(Block(lead, rows, photo.title if spec.row_labels or spec.labels else ""))
    columns = _columns(spec, named, layers, heads)
    if not spec.column_labels:
        columns = tuple(Columns(("",) * len(c.names)) for c in columns)
    bars = scales.bars() if spec.colour_bar else ()
    heading = "Image" if spec.column_labels else ""
    grid = Grid(tuple(blocks), columns, spec.look, bars, heading, spec.letters, spec.bare)
    return grid, ends(grid)


def ends(grid: Grid) -> tuple[float, ...]:
    """Where the colours of each group of maps end, in the order in which the groups are read."""
    spans = {id(cell.range): cell.range for cell in cells_of(grid) if cell.values is not None}
    return tuple(span.high for span in spans.values())


def arrays(photos: Sequence[Photo], names: Sequence[str]) -> dict[str, np.ndarray]:
    """`{model}: {key}` to maps of all images, `[image, row, column]`, and the images' names."""
    found: dict[str, np.ndarray] = {"images": np.array(names)}
    for side, role in enumerate(ROLES):
        for name in photos[0].sides[side]:
            found[f"{role}, {name}"] = np.stack([photo.sides[side][name].values for photo in photos])
    return found


def _rows(
    spec: Spec, named: tuple[str, str], layers: tuple[int, ...], heads: tuple[str, ...]
) -> list[tuple[list[tuple[int, str]], str, str]]:
    """The maps of each row of a block as `(model, key)`, the row's label and its colour."""
    if spec.template is Template.ATTRIBUTION:
        return [([(0, ATTRIBUTION), (1, ATTRIBUTION)], "", INK)]
    if spec.template in (Template.HEATMAPS, Template.RESIDUAL):
        return [([(side, key(layer, head)) for side in (0, 1) for layer in layers for head in heads], "", INK)]
    if spec.template is Template.EVOLUTION:
        return [
            ([(side, key(layer, head)) for layer in layers], _with_head(named[side], heads, head), _SIDES[side])
            for head in heads
            for side in (0, 1)
        ]
    rows = []
    for layer in layers:
        for head in heads:
            for side in (0, 1):
                names = [(side, key(layer, head, operator)) for operator in _THREE]
                rows.append((names, row_label(named[side], layers, layer, heads, head), _SIDES[side]))
    return rows


def row_label(name: str, layers: tuple[int, ...], layer: int, heads: tuple[str, ...], head: str) -> str:
    """A model's name with what tells its rows apart."""
    return _with_head(name + (f", layer {layer}" if len(layers) > 1 else ""), heads, head)


def _with_head(label: str, heads: tuple[str, ...], head: str) -> str:
    return f"{label}, head {head}" if len(heads) > 1 else label


def _columns(
    spec: Spec, named: tuple[str, str], layers: tuple[int, ...], heads: tuple[str, ...]
) -> tuple[Columns, ...]:
    if spec.template is Template.EVOLUTION:
        return (Columns(tuple(str(layer) for layer in layers), "Layer"),)
    if spec.template is Template.OPERATORS:
        return (Columns(tuple(operator.value for operator in _THREE)),)
    both = [(layer, head) for layer in layers for head in heads]
    if len(both) == 1 or spec.template is Template.ATTRIBUTION:
        return tuple(Columns(("",), name, colour) for name, colour in zip(named, _SIDES, strict=True))
    words = [
        ", ".join(
            part
            for part in (
                f"layer {layer}" if len(layers) > 1 else "",
                f"head {head}" if len(heads) > 1 else "",
            )
            if part
        )
        for layer, head in both
    ]
    return tuple(Columns(tuple(words), name, colour) for name, colour in zip(named, _SIDES, strict=True))


class Scales:
    """Ranges of the maps: each its own, one for both models, or one for the figure."""

    def __init__(self, spec: Spec, photos: Sequence[Photo]) -> None:
        self._spec = spec
        self._ranges: dict[tuple[int, int, str], Range] = {}
        self._groups: dict[tuple[object, ...], Range] = {}
        members: dict[tuple[object, ...], list[tuple[int, int, str]]] = {}
        for index, photo in enumerate(photos):
            for side, maps in enumerate(photo.sides):
                for name in maps:
                    members.setdefault(self._group(index, side, name), []).append((index, side, name))
        for group, places in members.items():
            panels = [photos[index].sides[side][name] for index, side, name in places]
            span = Range.of(*(p.values for p in panels), signed=any(p.signed for p in panels))
            self._groups[group] = span
            self._ranges |= dict.fromkeys(places, span)
        self._index = {id(photo): index for index, photo in enumerate(photos)}

    def _group(self, index: int, side: int, name: str) -> tuple[object, ...]:
        if self._spec.scale == "figure":
            return ()
        if self._spec.scale == "map":
            return index, side, name
        # Three operators beside each other, and severities, are for comparing, too.
        if self._spec.template in (Template.OPERATORS, Template.CORRUPTION):
            return index, name.rpartition(", ")[0]
        return index, name

    def of(self, photo: Photo, side: int, name: str) -> Range:
        return self._ranges[self._index[id(photo)], side, name]

    def bars(self) -> tuple[Bar, ...]:
        """One bar with numbers, or one for unsigned and one for signed maps that says what its ends are."""
        label = _label(self._spec)
        if self._spec.scale == "figure":
            return (Bar.of(next(iter(self._groups.values())), label),)
        largest = "largest of both" if self._spec.scale == "shared" else "largest of each"
        found = []
        for signed in sorted({span.signed for span in self._groups.values()}):
            ends = (f"−{largest}", largest) if signed else ("0", largest)
            found.append(Bar(Range(-1.0 if signed else 0.0, 1.0), label, ends))
        return tuple(found)


def _label(spec: Spec) -> str:
    """What the colours measure, as matplotlib's mathematics."""
    if spec.template is Template.ATTRIBUTION:
        return f"{method_called(spec.method)}, mean over each patch"
    if spec.template is Template.RESIDUAL:
        return {
            "smoothed-residual": r"$\|A(V - AV)\|$ of each patch",
            "smoothed": r"$\|AV\|$ of each patch",
            "ratio": r"$\|A(V - AV)\|\,/\,\|AV\|$ of each patch",
        }[spec.quantity]
    if spec.template is Template.OPERATORS:
        return "row of the query"
    return {
        "effective": "effective attention of the query",
        "a": "$A$, attention of the query",
        "a-a2": "$A - A^2$, row of the query",
        "2a-a2": "$2A - A^2$, row of the query",
        "rollout": "attention rollout of the query",
    }[spec.operator]


def mark(photo: Photo, side: int, region: Region = WHOLE) -> Region | None:
    """The query's patch in shares of the picture; `None` for CLS."""
    patch = photo.marks[side]
    if patch is None:
        return None
    (row, column), values = patch, next(iter(photo.sides[side].values())).values
    height, width = region.height / values.shape[0], region.width / values.shape[1]
    return Region(region.top + row * height, region.left + column * width, height, width)


class _Pictures:
    """The photograph as a figure shows it; models that crop alike share its pixels."""

    def __init__(self, spec: Spec, cards: Sequence[ModelCard]) -> None:
        self._spec, self._cards = spec, cards
        self._made: dict[object, tuple[ScreenPicture, Region]] = {}

    def of(self, image: ImageInput, side: int) -> tuple[ScreenPicture, Region]:
        preprocessing = self._cards[side].preprocessing
        statistics = replace(preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)
        name = (image.digest, statistics)
        if name not in self._made:
            self._made[name] = self._make(image, preprocessing)
        return self._made[name]

    def _make(self, image: ImageInput, preprocessing: Preprocessing) -> tuple[ScreenPicture, Region]:
        if self._spec.picture == "model":
            seen = preprocess.model_view(image.rgb, preprocessing)
            factor = -(-_MODEL_PIXELS // seen.shape[0])  # pixels stay pixels where a reader of PDFs would smooth them
            return seen.repeat(factor, axis=0).repeat(factor, axis=1), WHOLE
        height, width = image.size
        top, left, bottom, right = preprocess.crop_box(image.size, preprocessing)
        if self._spec.picture == "original":
            region = Region(top / height, left / width, (bottom - top) / height, (right - left) / width)
            return image.rgb, region
        side = max(64, round(bottom - top))
        return preprocess.sharp_view(image.rgb, preprocessing, side), WHOLE
