"""Result files of `python -m explorer robustness`: which there are, and what they say of a pair.

A file may be a stranger's: it is checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from explorer.disturb.settings import MAX_EPS, Attack, Kind, Space
from explorer.pictures.photographs import Photograph, photograph
from explorer.runs import measured, robustness_file
from explorer.runs.robustness_file import AccuracyCurve, Result
from explorer.serving.pair import ModelPair
from explorer.types import ExplorerError, ModelCard

_BROKEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError, RuntimeError)
Shares = tuple[tuple[tuple[float, float, float, float], ...], ...]
"""By model and budget: top-1, the ends of its 95% Wilson interval, top-5."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """One result file of this pair."""

    attack: Attack
    """Its `eps` does not count."""
    data: str
    """What the file remembers of its images: a digest or a name."""
    count: int
    eps: tuple[float, ...]
    """In 255ths."""
    shares: Shares
    """Each model under its own attack."""
    transfer: Shares
    """Each model shown the images that were made to fool the other; none where that was not measured."""
    differences: tuple[tuple[float, float, float], ...]
    """By budget: top-1 of twicing minus the baseline's, paired over images, and its 95% interval."""

    @property
    def title(self) -> str:
        """Short enough to stand over a panel."""
        steps = "" if self.attack.kind is Kind.FGSM else f", {self.attack.steps} steps"
        space = "" if self.attack.space is Space.PIXELS else f", {self.attack.space}"
        return f"{self.attack.kind.label}{steps}{space}"


def inputs(given: Sequence[Any], pair: ModelPair) -> list[Photograph]:
    """The files; where none are given, those of this pair that lie beside the one that opens.

    Raises `ExplorerError` when there are none.
    """
    beside = measured.files()
    names = list(given) or list(measured.of_pair(measured.results(), pair.cards))
    if not names:
        raise ExplorerError(
            "At least one result file of `explorer robustness` was expected for robustness; none came, and none of "
            f"{pair.baseline.title} and {pair.twicing.title} lies beside the pair that opens."
        )
    return [_file(name, beside.get(name) if isinstance(name, str) else None) for name in names]


def _file(given: Any, beside: Path | None) -> Photograph:
    """A file under its name, one beside the pair under its label, unless another file has that name here."""
    if beside is None or (Path(given).exists() and not Path(given).samefile(beside)):
        return photograph(given)
    return replace(photograph(beside), name=given)


def read(name: str, data: bytes, cards: Sequence[ModelCard]) -> Sweep:
    """What a file holds. Raises `ExplorerError` for one of other models, one without images, and one that is none."""
    try:
        result = robustness_file.parse(name, data)
        if not measured.is_of(result, cards):
            theirs = " and ".join(str(model["name"])[:60] for model in result.settings["models"])
            raise ExplorerError(
                f"Results of {' and '.join(card.title for card in cards)} were expected, of these weights and filters; "
                f"{name} is of {theirs[:130] or 'none'}."
            )
        if not result.ranks:
            raise ExplorerError(f"Results of at least one image were expected; {name} holds none yet.")
        return _sweep(result)
    except _BROKEN as error:
        raise ExplorerError(f"A result file of `explorer robustness` was expected; {name} is none.") from error


def _sweep(result: Result) -> Sweep:
    """Raises `ValueError` and the like for what no sweep writes."""
    eps = [float(budget) for budget in result.settings["eps"]]
    if not eps or not all(math.isfinite(budget) and 0 <= budget <= MAX_EPS + 1e-9 for budget in eps):
        raise ValueError("eps")
    others = sorted((curve for curve in result.curves if curve.is_transfer), key=lambda curve: curve.target)
    differences = tuple(result.difference(place) for place in range(len(eps)))
    in_255ths = tuple(round(255 * budget, 6) for budget in eps)
    return Sweep(
        result.attack,
        str(result.settings["data"]),
        len(result.ranks),
        in_255ths,
        _shares(result.white_box),
        _shares(others),
        differences,
    )


def _shares(curves: Sequence[AccuracyCurve]) -> Shares:
    return tuple(tuple((a.top1, *a.interval(a.top1), a.top5) for a in curve.accuracy) for curve in curves)
