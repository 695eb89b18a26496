"""Magnitudes of the smoothed residual `A (V - A V)`: where and how much the twicing step gives back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.measures.settings import Quantity
from explorer.paper import operators
from explorer.traces import Trace


@dataclass(frozen=True, eq=False)
class ResidualMagnitudes:
    """L2 norms over the channels of a head, before the output projection (Sec. 3.3)."""

    smoothed: Float[Tensor, "layer head token"]
    """`|A V|`: what standard attention outputs."""
    smoothed_residual: Float[Tensor, "layer head token"]
    """`|A (V - A V)|`: what twicing gives back."""
    ratio: Float[Tensor, "layer head"]
    """`||A (V - A V)||_F / ||A V||_F` over the patch tokens."""
    prefix: int

    def per_token(self, quantity: Quantity) -> Float[Tensor, "layer head token"]:
        """A magnitude of every token, or `|A (V - A V)| / |A V|`."""
        if quantity is Quantity.RATIO:
            return self.smoothed_residual / self.smoothed.clamp(min=torch.finfo(self.smoothed.dtype).tiny)
        return self.smoothed if quantity is Quantity.SMOOTHED else self.smoothed_residual

    def by_layer(self, quantity: Quantity) -> Float[Tensor, "layer head"]:
        """The mean of a magnitude over the patch tokens, or the ratio of Frobenius norms over them."""
        return self.ratio if quantity is Quantity.RATIO else self.curve(self.per_token(quantity))

    def curve(self, quantity: Float[Tensor, "layer head token"]) -> Float[Tensor, "layer head"]:
        """Mean of a magnitude over the patch tokens."""
        return quantity[:, :, self.prefix :].mean(dim=-1)


def norms(
    smoothed: Float[Tensor, "*lead token channel"], correction: Float[Tensor, "*lead token channel"]
) -> tuple[Float[Tensor, "*lead token"], Float[Tensor, "*lead token"]]:
    """`|A V|` and `|A (V - A V)|` of the two steps of `operators.smoothing_steps`."""
    return torch.linalg.vector_norm(smoothed, dim=-1), torch.linalg.vector_norm(correction, dim=-1)


def magnitudes(trace: Trace) -> ResidualMagnitudes:
    """Magnitudes in every layer and head.

    For a standard block `A (V - A V)` is what twicing would give back; it is not part of that block's output.
    """
    rows = trace.rows
    if rows is None:
        lengths = norms(*operators.smoothing_steps(trace.attention, trace.values))
    else:
        lengths = rows.smoothed, rows.smoothed_residual
    # The Frobenius norm over the patches is the norm of their lengths.
    below, above = (length[:, :, trace.prefix :].norm(dim=-1) for length in lengths)
    return ResidualMagnitudes(
        *lengths, ratio=above / below.clamp(min=torch.finfo(below.dtype).tiny), prefix=trace.prefix
    )
