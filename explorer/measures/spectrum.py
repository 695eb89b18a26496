"""Spectra of attention matrices and of what a filter makes of them.

`A` is not symmetric, so its eigenvalues are complex: shown are complex numbers and moduli, never the real part alone.
`eig(2A - A^2) = 2 lambda - lambda^2` exactly, so one decomposition serves both. Singular values do not obey the map.

Eigenvalues are computed in float64, but of an `A` that was made in float32. Its error is taken as `N eps |A|_2`, `eps`
that of its type, where numerical rank is cut as well (Golub & Van Loan 2013, Sec. 5.4; NumPy's `matrix_rank`): over the
heads of the pair that ships, N = 197, a pass in float32 differs from one in float64 by 73 `eps |A|_2` at most. To first
order it moves an eigenvalue by up to `1 / |y^H x|` times as much, `x` and `y` its right and left eigenvectors of length
1 (Wilkinson's condition number): the eigenvalue's noise. One no larger than its noise cannot be told from 0, and speaks
of rank where it seems to speak of realness; an imaginary part no larger cannot be told from none.
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
from jaxtyping import Bool, Complex, Float
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from explorer.measures.settings import ROUNDING
from explorer.paper import operators
from explorer.traces import Trace
from explorer.types import TWICING, Operator

_LIMITING = threading.Lock()
"""The limit is the whole process's: two that overlap would restore each other's."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and singular values of `A` in the heads of one layer, largest first, in float64 on the CPU."""

    eigenvalues: Complex[Tensor, "head token"]
    noise: Float[Tensor, "head token"]
    """How far the rounding of `A` may have moved each eigenvalue: `N eps |A|_2 / |y^H x|`."""
    singular_values: Float[Tensor, "head token"]
    layer: int

    def mapped(self, operator: Operator = TWICING) -> Complex[Tensor, "head token"]:
        """The eigenvalues of `E`, in the order of `eigenvalues`: `2 lambda - lambda^2` of twicing (Sec. 3.2)."""
        return operators.polynomials(operator, self.layer)[0].eigenvalues(self.eigenvalues)

    def vanishing(self) -> Bool[Tensor, "head token"]:
        """True where `lambda` cannot be told from 0: `|lambda| <= noise`."""
        return self.eigenvalues.abs() <= self.noise

    def on_curve(self) -> Bool[Tensor, "head token"]:
        """True where `lambda` is not 0, real and not negative, up to its noise.

        Those obey `|lambda| -> 2|lambda| - |lambda|^2`.
        """
        return ~self.vanishing() & (self.eigenvalues.imag.abs() <= self.noise) & (self.eigenvalues.real > 0)

    def leaving_unit_disc(self, operator: Operator = TWICING) -> int:
        """How many eigenvalues the map sends out of the unit disc.

        0-1 boundedness is proven for real `lambda` in [0, 1] only (Sec. 3.2).
        """
        return int((self.mapped(operator).abs() > 1 + ROUNDING).sum())

    def effective_rank(self) -> Float[Tensor, " head"]:
        """`exp` of the entropy of the normalised singular values (Roy & Vetterli 2007)."""
        shares = self.singular_values / self.singular_values.sum(dim=-1, keepdim=True)
        terms: Tensor = torch.special.entr(shares)
        return terms.sum(dim=-1).exp()


def seconds(matrices: int, tokens: int) -> float:
    """About how long decomposing so many matrices takes: on a core 1.05 s for one of 785 tokens, 0.035 s for 197."""
    return float(matrices * 1.05 * (tokens / 785) ** 2.5 / (os.cpu_count() or 1))


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
            list(map(_threads().submit, repeat(_decomposed), trace.attention[layer].cpu().double().numpy()))
            for trace, layer in layers
        ]
        by_layer = [[future.result() for future in heads] for heads in decomposed]
    results = []
    for (trace, layer), heads in zip(layers, by_layer, strict=True):
        eigenvalues, conditions, singular = (torch.from_numpy(np.stack(parts)) for parts in zip(*heads, strict=True))
        error = trace.attention.shape[-1] * torch.finfo(trace.attention.dtype).eps * singular[:, :1]  # N eps |A|_2
        results.append(Spectrum(eigenvalues, error * conditions, singular, layer))
    return results


def of_effective(trace: Trace, layer: int) -> Complex[Tensor, "head token"]:
    """Eigenvalues of every head's `E` in a layer, largest first, in float64, whatever rows of `A` sum to."""
    E = operators.effective(trace.attention[layer].cpu().double(), trace.filter[layer], layer)
    with _LIMITING, threadpool_limits(1, user_api="blas"):
        by_head = list(_threads().map(np.linalg.eigvals, E.numpy()))
    values = torch.from_numpy(np.stack(by_head).astype(np.complex128))
    return values.gather(-1, values.abs().argsort(dim=-1, descending=True, stable=True))


def _decomposed(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues, largest modulus first, and their condition numbers; singular values.

    Rows of the inverse of the right eigenvectors `X`, whose columns have length 1, are left ones with `y^H x = 1`.
    Where eigenvectors fall together and `X` has none, SciPy gives left ones, but lets no other thread run meanwhile.
    """
    values, right = np.linalg.eig(matrix)
    try:
        conditions = np.linalg.norm(np.linalg.inv(right), axis=1)
    except np.linalg.LinAlgError:
        import scipy.linalg  # type: ignore[import-untyped]

        values, left, right = scipy.linalg.eig(matrix, left=True)
        with np.errstate(divide="ignore"):
            conditions = 1 / np.abs((left.conj() * right).sum(axis=0))
    order = np.argsort(-np.abs(values), kind="stable")
    singular = np.linalg.svd(matrix, compute_uv=False)
    return values.astype(np.complex128)[order], conditions[order], singular


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="explorer-spectrum")
