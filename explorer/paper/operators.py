"""The equations of Twicing Attention on tensors, once each.

Paper: "Transformer Meets Twicing: Harnessing Unattended Residual Information" (Def. 2, Eqn 14, Eqn 19).
Nothing here knows of a model: `A` is any row-stochastic matrix and `V` whatever it is applied to. Leading
axes (batch, layer, head) broadcast.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

Attention = Float[Tensor, "... query key"]
Values = Float[Tensor, "... key channel"]
Rows = Float[Tensor, "... row key"]


def attention(
    q: Float[Tensor, "... query channel"],
    k: Float[Tensor, "... key channel"],
    scale: float,
    bias: Tensor | None = None,
    scores: Tensor | None = None,
    out: Tensor | None = None,
) -> Attention:
    """`A = softmax(scale * Q K^T + bias)`; rows sum to 1 (paper Eqn 2, where `scale = 1/sqrt(d)`).

    `bias` is what a mask adds to the scores, `-inf` where it hides a key. `scores` is memory for `scale * Q K^T`, which
    stays there, `out` for the result.
    """
    scores = torch.matmul(q * scale, k.transpose(-2, -1), out=scores)  # (..., N, d) @ (..., d, N) -> (..., N, N)
    return torch.softmax(scores if bias is None else scores + bias, dim=-1, out=out)


def residual(a: Attention, v: Values) -> Values:
    """`R = V - A V`: what smoothing by `A` takes away, the method noise (Sec. 3.3)."""
    return v - a @ v


def smoothing_steps(a: Attention, v: Values) -> tuple[Values, Values]:
    """`A V` and `A (V - A V)`: the smoothed values, and the smoothed residual that twicing gives back (Sec. 3.3)."""
    smoothed = a @ v  # (..., N, N) @ (..., N, d) -> (..., N, d)
    return smoothed, a @ (v - smoothed)


def smoothed_residual(a: Attention, v: Values) -> Values:
    """`A (V - A V)`: the part of the residual that twicing gives back (Sec. 3.3)."""
    return smoothing_steps(a, v)[1]


def apply_filter(a: Attention, v: Values, coefficient: float) -> Values:
    """`p_c(A) V = A V + (c - 1) A (V - A V)`: `c = 1` standard, `c = 2` twicing (Def. 2, Eqn 14, Eqn 19)."""
    if coefficient == 1.0:
        return a @ v
    return filter_steps(*smoothing_steps(a, v), coefficient)


def filter_steps(smoothed: Values, correction: Values, coefficient: float) -> Values:
    """`p_c(A) V` of the two steps of `smoothing_steps`."""
    return smoothed if coefficient == 1.0 else smoothed + (coefficient - 1.0) * correction


def twicing(a: Attention, v: Values) -> Values:
    """`U = A V + A (V - A V) = (2A - A^2) V` (Def. 2)."""
    return apply_filter(a, v, 2.0)


def effective(a: Attention, coefficient: float) -> Attention:
    """`p_c(A) = c A + (1 - c) A^2`, the matrix really applied to `V` (Eqn 14).

    Rows sum to 1; for `c > 1` entries may be negative: signed data.
    """
    if coefficient == 1.0:
        return a
    return coefficient * a + (1.0 - coefficient) * (a @ a)


def filter_rows(rows: Rows, a: Attention, coefficient: float) -> Rows:
    """Rows of `p_c(A)` from rows `r` of `A`: `c r + (1 - c) r A`, without forming `A^2` (Eqn 14)."""
    if coefficient == 1.0:
        return rows
    return coefficient * rows + (1.0 - coefficient) * (rows @ a)


def filter_eigenvalues(
    eigenvalues: Complex[Tensor, "..."] | Float[Tensor, "..."], coefficient: float
) -> Complex[Tensor, "..."] | Float[Tensor, "..."]:
    """`eig(p_c(A)) = c lambda + (1 - c) lambda^2` exactly, by spectral mapping (Sec. 3.2)."""
    return coefficient * eigenvalues + (1.0 - coefficient) * eigenvalues.square()
