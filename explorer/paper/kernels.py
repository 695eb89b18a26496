"""How an operator makes `A` of queries and keys; adding one is a row of `KERNELS` and its function.

`A` is `(..., N, N)`. Softmax kernels have rows that sum to 1; of linear attention they sum to a little less, and of
differential attention to `1 - lambda`, with entries of both signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

HeadChannels = Float[Tensor, "... token channel"]
EPSILON = 1e-5
"""What is added to the sums of linear attention's rows."""


def linear(q: HeadChannels, k: HeadChannels, scale: float) -> Float[Tensor, "... query key"]:
    """`S / (rowsum S + 1e-5)` with `S = phi(Q) phi(K)^T scale` and `phi = elu + 1`, as a matrix (paper B.1).

    Katharopoulos et al. 2020 never form it, which the second power of `A` needs.
    """
    products = scale * (F.elu(q) + 1) @ (F.elu(k) + 1).transpose(-2, -1)
    return products / (products.sum(dim=-1, keepdim=True) + EPSILON)


def stretched(q: HeadChannels, values: HeadChannels, before: HeadChannels | None) -> HeadChannels:
    """`Q M` with `M = diag(m)`, `m` the mean over tokens of `|V^l - V^{l-1}|` by head, divided by its maximum.

    `before` is `V^{l-1}`; in the first block, which has none, `M = I`. No gradient goes through `m` (Nielsen et al.
    2024). Where the values did not change at all, `M = I` too.
    """
    if before is None:
        return q
    change = (values - before).detach().abs().mean(dim=-2, keepdim=True)  # (..., 1, d)
    largest = change.amax(dim=-1, keepdim=True)
    tiny = torch.finfo(change.dtype).tiny
    return q * torch.where(largest > 0, change / largest.clamp(min=tiny), torch.ones_like(change))


def differential(
    both: Float[Tensor, "*lead pair query key"], weight: Float[Tensor, ""]
) -> Float[Tensor, "*lead query key"]:
    """`A_1 - lambda A_2` of a head's two softmax matrices; `weight` is `lambda`, one for all heads of a block."""
    return both[..., 0, :, :] - weight * both[..., 1, :, :]


@dataclass(frozen=True)
class KernelKind:
    """A row of the registry."""

    title: str
    equation: str
    """`A`, as people read it."""
    source: str
    needs_values_before: bool = False
    """Whether a block uses the values of the block before."""
    takes_rotary: bool = True
    """Whether it can be put on a model that rotates queries and keys."""
    sums_to_one: bool = True
    is_signed: bool = False
    """Whether entries can be negative, so that rows are no distributions: they have no entropy and no distance."""
    is_fused: bool = True
    """Whether it can be applied without forming `A`."""
    has_own_weights: bool = False
    """Whether its weights go with no other kernel, and it with no other weights."""


KERNELS: Mapping[str, KernelKind] = MappingProxyType(
    {
        "softmax": KernelKind("Softmax", "softmax(QKᵀ/√d)", "Vaswani et al. 2017"),
        "linear": KernelKind(
            "Linear",
            "S/(S1 + 10⁻⁵), S = φ(Q)φ(K)ᵀ/√d, φ = elu + 1",
            "Katharopoulos et al. 2020; Twicing Attention, B.1",
            sums_to_one=False,
            is_fused=False,
        ),
        "elliptical": KernelKind(
            "Elliptical",
            "softmax(QMKᵀ/√d), M = diag(mean abs(Vˡ − Vˡ⁻¹)) / max, from the second block on",
            "Nielsen et al. 2024",
            needs_values_before=True,
            takes_rotary=False,  # M would weigh coordinates that the rotation has mixed
        ),
        "differential": KernelKind(
            "Differential",
            "A₁ − λA₂, Aᵢ = softmax(QᵢKᵢᵀ/√d), a learnt λ by block; each head normalised afterwards",
            "Ye et al. 2024",
            sums_to_one=False,
            is_signed=True,
            is_fused=False,
            has_own_weights=True,
        ),
    }
)
"""The kernels by the names that settings, files and links use."""
