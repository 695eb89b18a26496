"""Where two models part on one image: the rows of `A` that lie farthest apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.paper import operators
from explorer.traces import Comparison
from explorer.types import Size


@dataclass(frozen=True)
class Parting:
    """A patch that two models answer differently, in a layer and head, all counted from 0."""

    layer: int
    head: int
    patch: int
    distance: float
    """Between what the two rows give to patches, as `way` has it, in patches."""


def way(p: Float[Tensor, "*lead height width"], q: Float[Tensor, "*lead height width"]) -> Float[Tensor, "*lead"]:
    """How far, in patches down and across, one distribution is at least to be carried to become the other.

    The earth mover's distance of the sums by row plus that of the sums by column, each `sum_k |P_k - Q_k|` of the
    cumulative sums; no less is carried in the plane, where a step is one patch down or across.
    """
    down, across = ((p - q).sum(dim=axis).cumsum(dim=-1).abs().sum(dim=-1) for axis in (-1, -2))
    return down + across


def is_comparable(comparison: Comparison) -> bool:
    """Whether rows of both models are distributions over the same keys: tokens of an image that is cut alike."""
    first, second = comparison
    are_distributions = not any(operators.is_signed(trace.filter) for trace in comparison)
    return are_distributions and (first.grid, first.prefix_names) == (second.grid, second.prefix_names)


def partings(comparison: Comparison, count: int) -> list[Parting]:
    """The patches whose rows of `A` lie farthest apart over the patches, at most one of a layer and head.

    In the order of the way times the smaller of the two shares that patches get: a patch that looks at CLS alone is no
    place. On `A`, whose rows are distributions, and head by head: heads of two models correspond where both began with
    the same weights. Empty where the rows are not of the same keys, or no distributions.
    """
    if not is_comparable(comparison):
        return []
    first, second = (trace.attention[: comparison.depth, : comparison.heads] for trace in comparison)
    prefix, grid = comparison.baseline.prefix, comparison.baseline.grid
    measured = [
        _apart(p[:, prefix:, prefix:], q[:, prefix:, prefix:], grid) for p, q in zip(first, second, strict=True)
    ]
    ways, weights = (torch.stack(each).flatten(end_dim=1) for each in zip(*measured, strict=True))  # (L H) n
    largest, patches = (ways * weights).max(dim=-1)
    order = largest.argsort(descending=True, stable=True)[:count].tolist()
    places = [(at, int(patches[at]), *divmod(at, comparison.heads)) for at in order]
    return [Parting(layer, head, patch, float(ways[at, patch])) for at, patch, layer, head in places]


def _apart(p: Tensor, q: Tensor, grid: Size) -> tuple[Tensor, Tensor]:
    """Of a layer's rows over the patches, (H, n, n): their way, and the smaller of the shares that patches get."""
    shares = [rows.sum(dim=-1) for rows in (p, q)]
    spread = [rows / share.clamp_min(1e-12)[..., None] for rows, share in zip((p, q), shares, strict=True)]
    return way(*(rows.unflatten(-1, grid) for rows in spread)), torch.minimum(*shares)
