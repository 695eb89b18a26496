"""A kind of figure as one record: which settings it reads, what it is made of and what its caption says.

Each of them is a module of `templates`, which lists them. This module knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

PAGE = ("preset", "width", "height", "dpi", "font", "font_size", "letters", "names")
"""The settings that every template reads."""
MODELS = ("input_size",)
"""The settings of the models, which every template reads."""
LOOK = ("scale", "colour_map", "opacity", "smooth", "bare")
"""Those of maps over photographs."""
LABELS = ("row_labels", "column_labels")
"""Those of grids."""


class Takes(Enum):
    """What a template is made of besides the models."""

    PHOTOGRAPHS = auto()
    PHOTOGRAPHS_OR_NONE = auto()
    RESULTS = auto()
    """Files of `explorer robustness`."""


def last_layer(depth: int) -> tuple[int, ...]:
    """The layer that is shown where none is asked for, from 1."""
    return (depth,)


def nothing_idle(values: Mapping[str, Any]) -> Set[str]:
    """Every setting is read, whatever the others are."""
    return frozenset()


@dataclass(frozen=True)
class Template:
    """What a figure shows, and how."""

    name: str
    """What the shell, Python and the record call it."""
    title: str
    """On the page, with the figures of the paper it is like."""
    settings: tuple[str, ...] = field(repr=False)
    """Settings of a `Spec` that it reads besides `PAGE`, in the order in which the page asks for them."""
    gather: Callable[..., Any] = field(repr=False)  # what it gives brings torch and matplotlib with it
    """The `Content` of a `FigureRun` and the layers shown: runs the images."""
    caption: Callable[..., list[str]] = field(repr=False)
    """Of a `Spec` and its `Content`: sentences in LaTeX that say what is seen, by which definition."""
    off_page: tuple[str, ...] = field(default=(), repr=False)
    """Settings that it reads, too, and that only the shell and Python give."""
    idle: Callable[[Mapping[str, Any]], Set[str]] = field(default=nothing_idle, repr=False)
    """Which of its settings are not read, given the values of all."""
    default_layers: Callable[[int], tuple[int, ...]] = field(default=last_layer, repr=False)
    """Of models of so many blocks, from 1."""
    takes: Takes = field(default=Takes.PHOTOGRAPHS, repr=False)
    is_grid: bool = field(default=False, repr=False)
    """It shows photographs, so that there is a limit to their number."""
    is_heatmap: bool = field(default=False, repr=False)
    """It shows rows of attention, which the caption does not let pass for an attribution."""

    @property
    def reads(self) -> frozenset[str]:
        """Every setting that may change it."""
        return frozenset((*self.settings, *self.off_page, *PAGE, *MODELS))
