"""Nadaraya-Watson regression of a noisy curve on [0, 1]: the smoother `A`, the steps of twicing, and twicing k times.

The design is fixed and uniform, so `A = D^-1 K` with a symmetric `K`: similar to `D^-1/2 K D^-1/2`, its eigenvalues are
real. Paper: Sec. 3.3, App. A.4 and A.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import toeplitz  # type: ignore[import-untyped]

from explorer.lessons.kernels import Kernel
from explorer.paper import operators
from explorer.types import ExplorerError

CurveValues = Float[np.ndarray, " point"]
MAX_POINTS = 1000
"""A is dense, and everything here should answer a slider."""
ROUNDING = 1e-9
"""An eigenvalue counts as negative below minus this."""


@dataclass(frozen=True)
class Truth:
    """A curve to be found again; its second and fourth derivatives where the curve has them."""

    name: str
    formula: str
    value: Callable[[np.ndarray], np.ndarray]
    second: Callable[[np.ndarray], np.ndarray] | None = None
    fourth: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Observations:
    """`V = f(x) + noise` at the points of the design; noise is normal with standard deviation `noise`."""

    truth: Truth
    x: CurveValues
    curve: CurveValues
    values: CurveValues
    noise: float


@dataclass(frozen=True, eq=False)
class Smoother:
    """The matrix of a Nadaraya-Watson estimator, `A_ij = K((x_i - x_j) / h) / sum_j K((x_i - x_j) / h)`."""

    kernel: Kernel
    bandwidth: float
    matrix: Float[np.ndarray, "query key"]
    degrees: Float[np.ndarray, " query"]
    """The sums that normalise the rows, `D`."""

    @property
    def points(self) -> int:
        return len(self.degrees)

    @cached_property
    def decomposition(self) -> tuple[CurveValues, Float[np.ndarray, "query eigenvector"]]:
        """Eigenvalues, smallest first, and eigenvectors of `D^1/2 A D^-1/2 = D^-1/2 K D^-1/2`, which is symmetric."""
        root = np.sqrt(self.degrees)
        eigenvalues, vectors = np.linalg.eigh(self.matrix * root[:, None] / root)
        return eigenvalues, vectors

    @property
    def eigenvalues(self) -> CurveValues:
        """Eigenvalues of `A`, real, largest first; the largest is 1."""
        return self.decomposition[0][::-1]

    @property
    def negative(self) -> CurveValues:
        """The eigenvalues below 0, for which the theory of Sec. 3.2 does not speak; smallest last.

        The map lowers them instead of lifting them, and twicing again and again lets them grow: `|1 - lambda| > 1`.
        """
        return self.eigenvalues[self.eigenvalues < -ROUNDING]


@dataclass(frozen=True, eq=False)
class Steps:
    """The three steps of twicing and their sum (Sec. 3.3)."""

    smoothed: CurveValues
    """1: `A V`."""
    residual: CurveValues
    """2: `V - A V`."""
    smoothed_residual: CurveValues
    """3: `A (V - A V)`."""
    twiced: CurveValues
    """`A V + A (V - A V) = (2A - A^2) V`."""


def design(points: int) -> CurveValues:
    """`x_i = (i + 1/2) / n`: the middles of n equal parts of [0, 1]."""
    if not 2 <= points <= MAX_POINTS:
        raise ExplorerError(f"Between 2 and {MAX_POINTS} points were expected; {points} came.")
    return (np.arange(points) + 0.5) / points


def observe(truth: Truth, points: int, noise: float, seed: int = 0) -> Observations:
    """Noisy values of a curve; the same seed gives the same noise at every level, scaled."""
    if not (math.isfinite(noise) and noise >= 0):
        raise ExplorerError(f"A standard deviation of at least 0 was expected as noise; {noise} came.")
    x = design(points)
    curve = truth.value(x)
    return Observations(truth, x, curve, curve + noise * np.random.default_rng(seed).standard_normal(points), noise)


def smoother(points: int, kernel: Kernel, bandwidth: float) -> Smoother:
    """The matrix `A` on the uniform design; rows sum to 1. The bandwidth is in units of x."""
    if not (math.isfinite(bandwidth) and bandwidth > 0):
        raise ExplorerError(f"A bandwidth above 0 was expected; {bandwidth} came.")
    # On a uniform design K depends on |i - j| alone.
    lags = np.arange(len(design(points))) / points
    K = toeplitz(kernel.density(lags / bandwidth))
    degrees = K.sum(axis=1)
    return Smoother(kernel, bandwidth, K / degrees[:, None], degrees)


def steps(smoother: Smoother, values: CurveValues) -> Steps:
    """Smooth, take the residual, smooth the residual, add."""
    A, V = torch.from_numpy(smoother.matrix), torch.from_numpy(np.asarray(values, dtype=np.float64))[:, None]
    smoothed, correction = (part.numpy()[:, 0] for part in operators.smoothing_steps(A, V))
    return Steps(smoothed, operators.residual(A, V).numpy()[:, 0], correction, smoothed + correction)


def folds(smoother: Smoother, values: CurveValues, most: int) -> Float[np.ndarray, "fold point"]:
    """Estimates of k-fold twicing for `k = 1 ... most`: `m_k = m_(k-1) + A (V - m_(k-1))`, from `m_0 = 0`.

    `m_k = (I - (I - A)^k) V`: with all eigenvalues in (0, 1] it ends at the noisy values themselves.
    """
    estimates = np.empty((_checked(most), len(values)))
    estimate = np.zeros(len(values))
    for row in estimates:
        estimate = estimate + smoother.matrix @ (values - estimate)
        row[:] = estimate
    return estimates


def truth_named(name: str) -> Truth:
    """A row of `TRUTHS`. Raises `ExplorerError` for a name that is not there."""
    if name not in TRUTHS:
        raise ExplorerError(f"A curve was expected, one of {', '.join(TRUTHS)}; {name!r} came.")
    return TRUTHS[name]


def _checked(fold: int) -> int:
    if fold < 1:
        raise ExplorerError(f"Smoothing at least once was expected; {fold} times came.")
    return fold


_WAVE = 4 * math.pi
_WIDTH = 0.08


def _peak(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-(((x - 0.5) / _WIDTH) ** 2) / 2))


def _peak_second(x: np.ndarray) -> np.ndarray:
    z = (x - 0.5) / _WIDTH
    return np.asarray((z**2 - 1) * _peak(x) / _WIDTH**2)


def _peak_fourth(x: np.ndarray) -> np.ndarray:
    z = (x - 0.5) / _WIDTH
    return np.asarray((z**4 - 6 * z**2 + 3) * _peak(x) / _WIDTH**4)


TRUTHS = {
    truth.name: truth
    for truth in (
        Truth(
            "waves",
            "sin(4πx)",
            lambda x: np.sin(_WAVE * x),
            lambda x: -(_WAVE**2) * np.sin(_WAVE * x),
            lambda x: _WAVE**4 * np.sin(_WAVE * x),
        ),
        Truth("peak", "exp(−(x − ½)² / (2 · 0.08²))", _peak, _peak_second, _peak_fourth),
        Truth(
            "parabola",
            "4 (x − ½)²",
            lambda x: 4 * (x - 0.5) ** 2,
            lambda x: np.full_like(x, 8.0),
            lambda x: np.zeros_like(x),
        ),
        Truth("quickening waves", "sin(2π(x + 3x²))", lambda x: np.sin(2 * math.pi * (x + 3 * x**2))),
        Truth("corner", "|2x − 1|", lambda x: np.abs(2 * x - 1)),
        Truth("step", "0 below ½, 1 from there", lambda x: np.where(x < 0.5, 0.0, 1.0)),
    )
}
