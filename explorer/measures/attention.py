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
from explorer.types import ExplorerError, Size


class Heads(Option):
    """How heads become one map."""

    MEAN = "mean"
    MAX = "max"


HeadChoice = Heads | int
"""Mean, max (for signed data the entry of largest magnitude), or one head, 0-based."""

LayerRows = Float[Tensor, "layer head key"]
HeadRows = Float[Tensor, "head key"]
LayerMaps = Float[Tensor, "layer token"]


def is_signed(matrix: Matrix, trace: Trace, layer: int) -> bool:
    """Whether rows of this matrix can be negative in a layer and are drawn around 0."""
    if matrix in (Matrix.CORRECTION, Matrix.TWICING):
        return True
    involved = range(layer + 1) if matrix is Matrix.ROLLOUT else (layer,)
    if operators.is_signed(trace.filter[each] for each in involved):
        return True
    if matrix is Matrix.ATTENTION:
        return False
    return not all(part.is_nonnegative for each in involved for part in operators.polynomials(trace.filter[each], each))


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
        picks = _picks(trace, query, 1)
        filtered = [
            operators.polynomials(operator, layer)[0].rows(picks, trace.attention[layer], first=row[layer])
            for layer, operator in enumerate(trace.filter)
        ]
        return torch.stack(filtered).squeeze(2)
    if matrix is Matrix.ROLLOUT:
        raise ValueError("Rollout is a product over layers and has no rows per head.")
    correction = row - row @ trace.attention
    return (correction if matrix is Matrix.CORRECTION else row + correction).squeeze(2)


def rows_in(trace: Trace, layer: int, query: Query) -> tuple[HeadRows, HeadRows | None]:
    """Row `query` of `E` and of `E_0` in one layer's heads; the second is None where the block has no `E_0`."""
    picks, A = _picks(trace, query, 1), trace.attention[layer]
    own, of_first = operators.polynomials(trace.filter[layer], layer)
    smoothed = picks @ A  # (1, N) @ (H, N, N) -> (H, 1, N)
    from_first = None if of_first.is_zero else of_first.rows(picks, A, first=smoothed).squeeze(1)
    return own.rows(picks, A, first=smoothed).squeeze(1), from_first


def _picks(trace: Trace, query: Query, count: int) -> Float[Tensor, "row key"]:
    """The row vector that picks the query's row of a matrix, or the mean of the patches' rows; `count` times."""
    picks = torch.zeros_like(trace.attention[0, 0, :1]).repeat(count, 1)
    if query is None:
        picks[:, trace.prefix :] = 1.0 / (picks.shape[1] - trace.prefix)
    else:
        picks[:, query] = 1.0
    return picks


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


def class_maps(trace: Trace) -> Float[Tensor, "block height width"]:
    """What CLS attends to in FAN's class-attention blocks, mean over heads, its own share left out.

    Raises `ExplorerError` for a model without such blocks.
    """
    if trace.class_attention is None:
        raise ExplorerError("A model with class-attention blocks, such as FAN, was expected; another came.")
    patches = trace.class_attention.mean(dim=1)[:, 1:]
    return patches.reshape(len(patches), *trace.grid)


def rollout(trace: Trace, query: Query) -> LayerMaps:
    """Row `query` of the rollout up to each layer: the product over layers of `(E_l + I) / 2`, `E_l = mean_h E_h`.

    The effective matrix per head first, then the mean over heads. Nothing is normalised or clamped, so the result may
    be negative. Abnar & Zuidema 2020, adapted to filters. What reaches the first block's values another way joins it:
    `R^0 = I`, `R^l = ((mean_h E + I) R^(l-1) + mean_h E_0) / 2`.
    """
    # Row `l` meets block `l` first: e_q (E_l + I)/2 ... (E_1 + I)/2. All rows that a block meets go through it at once.
    rows = _picks(trace, query, trace.depth)  # (L, N)
    joining = torch.zeros_like(rows)  # what went to the first block's values by E_0
    for layer in range(trace.depth - 1, -1, -1):
        meeting = rows[layer:]  # (l, N)
        own, of_first = operators.polynomials(trace.filter[layer], layer)
        per_head = meeting @ trace.attention[layer]  # (l, N) @ (H, N, N) -> (H, l, N)
        if not of_first.is_zero:
            joining[layer:] += of_first.rows(meeting, trace.attention[layer], first=per_head).mean(dim=0) / 2
        meeting.add_(own.rows(meeting, trace.attention[layer], first=per_head).mean(dim=0)).div_(2)
    return rows + joining


def entropies(trace: Trace) -> Float[Tensor, "layer head query"]:
    """Entropy of every row of `A` in nats, as the pass took it, or from `A`.

    Raises `ExplorerError` where `A` has negative entries, as in differential attention.
    """
    check_distributions(trace, "Entropy")
    return entropy(trace.attention) if trace.rows is None else trace.rows.entropy


def check_distributions(trace: Trace, measure: str) -> None:
    """Raises `ExplorerError`, naming what is measured, where rows of `A` are no distributions."""
    if operators.is_signed(trace.filter):
        raise ExplorerError(
            f"{measure} is of attention whose rows are distributions; those of differential attention have negative "
            "entries."
        )


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

    Raises `ExplorerError` where `A` has negative entries, as in differential attention.
    """
    check_distributions(trace, "Attention distance")
    first = trace.prefix
    centres = patch_centres(trace.grid, patch_size).to(trace.attention)
    between = F.pad(torch.cdist(centres, centres), (first, 0, first, 0))  # (N, N), 0 where there is no patch
    tiny = torch.finfo(between.dtype).tiny  # where no weight is on any patch: distance 0
    by_layer = [
        torch.linalg.vecdot(layer, between)[:, first:] / layer[:, first:, first:].sum(dim=-1).clamp(min=tiny)
        for layer in trace.attention  # one by one, which leaves what is computed on the way in the processor's cache
    ]
    return torch.stack(by_layer)
