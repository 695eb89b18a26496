"""What is measured of maps to judge them, and with which settings: the same on the page and in a shell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from explorer.attribution.faithfulness import (
    Faithfulness,
    Removal,
    deletion_and_insertion,
    infidelity,
    rank_correlation,
    sensitivity,
)
from explorer.attribution.result import Attribution
from explorer.attribution.settings import Baseline
from explorer.models.checkpoints import LoadedModel
from explorer.models.pixels import ModelView
from explorer.types import ExplorerError, Progress

REMOVAL = Removal()
SEED = 0
"""Of the random order, of infidelity's coins and of sensitivity's noise."""
DRAWS, NOTHING = 64, Baseline.MEAN
"""Of infidelity."""
NOISES, RADIUS = 5, 0.02
"""Of sensitivity."""

DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        "Deletion, insertion": f"{REMOVAL.sentence()} A faithful map has a low deletion AUC and a high insertion AUC "
        f"(Petsiuk et al. 2018). At random: the same with the {REMOVAL.unit} in random order, seed {SEED}.",
        "Infidelity": "Mean squared error, in squared logits, of the fall the map foretells when a random half of the "
        f"patches is replaced by the {NOTHING} picture, best factor fitted; {DRAWS} draws, seed {SEED}; 0 is perfect "
        "(Yeh et al. 2019).",
        "Sensitivity": f"Largest relative change of the map under noise of at most {RADIUS}; {NOISES} samples, seed "
        f"{SEED}; 0 does not move (Yeh et al. 2019).",
        "Rank correlation": "Spearman's of two maps, on patches (on pixels where both methods give pixels): 1 the same "
        "order, 0 none, −1 the reverse. Saliency and rollout have no sign: they cannot agree fully with signed maps.",
    }
)


@dataclass(frozen=True, eq=False)
class Trust:
    """How far a map can be trusted."""

    curves: Faithfulness
    at_random: Faithfulness
    """The same with patches in random order."""
    infidelity: float
    sensitivity: float


QUANTITIES = tuple(quantity.name for quantity in fields(Trust))


def measure(
    quantity: str, model: LoadedModel, view: ModelView, map: Attribution, progress: Progress | None = None
) -> Any:
    """One of the `QUANTITIES`: each is long, so that others may come in between."""
    if quantity == "curves":
        return deletion_and_insertion(model, view, map, REMOVAL, progress)
    if quantity == "at_random":
        drawn = torch.rand(map.values.shape, generator=torch.Generator().manual_seed(SEED))
        return deletion_and_insertion(model, view, replace(map, values=drawn), REMOVAL, progress)
    if quantity == "infidelity":
        return infidelity(model, view, map, samples=DRAWS, seed=SEED, baseline=NOTHING, progress=progress)
    return sensitivity(
        model, view, map.method, map.target, map.settings, radius=RADIUS, samples=NOISES, seed=SEED, progress=progress
    )


def agreement(maps: Sequence[Sequence[Attribution]]) -> tuple[list[np.ndarray], np.ndarray]:
    """Rank correlations of two models' maps, the same methods in order: within each model `[method, method]`, and
    between the models by method, NaN where their grids differ."""
    within = [np.array([[rank_correlation(a, b) for a in of_model] for b in of_model]) for of_model in maps]
    return within, np.array([_between(a, b) for a, b in zip(*maps, strict=True)])


def _between(first: Attribution, second: Attribution) -> float:
    try:
        return rank_correlation(first, second)
    except ExplorerError:  # maps on different grids
        return float("nan")
