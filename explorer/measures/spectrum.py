"""Spectra of attention matrices and of what a filter makes of them.

`A` is not symmetric, so its eigenvalues are complex: shown are complex numbers and moduli, never the real part alone.
`eig(2A - A^2) = 2 lambda - lambda^2` exactly, so one decomposition serves both. Singular values do not obey the map.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat

import numpy as np
import torch
from jaxtyping import Complex, Float
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from explorer.paper import operators
from explorer.traces import Trace
from explorer.types import TWICING

ROUNDING = 1e-5
"""A modulus counts as outside the unit disc beyond this: eigenvalues are computed in float64, but the rows of a traced
`A` sum to 1 in float32 only, which moves the eigenvalue 1 by about 1e-6."""

_LIMITING = threading.Lock()
"""The limit is the whole process's: two that overlap would restore each other's."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and singular values of `A` in the heads of one layer, largest first, in float64 on the CPU."""

    eigenvalues: Complex[Tensor, "head token"]
    singular_values: Float[Tensor, "head token"]
    layer: int

    def mapped(self, a: float = TWICING) -> Complex[Tensor, "head token"]:
        """`a lambda + (1 - a) lambda^2`, in the order of `eigenvalues` (spectral mapping, Sec. 3.2)."""
        return operators.filter_eigenvalues(self.eigenvalues, a)

    def leaving_unit_disc(self, a: float = TWICING) -> int:
        """How many eigenvalues the map sends out of the unit disc.

        0-1 boundedness is proven for real `lambda` in [0, 1] only (Sec. 3.2).
        """
        return int((self.mapped(a).abs() > 1 + ROUNDING).sum())

    def effective_rank(self) -> Float[Tensor, " head"]:
        """`exp` of the entropy of the normalised singular values (Roy & Vetterli 2007)."""
        shares = self.singular_values / self.singular_values.sum(dim=-1, keepdim=True)
        terms: Tensor = torch.special.entr(shares)
        return terms.sum(dim=-1).exp()


def on_curve(eigenvalues: Complex[Tensor, "..."]) -> Tensor:
    """True where `lambda` is real and not negative up to rounding: those obey `|lambda| -> 2|lambda| - |lambda|^2`."""
    scale = eigenvalues.abs().clamp(min=1e-12)
    return (eigenvalues.imag.abs() <= 1e-9 + 1e-7 * scale) & (eigenvalues.real >= -1e-9)


def spectrum(trace: Trace, layer: int) -> Spectrum:
    """Decomposes `A` of every head of a layer in float64."""
    return spectra([(trace, layer)])[0]


def spectra(layers: Sequence[tuple[Trace, int]]) -> list[Spectrum]:
    """Decomposes several layers at once.

    One matrix of 200 x 200 is too small for two threads of LAPACK, so matrices go to a few Python threads with one
    thread of LAPACK each: half the time. NumPy's library it is, because torch's number of threads is for all of torch.
    """
    with _LIMITING, threadpool_limits(1, user_api="blas"):
        decomposed = [
            [
                list(map(_threads().submit, repeat(function), trace.attention[layer].cpu().double().numpy()))
                for function in (np.linalg.eigvals, _singular)
            ]
            for trace, layer in layers
        ]
        stacked = [[np.stack([future.result() for future in heads]) for heads in both] for both in decomposed]
    return [
        Spectrum(_sorted(eigenvalues), torch.from_numpy(singular), layer)
        for (eigenvalues, singular), (_, layer) in zip(stacked, layers, strict=True)
    ]


def _sorted(eigenvalues: np.ndarray) -> Tensor:
    """Largest modulus first."""
    order = np.argsort(-np.abs(eigenvalues), axis=-1, kind="stable")
    return torch.from_numpy(np.take_along_axis(eigenvalues.astype(np.complex128), order, axis=-1))


def _singular(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix, compute_uv=False)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="explorer-spectrum")
