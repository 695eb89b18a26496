"""The dial: `p_a` in any set of blocks of a model that was trained with another filter, a counterfactual.

Only what does not need the model: which filters to ask for, and what to read off the logits.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from explorer.paper import operators
from explorer.types import ExplorerError, Filter

LOWEST, HIGHEST = 0.0, 3.0
"""The ends of the dial; enhancement and 0-1 boundedness hold together on [1, 2]."""


@dataclass(frozen=True)
class Prediction:
    """The class a model prefers, and by how much."""

    label: int
    probability: float
    margin: float
    """Logit of that class minus the next best; the distance to another prediction."""


@dataclass(frozen=True, eq=False)
class DialReading:
    """What the lesson shows of one pass, a thousandth of its trace: every place of the dial has one."""

    similarity: Float[np.ndarray, " state"]
    """Token similarity of every layer."""
    row: Float[np.ndarray, "height width"]
    """The effective attention of the query at rest in the last layer, mean over heads."""
    query: str
    """What is at rest: CLS, or the mean patch."""
    is_signed: bool
    logits: Float[Tensor, " class"]

    @property
    def nbytes(self) -> int:
        return int(self.similarity.nbytes + self.row.nbytes + self.logits.nbytes)


def presets(depth: int) -> dict[str, range]:
    """Sets of blocks the paper tries, 0-based by their 1-based name: all, the second half, the last quarter.

    With 12 blocks those are [1-12], [7-12] and [10-12].
    """
    starts = (0, depth // 2, depth - max(1, depth // 4))
    return {f"[{start + 1}–{depth}]": range(start, depth) for start in starts}


def dialled(filter: Filter, blocks: Collection[int], a: float) -> Filter:
    """The filter with `a` in the given blocks (0-based) and what it had elsewhere."""
    if not LOWEST <= a <= HIGHEST:
        raise ExplorerError(f"A filter a between {LOWEST:g} and {HIGHEST:g} was expected; {a:g} came.")
    foreign = sorted(set(blocks) - set(range(len(filter))))
    if foreign:
        raise ExplorerError(f"Blocks from 1 to {len(filter)} were expected; {foreign[0] + 1} came.")
    operator = operators.quadratic(a)
    return tuple(operator if block in blocks else before for block, before in enumerate(filter))


def over_a(filter: Filter, blocks: Collection[int], count: int = 13) -> list[tuple[float, Filter]]:
    """Filters from one end of the dial to the other, in equal steps."""
    if count < 2:
        raise ExplorerError(f"At least 2 places of the dial were expected; {count} came.")
    places = [float(a) for a in np.linspace(LOWEST, HIGHEST, count).round(6)]
    return [(a, dialled(filter, blocks, a)) for a in places]


def over_depth(filter: Filter, a: float) -> list[tuple[int, Filter]]:
    """Filters with `a` in the last `k` blocks, `k` from none to all."""
    depth = len(filter)
    return [(k, dialled(filter, range(depth - k, depth), a)) for k in range(depth + 1)]


def prediction(logits: Float[Tensor, " class"]) -> Prediction:
    """The preferred class. Raises `ExplorerError` for fewer than two classes or logits that are not finite."""
    if len(logits) < 2 or not bool(logits.isfinite().all()):
        raise ExplorerError("Finite logits of at least 2 classes were expected; others came.")
    logits = logits.detach().cpu().double()
    best = torch.topk(logits, 2)
    first, second = best.values.tolist()
    label = int(best.indices[0])
    return Prediction(label, float(logits.softmax(dim=-1)[label]), first - second)


def margin_for(logits: Float[Tensor, " class"], label: int) -> float:
    """Logit of a class minus the best of the others: below 0 once the prediction has left it."""
    if not 0 <= label < len(logits) or len(logits) < 2:
        raise ExplorerError(f"A class below {len(logits)} was expected, among at least 2; {label} came.")
    logits = logits.detach().cpu().double()
    others = torch.cat([logits[:label], logits[label + 1 :]])
    return float(logits[label] - others.max())
