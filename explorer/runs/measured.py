"""Sweeps that were measured: those that lie beside the pair that opens, and which belong to two models."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
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
