"""How maps of several images become rows and columns, and which share a scale; a template says what stands where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from explorer.figures.maps import ScreenPicture
from explorer.figures.print.cells import WHOLE, Bar, Block, Cell, Columns, Grid, GridRow, Region, cells_of
from explorer.figures.print.page import INK
from explorer.figures.settings import ColourScale
from explorer.figures.style import Range
from explorer.measures.settings import Matrix
from explorer.pictures import preprocess
from explorer.studio.run import COLOURS
from explorer.studio.spec import Spec, Underlay
from explorer.types import ROLES, ImageInput, ModelCard, Preprocessing

_MODEL_PIXELS = 256


@dataclass(frozen=True, eq=False)
class Panel:
    """One map and whether it may be negative."""

    values: np.ndarray
    signed: bool
    own: int | None = None
    """The query's own patch where it may be beyond the scale: a multiple of `I` there would let all else vanish."""

    @property
    def scaled(self) -> np.ndarray:
        """The values that a scale has to hold."""
        return self.values if self.own is None else np.delete(self.values, self.own)


@dataclass(frozen=True, eq=False)
class MappedImage:
    """An image and both models' maps of it, by `key`; `marks` are the query's patch in each model's grid."""

    title: str
    image: ImageInput
    sides: tuple[dict[str, Panel], ...]
    marks: Sequence[tuple[int, int] | None]


@dataclass(frozen=True)
class MapRow:
    """The maps beside each other, each by its model and `key`."""

    maps: tuple[tuple[int, str], ...]
    label: str = ""
    colour: str = INK


@dataclass(frozen=True)
class Layout:
    """Where the maps of one image stand, and what is written beside and beneath them."""

    rows: tuple[MapRow, ...]
    columns: tuple[Columns, ...]
    measure: str
    """What the colours measure, as matplotlib's mathematics."""
    group: Callable[[str], str] = str
    """Maps of one image share a scale where this makes the same of their keys."""
    largest: str = "largest of both"
    """Whose value a scale that is shared ends at."""


def key(layer: int, head: str, matrix: Matrix | None = None) -> str:
    """What tells the maps of one model and image apart."""
    return f"layer {layer}, head {head}" + (f", {matrix.label}" if matrix else "")


def of_severity(name: str, severity: int) -> str:
    """The key of a map of a disturbed photograph."""
    return f"{name}, severity {severity}"


def arrange(
    spec: Spec, photos: Sequence[MappedImage], cards: Sequence[ModelCard], layout: Layout
) -> tuple[Grid, tuple[float, ...]]:
    """The grid and its `ends`."""
    scales = Scales(spec.scale, photos, layout.group)
    pictures = _Pictures(spec, cards)

    def cell(photo: MappedImage, side: int, name: str) -> Cell:
        picture, region = pictures.of(photo.image, side)
        values = photo.sides[side][name].values
        return Cell(picture, values, scales.of(photo, side, name), region, mark(photo, side, region))

    blocks = []
    for photo in photos:
        picture, region = pictures.of(photo.image, 0)
        lead = Cell(picture, mark=mark(photo, 0, region))
        rows = tuple(
            GridRow(tuple(cell(photo, side, name) for side, name in row.maps), row.label, row.colour)
            for row in layout.rows
        )
        blocks.append(Block(lead, rows, block_label(spec, photo.title)))
    columns = tuple(headed(spec, columns) for columns in layout.columns)
    bars = scales.bars(layout.measure, layout.largest) if spec.colour_bar else ()
    heading = "Image" if spec.column_labels else ""
    grid = Grid(tuple(blocks), columns, spec.look, bars, heading, spec.letters, spec.bare)
    return grid, ends(grid)


def headed(spec: Spec, columns: Columns) -> Columns:
    """The columns with their headings, if those are asked for."""
    return columns if spec.column_labels else Columns(("",) * len(columns.names))


def block_label(spec: Spec, title: str) -> str:
    """An image's name beside its rows, if that is asked for."""
    return title if spec.row_labels or spec.labels else ""


def ends(grid: Grid) -> tuple[float, ...]:
    """Where the colours of each group of maps end, in the order in which the groups are read."""
    spans = {id(cell.range): cell.range for cell in cells_of(grid) if cell.values is not None}
    return tuple(span.high for span in spans.values())


