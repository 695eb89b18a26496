"""How an operator makes `A` of queries and keys; adding one is a row of `KERNELS` and its function.

`A` is `(..., N, N)`. Softmax kernels have rows that sum to 1; of linear attention they sum to a little less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

HeadTensor = Float[Tensor, "... token channel"]
EPSILON = 1e-5
"""What is added to the sums of linear attention's rows."""


def linear(q: HeadTensor, k: HeadTensor, scale: float) -> Float[Tensor, "... query key"]:
    """`S / (rowsum S + 1e-5)` with `S = phi(Q) phi(K)^T scale` and `phi = elu + 1`, as a matrix (paper B.1).

    Katharopoulos et al. 2020 never form it, which the second power of `A` needs.
    """
    products = scale * (F.elu(q) + 1) @ (F.elu(k) + 1).transpose(-2, -1)
    return products / (products.sum(dim=-1, keepdim=True) + EPSILON)


def stretched(q: HeadTensor, values: HeadTensor, before: HeadTensor | None) -> HeadTensor:
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


KERNELS: Mapping[str, KernelKind] = MappingProxyType(
    {
        "softmax": KernelKind("Softmax", "softmax(QKᵀ/√d)", "Vaswani et al. 2017"),
        "linear": KernelKind(
            "Linear",
            "S/(S1 + 10⁻⁵), S = φ(Q)φ(K)ᵀ/√d, φ = elu + 1",
            "Katharopoulos et al. 2020; Twicing Attention, B.1",
            sums_to_one=False,
        ),
        "elliptical": KernelKind(
            "Elliptical",
            "softmax(QMKᵀ/√d), M = diag(mean abs(Vˡ − Vˡ⁻¹)) / max, from the second block on",
            "Nielsen et al. 2024",
            needs_values_before=True,
            takes_rotary=False,  # M would weigh coordinates that the rotation has mixed
        ),
    }
)
"""The kernels by the names that settings, files and links use."""
