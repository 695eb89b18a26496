"""Measures of attention: rows for a query under each matrix, rollout, entropy, distance.

The viewer computes the same in the browser, where it is held against these; scripts and figures use them directly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from explorer.measures.settings import Matrix
from explorer.paper import operators
from explorer.settings import Option
from explorer.traces import Trace
from explorer.types import TWICING, Size


class Heads(Option):
    """How heads become one map."""

    MEAN = "mean"
    MAX = "max"


HeadChoice = Heads | int
"""Mean, max (for signed data the entry of largest magnitude), or one head, 0-based."""

LayerRows = Float[Tensor, "layer head key"]
LayerMaps = Float[Tensor, "layer token"]


def is_signed(matrix: Matrix, trace: Trace, layer: int) -> bool:
    """Whether rows of this matrix can be negative in a layer and are drawn around 0."""
    if matrix in (Matrix.CORRECTION, Matrix.TWICING):
        return True
    if matrix is Matrix.ATTENTION:
        return False
    involved = trace.filter[: layer + 1] if matrix is Matrix.ROLLOUT else trace.filter[layer : layer + 1]
    return any(not 0.0 <= a <= 1.0 for a in involved)


Query = int | None
"""A token, or the mean over the patches: what stands in for CLS in models without one."""


def in_links(name: str) -> str:
    """What settings and links call the prefix token of this name."""
    return name.lower().replace(" ", "-")


def query_called(trace: Trace, token: str) -> Query:
    """The prefix token that settings and links call so; in models without it CLS, or the mean over the patches."""
    known = [in_links(name) for name in trace.prefix_names]
    if token in known:
        return known.index(token)
    return 0 if trace.has_class_token else None


def rows(trace: Trace, query: Query, matrix: Matrix) -> LayerRows:
    """Row `query` of the matrix, in every layer and head, without forming `A^2`."""
    if query is None:
        row = trace.attention[:, :, trace.prefix :].mean(dim=2, keepdim=True)  # (L, H, 1, N)
    else:
        row = trace.attention[:, :, query, None]
    if matrix is Matrix.ATTENTION:
        return row.squeeze(2)
    if matrix is Matrix.EFFECTIVE:
        filtered = [
            operators.filter_rows(of_layer, attention, a)
            for of_layer, attention, a in zip(row, trace.attention, trace.filter, strict=True)
        ]
        return torch.stack(filtered).squeeze(2)
    if matrix is Matrix.ROLLOUT:
        raise ValueError("Rollout is a product over layers and has no rows per head.")
    twicing = operators.filter_rows(row, trace.attention, TWICING)
    return (twicing if matrix is Matrix.TWICING else twicing - row).squeeze(2)


def combine_heads(per_head: LayerRows, heads: HeadChoice) -> LayerMaps:
    """One map per layer out of all heads."""
    if heads is Heads.MEAN:
        return per_head.mean(dim=1)
    if heads is Heads.MAX:
        best = per_head.abs().argmax(dim=1, keepdim=True)
        return per_head.gather(1, best).squeeze(1)
    return per_head[:, int(heads)]


def maps(trace: Trace, query: Query, matrix: Matrix, heads: HeadChoice) -> LayerMaps:
    """Row `query` of the matrix in every layer, over all tokens; rollout has its own mean over heads."""
    if matrix is Matrix.ROLLOUT:
        return rollout(trace, query)
    return combine_heads(rows(trace, query, matrix), heads)


def patch_maps(per_token: Float[Tensor, "*lead token"], trace: Trace) -> Float[Tensor, "*lead height width"]:
    """Drops the prefix tokens and lays the patches out on their grid."""
    patches = per_token[..., trace.prefix :]
    return patches.reshape(*patches.shape[:-1], *trace.grid)


def rollout(trace: Trace, query: Query) -> LayerMaps:
    """Row `query` of the rollout up to each layer: the product over layers of `(E_l + I) / 2`, `E_l = mean_h p_a(A_h)`.

    The effective matrix per head first, then the mean over heads. Rows sum to 1; nothing is normalised or clamped,
    so the result may be negative. Abnar & Zuidema 2020, adapted to filters.
    """
    # Row `l` meets block `l` first: e_q (E_l + I)/2 ... (E_1 + I)/2. All rows that a block meets go through it at once.
    rows = torch.zeros_like(trace.attention[:, 0, 0])  # (L, N)
    if query is None:
        rows[:, trace.prefix :] = 1.0 / (rows.shape[1] - trace.prefix)
    else:
        rows[:, query] = 1.0
    for layer in range(trace.depth - 1, -1, -1):
        meeting = rows[layer:]  # (l, N)
        meeting.add_(_mean_effective(meeting, trace.attention[layer], trace.filter[layer])).div_(2)
    return rows


def _mean_effective(
    rows: Float[Tensor, "row key"], attention: Float[Tensor, "head query key"], a: float
) -> Float[Tensor, "row key"]:
    per_head = rows @ attention  # (l, N) @ (H, N, N) -> (H, l, N)
    return operators.filter_rows(per_head, attention, a).mean(dim=0)


def entropies(trace: Trace) -> Float[Tensor, "layer head query"]:
    """Entropy of every row of `A` in nats, as the pass took it, or from `A`."""
    return entropy(trace.attention) if trace.rows is None else trace.rows.entropy


def entropy(attention: Float[Tensor, "*lead query key"]) -> Float[Tensor, "*lead query"]:
    """Entropy of each row of `A` in nats; `A` only, because effective rows need not be distributions.

    `0 log 0` is 0: the smallest positive number stands in for 0 under the logarithm. Layer by layer, so that what is
    computed on the way stays in the processor's cache.
    """
    tiny = torch.finfo(attention.dtype).tiny
    if attention.ndim > 3:
        return torch.stack([entropy(layer) for layer in attention])
    weighted: Tensor = torch.linalg.vecdot(attention.clamp(min=tiny).log_(), attention)
    return weighted.neg_()


def entropy_of_scores(
    attention: Float[Tensor, "*lead query key"], scores: Float[Tensor, "*lead query key"]
) -> Float[Tensor, "*lead query"]:
    """The same without a logarithm of a matrix, where the scores `S` of the softmax are at hand: `log Z - sum_j A S`.

    Both are taken from the row's largest score, which is then at `A = 1/Z`, so that neither term is negative and
    nothing cancels. The scores are overwritten.
    """
    below = scores.sub_(scores.amax(dim=-1, keepdim=True))
    # In place: the product of a block is as large as its matrix, and memory that is taken anew has to be cleared first.
    return attention.amax(dim=-1).log_().add_(below.mul_(attention).sum(dim=-1)).neg_()


def patch_centres(grid: Size, patch_size: Size) -> Float[Tensor, "patch 2"]:
    """Centres `(y, x)` of the patches in pixels of the model's input."""
    y = (torch.arange(grid[0]) + 0.5) * patch_size[0]
    x = (torch.arange(grid[1]) + 0.5) * patch_size[1]
    return torch.cartesian_prod(y, x)


def distance(trace: Trace, patch_size: Size) -> Float[Tensor, "layer head patch"]:
    """Attention distance of each patch query: row-weighted distance between patch centres, in input pixels.

    Rows of `A` over the patch keys, renormalised to leave the prefix tokens, which have no place, out.
    """
    first = trace.prefix
    centres = patch_centres(trace.grid, patch_size).to(trace.attention)
    between = F.pad(torch.cdist(centres, centres), (first, 0, first, 0))  # (N, N), 0 where there is no patch
    tiny = torch.finfo(between.dtype).tiny  # where no weight is on any patch: distance 0
    by_layer = [
        torch.linalg.vecdot(layer, between)[:, first:] / layer[:, first:, first:].sum(dim=-1).clamp(min=tiny)
        for layer in trace.attention  # one by one, which leaves what is computed on the way in the processor's cache
    ]
    return torch.stack(by_layer)
