"""What a figure shows: arrays, laid out, and as numbers for others to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.figures.print.cells import Grid
from explorer.figures.print.charts import Curves, Dynamics, Spectra
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
        lists = [one.tolist() if isinstance(one, np.ndarray) else list(one) for one in columns.values()]
        return cls(tuple(columns), tuple(zip(*lists, strict=False)))


@dataclass(frozen=True, eq=False)
class Content:
    """What is drawn, and what it says in numbers."""

    shown: Grid | Curves | Dynamics | Spectra | Trials
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
    sweeps: tuple[Sweep, ...] = ()
    """What result files hold."""
