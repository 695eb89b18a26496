"""Token similarity across depth: how far the patch tokens have collapsed onto one direction (over-smoothing).

In two places, which can disagree: of the tokens themselves, the residual stream, and of what attention puts out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.measures.settings import Definition
from explorer.paper import operators
from explorer.traces import Trace
from explorer.types import Filter

_LEAST = 1e-12
"""A length below which a token has no direction."""


@dataclass(frozen=True, eq=False)
class Band:
    """Mean over images and the standard deviation between them, by layer."""

    mean: Float[Tensor, " state"]
    std: Float[Tensor, " state"]
    count: int


def token_similarity(trace: Trace, definition: Definition = Definition()) -> Float[Tensor, " state"]:
    """Mean cosine over pairs of tokens after each block: `(||sum_i x_i/|x_i|||^2 - n) / (n (n - 1))` by default.

    1 when all tokens point the same way, 0 when they are orthogonal. The sum needs no pairwise matrix; `|cos|` does.
    """
    return of_tokens(trace.tokens, definition, trace.prefix)


def of_outputs(
    trace: Trace, definition: Definition = Definition(), *, filter: Filter | None = None
) -> Float[Tensor, " layer"]:
    """The same of each block's attention output `U = E V + E_0 V^1`, heads joined, before the output projection.

    With a `filter`, of what another operator would put out in each block, from the very `A` and `V` of the trace.
    """
    outputs = [
        operators.output(operator, layer, trace.attention[layer].matmul, trace.values[layer], trace.values[0])
        for layer, operator in enumerate(filter or trace.filter)
    ]
    return _of_heads(torch.stack(outputs), trace, definition)


def of_values(trace: Trace, definition: Definition = Definition()) -> Float[Tensor, " layer"]:
    """The same of each block's values `V`, heads joined: what attention starts from."""
    return _of_heads(trace.values, trace, definition)


def operator_alone(trace: Trace, definition: Definition = Definition()) -> Float[Tensor, "3 layer"]:
    """Similarity of `V`, `A V` and `(2A - A^2) V` in every block, from one model's own `A` and `V`."""
    by_layer = []
    for A, V in zip(trace.attention, trace.values, strict=True):  # one by one: what is made on the way stays in a cache
        smoothed, correction = operators.smoothing_steps(A, V)
        steps = (V, smoothed, correction.add_(smoothed))
        by_layer.append(torch.stack([_of_heads(each[None], trace, definition)[0] for each in steps]))
    return torch.stack(by_layer, dim=1)


def _of_heads(heads: Float[Tensor, "layer head token channel"], trace: Trace, definition: Definition) -> Tensor:
    joined = heads.transpose(1, 2).flatten(start_dim=2)  # (L, H, N, d) -> (L, N, H d)
    return of_tokens(joined, definition, trace.prefix)


def of_tokens(tokens: Float[Tensor, "*lead token dim"], definition: Definition, prefix: int) -> Float[Tensor, "*lead"]:
    """`token_similarity` of tokens of which the first `prefix` are not patches."""
    counted = tokens if definition.with_prefix else tokens[..., prefix:, :]
    return mean_cosine(counted, absolute=definition.absolute, with_diagonal=definition.with_diagonal)


def of_each(trace: Trace) -> Float[Tensor, "state token"]:
    """Mean cosine of each token with the patch tokens other than itself."""
    lengths, weights = _lengths(trace.tokens)
    patches = (slice(None), slice(trace.prefix, None))
    whole = weights[patches].unsqueeze(1) @ trace.tokens[patches]  # (L+1, 1, n) @ (L+1, n, D): the sum of directions
    total = (trace.tokens @ whole.mT).squeeze(-1) * weights  # (L+1, N, D) @ (L+1, D, 1) -> (L+1, N)
    count = torch.full_like(total, total[patches].shape[1])
    count[patches] -= 1
    total[patches] -= (lengths * weights).square()[patches]
    return total / count


def mean_cosine(
    tokens: Float[Tensor, "*lead token dim"], *, absolute: bool = False, with_diagonal: bool = False
) -> Float[Tensor, "*lead"]:
    """Mean cosine over pairs of the `n` tokens; see `token_similarity`."""
    n = tokens.shape[-2]
    lengths, weights = _lengths(tokens)
    if absolute:
        directions = tokens * weights.unsqueeze(-1)
        total = (directions @ directions.transpose(-2, -1)).abs().sum(dim=(-2, -1))
    else:
        total = (weights.unsqueeze(-2) @ tokens).square().sum(dim=(-2, -1))  # of the sum of directions, without them
    # The diagonal of the cosines is 1 for every token that is not the zero vector.
    own = (lengths * weights).square().sum(dim=-1)
    return total / n**2 if with_diagonal else (total - own) / (n * (n - 1))


def _lengths(tokens: Float[Tensor, "*lead token dim"]) -> tuple[Tensor, Tensor]:
    """`|x_i|`, and what makes directions of tokens: its inverse, or for the zero vector so much that it stays 0."""
    lengths = torch.linalg.vector_norm(tokens, dim=-1)
    return lengths, lengths.clamp(min=_LEAST).reciprocal()


def band(curves: Sequence[Float[Tensor, " state"]]) -> Band:
    """Mean and sample standard deviation over images; the deviation of one image is 0."""
    stacked = torch.stack(list(curves))
    std = stacked.std(dim=0) if len(curves) > 1 else torch.zeros_like(stacked[0])
    return Band(stacked.mean(dim=0), std, len(curves))


@dataclass(frozen=True)
class Order:
    """Where one curve lies below another, above it, or within `LEVEL` of it: layers, in the order of the curves."""

    below: tuple[int, ...]
    above: tuple[int, ...]
    level: tuple[int, ...]


LEVEL = 0.005
"""Mean cosines that differ by less are called level: they agree in the two digits that are read."""


def order(curve: Float[Tensor, " layer"], other: Float[Tensor, " layer"]) -> Order:
    """How `curve` lies to `other`, layer by layer, which are counted from 1."""
    below: list[int] = []
    above: list[int] = []
    level: list[int] = []
    for layer, difference in enumerate((curve - other).tolist(), start=1):
        (level if abs(difference) < LEVEL else below if difference < 0 else above).append(layer)
    return Order(tuple(below), tuple(above), tuple(level))