def arrays(photos: Sequence[MappedImage], names: Sequence[str]) -> dict[str, np.ndarray]:
    """`{model}: {key}` to maps of all images, `[image, row, column]`, and the images' names."""
    by_name: dict[str, np.ndarray] = {"images": np.array(names)}
    for side, role in enumerate(ROLES):
        for name in photos[0].sides[side]:
            by_name[f"{role}, {name}"] = np.stack([photo.sides[side][name].values for photo in photos])
    return by_name


def row_label(name: str, layers: tuple[int, ...], layer: int, heads: tuple[str, ...], head: str) -> str:
    """A model's name with what tells its rows apart."""
    return with_head(name + (f", layer {layer}" if len(layers) > 1 else ""), heads, head)


def with_head(label: str, heads: tuple[str, ...], head: str) -> str:
    """A label with the head, where there are several."""
    return f"{label}, head {head}" if len(heads) > 1 else label


def side_by_side(names: tuple[str, str], layers: tuple[int, ...], heads: tuple[str, ...]) -> tuple[Columns, ...]:
    """The columns of the baseline, then those of twicing: layer by layer, head by head."""
    words = [
        ", ".join((f"layer {layer}",) * (len(layers) > 1) + (f"head {head}",) * (len(heads) > 1))
        for layer in layers
        for head in heads
    ]
    return tuple(Columns(tuple(words), name, colour) for name, colour in zip(names, COLOURS, strict=True))


def maps_side_by_side(layers: tuple[int, ...], heads: tuple[str, ...]) -> tuple[MapRow, ...]:
    """The only row beneath `side_by_side`."""
    return (MapRow(tuple((side, key(layer, head)) for side in (0, 1) for layer in layers for head in heads)),)


def but_last(name: str) -> str:
    """A key without its last part: a group of maps that are for comparing."""
    return name.rpartition(", ")[0]


class Scales:
    """Ranges of the maps: each its own, one for both models, or one for the figure."""

    def __init__(self, scale: ColourScale, photos: Sequence[MappedImage], group: Callable[[str], str]) -> None:
        self._scale, self._key_group = scale, group
        self._ranges: dict[tuple[int, int, str], Range] = {}
        self._groups: dict[tuple[object, ...], Range] = {}
        members: dict[tuple[object, ...], list[tuple[int, int, str]]] = {}
        for index, photo in enumerate(photos):
            for side, maps in enumerate(photo.sides):
                for name in maps:
                    members.setdefault(self._group(index, side, name), []).append((index, side, name))
        for shared, places in members.items():
            panels = [photos[index].sides[side][key] for index, side, key in places]
            span = Range.of(*(p.scaled for p in panels), signed=any(p.signed for p in panels))
            self._groups[shared] = span
            self._ranges |= dict.fromkeys(places, span)
        self._index = {id(photo): index for index, photo in enumerate(photos)}

    def _group(self, index: int, side: int, name: str) -> tuple[object, ...]:
        if self._scale is ColourScale.FIGURE:
            return ()
        return (index, side, name) if self._scale is ColourScale.MAP else (index, self._key_group(name))

    def of(self, photo: MappedImage, side: int, name: str) -> Range:
        return self._ranges[self._index[id(photo)], side, name]

    def bars(self, measure: str, shared: str = Layout.largest) -> tuple[Bar, ...]:
        """One bar with numbers, or one for unsigned and one for signed maps that says what its ends are."""
        if self._scale is ColourScale.FIGURE:
            return (Bar.of(next(iter(self._groups.values())), measure),)
        largest = shared if self._scale is ColourScale.SHARED else "largest of each"
        bars = []
        for signed in sorted({span.signed for span in self._groups.values()}):
            ends = (f"−{largest}", largest) if signed else ("0", largest)
            bars.append(Bar(Range(-1.0 if signed else 0.0, 1.0), measure, ends))
        return tuple(bars)


def mark(photo: MappedImage, side: int, region: Region = WHOLE) -> Region | None:
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
        if self._spec.picture is Underlay.MODEL:
            seen = preprocess.model_view(image.rgb, preprocessing)
            factor = -(-_MODEL_PIXELS // seen.shape[0])  # pixels stay pixels where a reader of PDFs would smooth them
            return seen.repeat(factor, axis=0).repeat(factor, axis=1), WHOLE
        height, width = image.size
        top, left, bottom, right = preprocess.crop_box(image.size, preprocessing)
        if self._spec.picture is Underlay.ORIGINAL:
            region = Region(top / height, left / width, (bottom - top) / height, (right - left) / width)
            return image.rgb, region
        side = max(64, round(bottom - top))
        return preprocess.sharp_view(image.rgb, preprocessing, side), WHOLE
