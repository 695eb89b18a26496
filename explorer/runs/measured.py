"""What was measured of the pair that opens and lies beside it: sweeps, and top-1 at other sizes of the input."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer import provenance
from explorer.disturb.settings import Kind
from explorer.models import sources
from explorer.paper import operators
from explorer.runs import robustness_file
from explorer.runs.robustness_file import Result
from explorer.types import ExplorerError, ModelCard


def files() -> dict[str, Path]:
    """The results beside the pair that opens by their labels, the folder's name and the file's.

    `mine-fgsm.jsonl` lies beside `mine-standard.safetensors`; in the bundled folder those of other pairs count as well.
    """
    pair = sources.prefix()
    names = "*" if sources.opens_bundled() else glob.escape(pair.name)
    paths = [path for kind in Kind for path in sorted(pair.parent.glob(f"{names}-{kind}.jsonl"))]
    return {sources.label(path): path for path in paths}


def results() -> dict[str, Result]:
    """What these files hold, by label; files that cannot be read, or hold no image yet, are left out."""
    by_label = {}
    for label, path in files().items():
        try:
            result = robustness_file.read(path)
            _ = result.attack
        except (ExplorerError, ValueError):
            continue
        if result.ranks:
            by_label[label] = result
    return by_label


def is_of(result: Result, cards: Sequence[ModelCard]) -> bool:
    """Whether the result is of this very pair, weights, filters and input sizes, in this order."""
    models = [(model["sha256"], model["filter"], model.get("input_size")) for model in result.settings["models"]]
    return models == [(card.digest, operators.written(card.filter), provenance.input_size(card)) for card in cards]


def of_pair(by_label: Mapping[str, Result], cards: Sequence[ModelCard]) -> dict[str, Result]:
    """Those of this very pair, by label."""
    return {label: result for label, result in by_label.items() if is_of(result, cards)}


SIZES = "sizes.json"
"""The end of the name of the file beside a pair that holds its accuracy by size of the input."""
SIZED_IMAGES = 100
"""Validation images of a row of it, drawn by their names."""
Interval = tuple[float, float, float]
"""A share, and where its 95% interval begins and ends."""


@dataclass(frozen=True)
class SizedAccuracy:
    """Top-1 of both models on the same images at one size of the input, and the second's minus the first's."""

    images: int
    top1: tuple[Interval, Interval]
    difference: Interval


def sizes(cards: Sequence[ModelCard], prefix: Path | None = None) -> dict[int, dict[str, SizedAccuracy]] | None:
    """By pixels a side, and by what the images are; `None` where nothing was measured of these very models.

    They are looked for by the digests of their weights, under the filters that they were trained with, beside the pair
    whose files begin with `prefix`, by default the one that opens.
    """
    pair = prefix or sources.prefix()
    try:
        known = json.loads((pair.parent / f"{pair.name}-{SIZES}").read_text(encoding="utf-8"))
        if known["models"] != [card.digest for card in cards] or any(card.is_counterfactual for card in cards):
            return None
        by_size: dict[int, dict[str, SizedAccuracy]] = {}
        for row in known["rows"]:
            first, second, difference = (_interval(each) for each in (*row["top1"], row["difference"]))
            of_size = by_size.setdefault(int(row["input_size"]), {})
            of_size[str(row["data"])] = SizedAccuracy(int(row["images"]), (first, second), difference)
    except (OSError, ValueError, KeyError, TypeError):  # no such file, or another one
        return None
    return by_size


def _interval(numbers: Sequence[float]) -> Interval:
    share, low, high = map(float, numbers)
    return share, low, high
