"""How far a disturbed image moves what goes on inside a model, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.measures import similarity
from explorer.measures.settings import Definition, Queries
from explorer.paper import operators
from explorer.traces import Trace
from explorer.types import ExplorerError


@dataclass(frozen=True, eq=False)
class Drift:
    """What a disturbance changed between two traces of one model."""

    attention: Float[Tensor, " layer"]
    """Jensen-Shannon divergence of the rows of `A`, mean over heads and queries; nats, 0 to ln 2.

    NaN in a block whose `A` has negative entries, as in differential attention: its rows are no distributions.
    """
    tokens: Float[Tensor, " state"]
    """Cosine of each patch token with itself, mean over patches; 1 where nothing turned."""
    similarity: Float[Tensor, " state"]
    """Token similarity of the disturbed image minus that of the clean one."""
    queries: Queries
    definition: Definition


def drift(
    clean: Trace, disturbed: Trace, queries: Queries = Queries.ALL, definition: Definition = Definition()
) -> Drift:
    """Compares two traces of one model; raises `ExplorerError` where their shapes differ.

    On `A` alone, because rows of the effective matrix need not be distributions.
    """
    if (clean.attention.shape, clean.tokens.shape) != (disturbed.attention.shape, disturbed.tokens.shape):
        raise ExplorerError(
            f"Two traces of one model were expected; attention of {tuple(clean.attention.shape)} and "
            f"{tuple(disturbed.attention.shape)} came."
        )
    rows = slice(0, 1) if queries is Queries.FIRST else slice(None)
    between = [
        torch.full_like(p[0, 0, 0], math.nan)
        if operators.is_signed([operator])
        else jensen_shannon(p[:, rows], q[:, rows]).mean()
        for operator, p, q in zip(clean.filter, clean.attention, disturbed.attention, strict=True)
    ]
    before, after = (trace.tokens[:, trace.prefix :] for trace in (clean, disturbed))
    curves = [similarity.token_similarity(trace, definition) for trace in (clean, disturbed)]
    return Drift(
        attention=torch.stack(between),
        tokens=torch.cosine_similarity(before, after, dim=-1).mean(dim=-1),
        similarity=curves[1] - curves[0],
        queries=queries,
        definition=definition,
    )


def jensen_shannon(p: Float[Tensor, "*lead key"], q: Float[Tensor, "*lead key"]) -> Float[Tensor, "*lead"]:
    """`KL(p || m)/2 + KL(q || m)/2` with `m = (p + q)/2`, in nats; symmetric, 0 for equal rows, at most ln 2.

    With `d = (p - q)/(p + q)` it is `sum m (d atanh(d) + log(1 - d^2)/2)`, whose terms are never negative: small
    divergences do not drown in the rounding of entropies. Lin 1991, "Divergence measures based on the Shannon entropy".
    """
    total = p + q
    d = torch.where(total > 0, (p - q) / total.clamp(min=torch.finfo(p.dtype).tiny), 0.0)
    squared = d.square()
    inside = d * torch.atanh(d) + torch.log1p(-squared) / 2
    # At +-1, a key that only one row knows, both terms are infinite and their limit is ln 2.
    terms = torch.where(squared < 1, inside, math.log(2.0)).clamp(min=0.0)
    return (total / 2 * terms).sum(dim=-1)
