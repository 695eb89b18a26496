"""Charts that follow sliders: what they show at every position, so that whoever draws them need not ask again.

An amount is an array by the positions of some sliders, or a sum of such arrays: `V = f + s e` is two arrays and a
slider for the noise `s`, where one array for every noise would be twenty. The browser draws a part where its sliders
stand (`viewer/js/lesson.js`), paper as it stood when it was asked for (`screen/sliding.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from explorer.settings import Option

Positions = Mapping[str, int]
"""Where each slider stands, from 0, by its key."""


@dataclass(frozen=True)
class Slider:
    """A control with a few hundred positions at most, each a value and how it is written."""

    key: str
    label: str
    values: tuple[float, ...]
    start: float
    format: str = "{:g}"
    help: str = ""

    @cached_property
    def texts(self) -> tuple[str, ...]:
        return tuple(self.format.format(value) for value in self.values)

    def nearest(self, value: float) -> int:
        """The position whose value is nearest."""
        return int(np.abs(np.array(self.values) - value).argmin())


def steps(low: float, high: float, step: float) -> tuple[float, ...]:
    """The values from low to high, both included."""
    return tuple(round(low + i * step, 6) for i in range(round((high - low) / step) + 1))


@dataclass(frozen=True, eq=False)
class Stack:
    """Values for every position of the sliders `by`: the first axes are theirs, the last is the values'."""

    values: np.ndarray
    by: tuple[str, ...] = ()

    def at(self, positions: Positions) -> np.ndarray:
        return np.asarray(self.values[tuple(positions[key] for key in self.by)])


@dataclass(frozen=True, eq=False)
class Term:
    """A stack with a sign, times the value of a slider where there is one."""

    stack: Stack
    sign: int = 1
    slider: Slider | None = None


@dataclass(frozen=True, eq=False)
class Amount:
    """A sum of terms."""

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, values: Any, *by: Slider) -> Amount:
        """Values by the positions of sliders, or the same at all of them."""
        return cls((Term(Stack(np.asarray(values), tuple(slider.key for slider in by))),))

    def times(self, slider: Slider) -> Amount:
        """Each term times the slider's value; none may have a slider already."""
        assert all(term.slider is None for term in self.terms)
        return Amount(tuple(Term(term.stack, term.sign, slider) for term in self.terms))

    def __add__(self, other: Amount) -> Amount:
        return Amount((*self.terms, *other.terms))

    def __sub__(self, other: Amount) -> Amount:
        return self + Amount(tuple(Term(term.stack, -term.sign, term.slider) for term in other.terms))

    def at(self, positions: Positions) -> Float[np.ndarray, " value"]:
        """The values where the sliders stand."""
        parts = [
            term.sign * (1.0 if term.slider is None else term.slider.values[positions[term.slider.key]])
            * term.stack.at(positions)
            for term in self.terms
        ]  # fmt: skip
        return np.asarray(sum(parts[1:], parts[0]))


class Role(Option):
    """Whose colour something has."""

    BASELINE = "baseline"
    TWICING = "twicing"
    THEORY = "theory"
    TEXT = "text"


class Mark(Option):
    """How a series is drawn."""

    LINE = "line"
    BOTH = "line and points"
    POINTS = "points"
    FAINT = "faint points"
    RINGS = "rings"
    AREA = "area"


@dataclass(frozen=True, eq=False)
class Series:
    """Points of a chart; where a number is missing (NaN) there is none.

    A name may have `<sup>` and `<sub>`, and `{key}` for the text of a slider.
    """

    name: str
    x: Amount
    y: Amount
    role: Role
    mark: Mark = Mark.LINE
    dash: str = "solid"
    width: float = 2.5
    symbol: str = "circle"
    in_legend: bool = True


@dataclass(frozen=True, eq=False)
class Rule:
    """A dotted line across the chart: at a number, or where a slider stands."""

    axis: str
    at: float | Slider


@dataclass(frozen=True, eq=False)
class AxisScale:
    """An axis: its title, and the two ends that it has at each position; `log` in powers of ten."""

    title: str
    ends: Amount
    log: bool = False
    ticks: tuple[float, ...] = ()
    """Where they are; nice ones where there are none."""


@dataclass(frozen=True, eq=False)
class SlidingChart:
    """A chart for every position of its sliders."""

    key: str
    alt: str
    x: AxisScale
    y: AxisScale
    series: Sequence[Series]
    rules: Sequence[Rule] = ()
    height: int = 380


@dataclass(frozen=True, eq=False)
class Slot:
    """The text at every position of some sliders, in an array of strings with an axis for each."""

    texts: np.ndarray
    by: tuple[str, ...]

    @classmethod
    def of(cls, texts: Any, *by: Slider) -> Slot:
        return cls(np.asarray(texts, dtype=object), tuple(slider.key for slider in by))

    def at(self, positions: Positions) -> str:
        return str(self.texts[tuple(positions[key] for key in self.by)])


class WordsKind(Option):
    """How words stand on the page."""

    TEXT = "text"
    CAPTION = "caption"
    WARNING = "warning"


@dataclass(frozen=True, eq=False)
class SlidingWords:
    """A sentence with `{0}`, `{1}`, ... for its slots, and Markdown's `**`; where it is empty it is not there."""

    template: str
    slots: Sequence[Slot] = ()
    kind: WordsKind = WordsKind.CAPTION

    @classmethod
    def literally(cls, text: str) -> SlidingWords:
        """Words of strangers, in which braces are braces."""
        return cls("{0}", (Slot.of(text),))

    def at(self, positions: Positions) -> str:
        return self.template.format(*(slot.at(positions) for slot in self.slots))


@dataclass(frozen=True, eq=False)
class SlidingTable:
    """A small table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[SlidingWords]]


@dataclass(frozen=True, eq=False)
class SlidingMap:
    """A heatmap of one value a patch over a photograph, its colours from `low` to `high`."""

    key: str
    title: str
    alt: str
    values: Amount
    grid: tuple[int, int]
    ends: Amount
    photograph: bytes
    """A JPEG."""


@dataclass(frozen=True, eq=False)
class SlidingPart:
    """What one set of sliders moves, from the top of the page to its foot."""

    sliders: Sequence[Slider]
    charts: Sequence[SlidingChart] = ()
    words: Sequence[SlidingWords] = ()
    tables: Sequence[SlidingTable] = ()
    maps: Sequence[SlidingMap] = ()
    ready: Sequence[bool] | None = None
    """Positions of the first slider that are there already, where they arrive one by one."""


def room(values: np.ndarray, margin: float = 0.06) -> list[float]:
    """The ends of an axis with room for values."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    free = margin * ((high - low) or 1.0)
    return [low - free, high + free]
