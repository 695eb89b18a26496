"""The parts of a view's attention that a viewer is sent by themselves, as bytes: `js/pieces.js` reads them.

An entry of a matrix that is never negative is sent as one byte `c` with `a = s (c / 255)^2`, `s` the largest entry of
its row: the error is at most `s (c + 1/4) / 255^2`, so small entries, of which products with `A` have many, are finer.
One of a matrix of both signs, as differential attention has, is `a = s c |c| / 127^2` with a signed byte.
Rollout is made here, where it costs a product a layer, and sent in two bytes an entry, `r = s c / 32767`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int8, Int16, UInt8
from torch import Tensor

from explorer.arrays import array
from explorer.measures import attention as attention_measures
from explorer.measures.attention import Query
from explorer.measures.settings import Matrix
from explorer.paper import operators
from explorer.traces import Trace

Codes = tuple[UInt8[np.ndarray, "*lead key"] | Int8[np.ndarray, "*lead key"], Float[np.ndarray, "*lead"]]
"""Codes and row scales of matrices, signed where these have negative entries."""
Product = Float[Tensor, "query key"]
"""The rollout up to a layer, as a matrix."""


def layer(trace: Trace, number: int) -> bytes:
    """`A` of every head of a layer, 0-based: scales `[H, N]` in float32, codes `[H, N, N]`."""
    codes, scales = quantised(trace.attention[number], operators.is_signed(trace.filter))
    return scales.tobytes() + codes.tobytes()


def rows(trace: Trace, query: Query) -> bytes:
    """The query's row of every matrix in every layer.

    Scales `[L, H]` of rows of `A`, then of `A^2`; the rollout's rows `[L, N]` in float32; codes `[L, H, N]` of both.
    """
    of_attention = attention_measures.rows(trace, query, Matrix.ATTENTION)
    of_square = (of_attention.unsqueeze(2) @ trace.attention).squeeze(2)  # (L, H, 1, N) @ (L, H, N, N)
    signed = operators.is_signed(trace.filter)
    (codes, scales), (square_codes, square_scales) = (quantised(each, signed) for each in (of_attention, of_square))
    rollout = array(attention_measures.rollout(trace, query)).astype("<f4")
    return b"".join(part.tobytes() for part in (scales, square_scales, rollout, codes, square_codes))


def rollout(product: Product) -> bytes:
    """A layer's rollout: scales `[N]` in float32, codes `[N, N]` of two bytes, signed."""
    scales = product.abs().amax(dim=-1)
    shares = product / scales.clamp(min=torch.finfo(scales.dtype).tiny).unsqueeze(-1)
    codes: Int16[np.ndarray, "query key"] = shares.mul_(32767).round_().to(torch.int16).cpu().numpy()
    return _floats(scales).tobytes() + codes.astype("<i2").tobytes()


def products(trace: Trace) -> Iterator[Product]:
    """The rollout up to every layer, from the first on; see `measures.attention.rollout`."""
    product = torch.eye(trace.attention.shape[-1]).to(trace.attention)
    for layer, matrices in enumerate(trace.attention):
        own, of_first = operators.polynomials(trace.filter[layer], layer)
        product = product + own.matrix(matrices).mean(dim=0) @ product
        if not of_first.is_zero:
            product = product + of_first.matrix(matrices).mean(dim=0)
        product = product / 2
        yield product


def quantised(matrices: Float[Tensor, "*lead key"], signed: bool = False) -> Codes:
    """Codes `c` and row scales `s` with `a = s (c / 255)^2` up to `s (c + 1/4) / 255^2`.

    `signed` ones have `a = s c |c| / 127^2` up to `s (|c| + 1/4) / 127^2`.
    """
    if signed:
        scales = matrices.abs().amax(dim=-1)
        shares = matrices / scales.clamp(min=torch.finfo(scales.dtype).tiny).unsqueeze(-1)
        both: Int8[np.ndarray, "*lead key"] = (
            shares.abs().sqrt_().mul_(127.0).round_().mul_(shares.sign()).to(torch.int8).cpu().numpy()
        )
        return both, _floats(scales)
    scales = matrices.amax(dim=-1)
    shares = matrices / scales.clamp(min=torch.finfo(scales.dtype).tiny).unsqueeze(-1)
    codes: UInt8[np.ndarray, "*lead key"] = shares.sqrt_().mul_(255.0).round_().to(torch.uint8).cpu().numpy()
    return codes, _floats(scales)


def _floats(tensor: Tensor) -> Float[np.ndarray, "..."]:
    return np.ascontiguousarray(tensor.float().cpu().numpy(), dtype="<f4")
