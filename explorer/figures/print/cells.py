"""What a grid of pictures and maps for print consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from explorer.figures.maps import Map, ScreenPicture, number
from explorer.figures.print.page import INK
from explorer.figures.settings import Look
from explorer.figures.style import Range


@dataclass(frozen=True)
class Region:
    """A rectangle in shares of a picture."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0


WHOLE = Region()


@dataclass(frozen=True, eq=False)
class Cell:
    """A picture, alone or under a map that covers a region of it; `mark` is outlined, `note` written beneath."""

    picture: ScreenPicture
    values: Map | None = None
    range: Range = Range(0.0, 1.0)
    region: Region = WHOLE
    mark: Region | None = None
    note: str = ""
    is_sharp: bool = False
    """The picture's own pixels stay squares."""

    @property
    def aspect(self) -> float:
        """Height per width."""
        return float(self.picture.shape[0] / self.picture.shape[1])


@dataclass(frozen=True, eq=False)
class GridRow:
    """Cells beside each other; `label` stands upright to their left."""

    cells: tuple[Cell, ...]
    label: str = ""
    colour: str = INK


@dataclass(frozen=True, eq=False)
class Block:
    """One photograph in front, where there is one, and the rows of maps over it."""

    lead: Cell | None
    rows: tuple[GridRow, ...]
    label: str = ""

    @property
    def aspect(self) -> float:
        """Height per width of its cells."""
        return (self.lead or self.rows[0].cells[0]).aspect


@dataclass(frozen=True)
class Columns:
    """Neighbouring columns under one heading."""

    names: tuple[str, ...]
    heading: str = ""
    colour: str = INK


@dataclass(frozen=True)
class Bar:
    """A colour bar: what its ends say, and what it measures."""

    range: Range
    label: str
    ends: tuple[str, str]

    @classmethod
    def of(cls, range: Range, label: str) -> Bar:
        """With the range's own numbers at its ends."""
        return cls(range, label, (number(range.low), number(range.high)))


@dataclass(frozen=True, eq=False)
class Grid:
    """Everything of a grid but how large it is printed."""

    blocks: tuple[Block, ...]
    columns: tuple[Columns, ...]
    look: Look
    bars: tuple[Bar, ...] = ()
    lead_heading: str = ""
    letters: bool = False
    bare: bool = False
    """Maps without the photograph beneath."""


def cells_of(grid: Grid) -> Sequence[Cell]:
    """All cells but the ones in front, as they are read: block by block and row by row."""
    return [cell for block in grid.blocks for row in block.rows for cell in row.cells]
