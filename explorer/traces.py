"""What forward passes leave behind: the records that hold tensors, with the axes of `types`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from explorer.types import Filter, Size, prefix_names


@dataclass(frozen=True, eq=False)
class RowMeasures:
    """One number a row of `A` that is cheaper taken in the pass, while a block's matrix is in the processor's cache."""

    entropy: Float[Tensor, "*lead query"]
    """NaN where `A` has negative entries, as in differential attention."""
    smoothed: Float[Tensor, "*lead token"]
    """`|A V|`, over the channels of a head."""
    smoothed_residual: Float[Tensor, "*lead token"]
    """`|A (V - A V)|`, whatever the filter."""

    @property
    def nbytes(self) -> int:
        return self.entropy.nbytes + self.smoothed.nbytes + self.smoothed_residual.nbytes


@dataclass(frozen=True, eq=False)
class Trace:
    """What one forward pass leaves behind that cannot be derived, and its row measures; all else is a measure of it.

    Owns its memory and is never written again. Tensors stay on the device that made them.
    """

    attention: Float[Tensor, "layer head query key"]
    """`A` as the block's kernel makes it; of differential attention `A_1 - lambda A_2`, whose rows sum to
    `1 - lambda`."""
    values: Float[Tensor, "layer head token channel"]
    tokens: Float[Tensor, "state token dim"]
    logits: Float[Tensor, " class"]
    grid: Size
    prefix: int
    """Number of prefix tokens (CLS, distillation, registers), which come before the patches."""
    filter: Filter
    has_class_token: bool = True
    """Whether the first prefix token is CLS."""
    has_distillation_token: bool = False
    """Whether the next is DeiT's distillation token; all others are registers."""
    rows: RowMeasures | None = None
    """By layer and head. None where the pass did not take them: the measures do, from `attention` and `values`."""
    class_attention: Float[Tensor, "block head _"] | None = None
    """Of FAN, whose blocks have no CLS: what CLS attends to in the class-attention blocks after them, itself first."""

    @property
    def depth(self) -> int:
        return self.attention.shape[0]

    @property
    def prefix_names(self) -> tuple[str, ...]:
        return prefix_names(self.prefix, self.has_class_token, self.has_distillation_token)

    @property
    def heads(self) -> int:
        return self.attention.shape[1]

    @property
    def nbytes(self) -> int:
        tensors = (self.attention, self.values, self.tokens, self.logits)
        after = 0 if self.class_attention is None else self.class_attention.nbytes
        return sum(t.nbytes for t in tensors) + (self.rows.nbytes if self.rows else 0) + after


@dataclass(frozen=True, eq=False)
class Comparison:
    """The same image through both models."""

    baseline: Trace
    twicing: Trace

    def __iter__(self) -> Iterator[Trace]:
        return iter((self.baseline, self.twicing))

    @property
    def depth(self) -> int:
        """Layers that both models have."""
        return min(trace.depth for trace in self)

    @property
    def heads(self) -> int:
        """Heads that both models have."""
        return min(trace.heads for trace in self)
