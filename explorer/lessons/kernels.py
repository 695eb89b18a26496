"""Smoothing kernels K on the line, their twicing kernels 2K - K * K, and the moments of both (paper Prop. 2).

Kernels have their textbook scale (the box lives on [-1, 1], the Gaussian has variance 1), so the same bandwidth smooths
more or less from one to the next: by `h^2 second_moment`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from explorer.types import ExplorerError

Function = Callable[[np.ndarray], np.ndarray]
_NODES = 32
"""Gauss-Legendre nodes on a piece of length 1: exact for the polynomial pieces, all of degree below 20 when squared."""


@dataclass(frozen=True)
class Kernel:
    """A symmetric density K, with K * K in closed form."""

    name: str
    formula: str
    density: Function
    convolved: Function
    """`(K * K)(u)`."""
    second_moment: float
    support: float
    """K is 0, or below 1e-8, where `|u|` is larger."""
    positive_definite: bool
    """Whether the Fourier transform of K is nowhere negative: no matrix of this kernel then has a negative eigenvalue
    (Bochner)."""

    def twicing(self, u: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """`2 K(u) - (K * K)(u)`, which is negative in places (Prop. 2)."""
        return 2 * self.density(u) - self.convolved(u)


@dataclass(frozen=True)
class Moments:
    """Integrals of `u^k` times a kernel, and of its square; odd ones are 0 by symmetry."""

    zeroth: float
    second: float
    fourth: float
    roughness: float
    """Integral of the squared kernel: the variance of the estimator is about `sigma^2 roughness / (n h)`."""


def moments(kernel: Kernel, *, twicing: bool) -> Moments:
    """Moments of K or of 2K - K * K, by Gauss-Legendre quadrature on pieces between whole numbers."""
    reach = math.ceil(2 * kernel.support)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    u = (np.arange(-reach, reach)[:, None] + (nodes + 1) / 2).ravel()
    values = kernel.twicing(u) if twicing else kernel.density(u)
    weighted = values * np.tile(weights / 2, 2 * reach)
    return Moments(float(weighted.sum()), float(weighted @ u**2), float(weighted @ u**4), float(weighted @ values))


def kernel_named(name: str) -> Kernel:
    """A row of `KERNELS`. Raises `ExplorerError` for a name that is not there."""
    if name not in KERNELS:
        raise ExplorerError(f"A kernel was expected, one of {', '.join(KERNELS)}; {name!r} came.")
    return KERNELS[name]


def _gaussian(u: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi))


def _gaussian_twice(u: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-(u**2) / 4) / math.sqrt(4 * math.pi))


def _triangular(u: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(1 - np.abs(u), 0.0))


def _triangular_twice(u: np.ndarray) -> np.ndarray:
    u = np.abs(u)
    return np.where(u <= 1, 2 / 3 - u**2 + u**3 / 2, np.maximum(2 - u, 0.0) ** 3 / 6)  # the cubic B-spline


def _epanechnikov(u: np.ndarray) -> np.ndarray:
    return np.asarray(0.75 * np.maximum(1 - u**2, 0.0))


def _epanechnikov_twice(u: np.ndarray) -> np.ndarray:
    u = np.abs(u)
    return np.asarray(3 / 160 * np.maximum(2 - u, 0.0) ** 3 * (u**2 + 6 * u + 4))


def _biweight(u: np.ndarray) -> np.ndarray:
    return np.asarray(15 / 16 * np.maximum(1 - u**2, 0.0) ** 2)


def _biweight_twice(u: np.ndarray) -> np.ndarray:
    u = np.abs(u)
    return np.asarray(5 / 3584 * np.maximum(2 - u, 0.0) ** 5 * (16 + 40 * u + 36 * u**2 + 10 * u**3 + u**4))


def _box(u: np.ndarray) -> np.ndarray:
    return np.where(np.abs(u) <= 1, 0.5, 0.0)


def _box_twice(u: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(2 - np.abs(u), 0.0) / 4)


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel("Gaussian", "exp(−u²/2) / √(2π)", _gaussian, _gaussian_twice, 1.0, 6.0, True),
        Kernel("triangular", "1 − |u|", _triangular, _triangular_twice, 1 / 6, 1.0, True),
        Kernel("Epanechnikov", "¾ (1 − u²)", _epanechnikov, _epanechnikov_twice, 1 / 5, 1.0, False),
        Kernel("biweight", "15/16 (1 − u²)²", _biweight, _biweight_twice, 1 / 7, 1.0, False),
        Kernel("box", "½ where |u| ≤ 1", _box, _box_twice, 1 / 3, 1.0, False),
    )
}
