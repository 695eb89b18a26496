"""What a figure shows: arrays, laid out, and as numbers for others to use."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from explorer.figures.print.charts import Curves
from explorer.figures.print.plates import Drawing
from explorer.figures.print.trials import Trials
from explorer.studio.sweeps import Sweep


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers with a name for each column."""

    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> Table:
        """Columns beside each other, as long as the shortest."""
        lists = [c.tolist() if isinstance(c, np.ndarray) else list(c) for c in columns.values()]
        return cls(tuple(columns), tuple(zip(*lists, strict=False)))

    @property
    def nbytes(self) -> int:
        """Of its rows, each as large as the first."""
        first = self.rows[0] if self.rows else ()
        return len(self.rows) * (sys.getsizeof(first) + sum(map(sys.getsizeof, first)))


@dataclass(frozen=True, eq=False)
class Content:
    """What is drawn, and what it says in numbers."""

    drawing: Drawing
    digests: tuple[str, ...]
    """SHA-256 of each image, in order."""
    below: Curves | Trials | None = None
    arrays: Mapping[str, np.ndarray] | None = None
    table: Table | None = None
    layers: tuple[int, ...] = ()
    """From 1; empty where a figure shows no single layers."""
    heads: tuple[str, ...] = ()
    """`mean`, `max` or numbers from 1."""
    ranges: tuple[float, ...] = ()
    """Where the colours of each group of maps end, in reading order."""
    outside: tuple[str, ...] = ()
    """How many eigenvalues leave the unit disc, panel by panel."""
    classes: tuple[tuple[str, str], ...] = ()
    """What each image's maps or attacks are about, model by model."""
    operators: tuple[tuple[str, bool], ...] = ()
    """What each operator is called, and whether the weights were trained with it."""
    sweeps: tuple[Sweep, ...] = ()
    """What result files hold."""

    @property
    def nbytes(self) -> int:
        """Of all arrays, those that several cells share counted once, and of the table."""
        owners = {id(owner): owner.nbytes for owner in map(_owner, _arrays(self))}
        return sum(owners.values()) + (self.table.nbytes if self.table else 0)


def _arrays(value: Any) -> Iterator[np.ndarray]:
    """The arrays in records, mappings and sequences; none in tables, which hold numbers."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _arrays(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _arrays(item)
    elif is_dataclass(value) and not isinstance(value, Table):
        for item in fields(value):
            yield from _arrays(getattr(value, item.name))


def _owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory it is a view of."""
    return _owner(array.base) if isinstance(array.base, np.ndarray) else array
