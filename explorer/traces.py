"""What forward passes leave behind: the records that hold tensors, with the axes of `types`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from explorer.types import Filter, Size, prefix_names


@dataclass(frozen=True, eq=False)
class Trace:
    """What one forward pass leaves behind that cannot be derived; everything else is a measure of it.

    Owns its memory and is never written again. Tensors stay on the device that made them.
    """

    attention: Float[Tensor, "layer head query key"]
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
        return sum(t.numel() * t.element_size() for t in tensors)


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
