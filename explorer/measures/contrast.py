"""Where two models part on one image: the rows of `A` that differ most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.paper import operators
from explorer.traces import Comparison


@dataclass(frozen=True)
class Parting:
    """A patch that two models answer differently, in a layer and head, all counted from 0."""

    layer: int
    head: int
    patch: int
    distance: float
    """Total variation distance of the two rows: the share of attention that goes elsewhere."""


def total_variation(p: Float[Tensor, "*lead key"], q: Float[Tensor, "*lead key"]) -> Float[Tensor, "*lead"]:
    """`sum_j |p_j - q_j| / 2`: 0 for equal rows, 1 for rows without a key in common."""
    return (p - q).abs().sum(dim=-1) / 2


def is_comparable(comparison: Comparison) -> bool:
    """Whether rows of both models are distributions over the same keys: tokens of an image that is cut alike."""
    first, second = comparison
    are_distributions = not any(operators.is_signed(trace.filter) for trace in comparison)
    return are_distributions and (first.grid, first.prefix_names) == (second.grid, second.prefix_names)


def partings(comparison: Comparison, count: int) -> list[Parting]:
    """The patches with the largest total variation distance between rows of `A`, at most one of a layer and head.

    On `A`, whose rows are distributions, and head by head: heads of two models correspond where both began with the
    same weights. Empty where the rows are not of the same keys, or no distributions.
    """
    if not is_comparable(comparison):
        return []
    first, second = (trace.attention[: comparison.depth, : comparison.heads] for trace in comparison)
    prefix = comparison.baseline.prefix
    distances = torch.stack([total_variation(p[:, prefix:], q[:, prefix:]) for p, q in zip(first, second, strict=True)])
    largest, patches = distances.flatten(end_dim=1).max(dim=-1)  # (L, H, n) -> (L H)
    order = largest.argsort(descending=True, stable=True)[:count].tolist()
    places = [(at, *divmod(at, comparison.heads)) for at in order]
    return [Parting(layer, head, int(patches[at]), float(largest[at])) for at, layer, head in places]
