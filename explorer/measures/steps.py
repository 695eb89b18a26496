"""The five steps from `V` to `(2A - A^2) V` as colours: what smoothing erases and twicing returns, as one can see it.

Every step is projected on *one* basis, the first three principal components of a block's values `V` over the patches,
heads joined, and coloured on *one* scale, that of `V`. Pictures scaled each for itself would hide what this is to show.
Knows neither models nor a screen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from explorer.paper import operators
from explorer.traces import Trace

QUANTILE = 0.98
"""Of the magnitudes of `V` along a component: what is larger has the end of its colour."""
_COMPONENTS = 3


@dataclass(frozen=True, eq=False)
class StepColours:
    """Colours of the five steps, and how much of the variance of `V` between patches their three components hold."""

    rgb: UInt8[Tensor, "layer step patch component"]
    share: Float[Tensor, " layer"]


def projections(
    attention: Float[Tensor, "head query key"], values: Float[Tensor, "head token channel"], prefix: int
) -> tuple[Float[Tensor, "step patch component"], Float[Tensor, ""]]:
    """`V`, `AV`, `V - AV`, `A(V - AV)` and `(2A - A^2)V` along three components, and the share of variance they hold.

    `V`, `AV` and `(2A - A^2)V` are counted from the mean of `V` over the patches, the two differences from 0, so that
    they add up: `V = AV + (V - AV)` and `(2A - A^2)V = AV + A(V - AV)`. The sign of a component is the one by which
    the sum of cubes over the patches of `V` is positive: the side with fewer patches, far from the mean, is positive.
    """
    A, V = attention.double().cpu(), values.double().cpu()
    patches = V[:, prefix:].transpose(0, 1).flatten(start_dim=1)  # (H, n, d) -> (n, H d)
    mean = patches.mean(dim=0)
    centred = patches - mean
    basis, share = _components(centred)
    basis = basis * _signs(centred @ basis)
    by_head = basis.unflatten(0, V.shape[::2])  # (H d, 3) -> (H, d, 3)
    ahead = V @ by_head  # (H, N, d) @ (H, d, 3) -> (H, N, 3): A commutes with what is done to channels
    smoothed, returned = operators.smoothing_steps(A, ahead)
    steps = torch.stack([ahead, smoothed, ahead - smoothed, returned, smoothed + returned]).sum(dim=1)[:, prefix:]
    origin = mean @ basis
    counted_from = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0], dtype=torch.float64).view(-1, 1, 1)
    return (steps - counted_from * origin).float(), share.float()


def colours(steps: Float[Tensor, "step patch component"]) -> UInt8[Tensor, "step patch component"]:
    """Red, green and blue: grey where a step is 0, the ends where `V`'s magnitude has its quantile `QUANTILE`."""
    ends = steps[0].abs().quantile(QUANTILE, dim=0).clamp(min=torch.finfo(steps.dtype).tiny)
    return (255 * (steps / ends + 1) / 2).round().clamp(0, 255).to(torch.uint8)


def of_trace(trace: Trace, depth: int) -> StepColours:
    """Those of the first `depth` blocks of a model, with its own `A` and `V`."""
    blocks = [projections(A, V, trace.prefix) for A, V in zip(trace.attention[:depth], trace.values, strict=False)]
    return StepColours(
        torch.stack([colours(steps) for steps, _ in blocks]), torch.stack([share for _, share in blocks])
    )


def _components(centred: Float[Tensor, "patch dim"]) -> tuple[Float[Tensor, "dim component"], Float[Tensor, ""]]:
    """The first three principal components, and their share of the variance; zeros where there are fewer."""
    n, d = centred.shape
    small = centred @ centred.mT if n < d else centred.mT @ centred
    variances, vectors = torch.linalg.eigh(small)
    variances, vectors = variances.flip(0)[:_COMPONENTS].clamp(min=0), vectors.flip(1)[:, :_COMPONENTS]
    basis = centred.mT @ vectors if n < d else vectors  # eigenvectors of X X^T, taken back by X^T
    basis = torch.nn.functional.normalize(basis, dim=0)
    total = centred.square().sum()
    share = variances.sum() / total if total > 0 else torch.zeros((), dtype=centred.dtype)
    return torch.nn.functional.pad(basis, (0, _COMPONENTS - basis.shape[1])), share


def _signs(projected: Float[Tensor, "patch component"]) -> Float[Tensor, " component"]:
    return torch.where(projected.pow(3).sum(dim=0) < 0, -1.0, 1.0).to(projected.dtype)
