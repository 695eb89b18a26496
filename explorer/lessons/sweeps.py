"""Lesson 1 at every bandwidth at once: what its slider shows, without asking again.

A smoother is linear: of `V = f + s e` it makes `A f + s A e`, so that the curve `f` and one draw of noise `e` at level
1 serve every level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from explorer.lessons import regression, risk
from explorer.lessons.kernels import Kernel, kernel_named
from explorer.lessons.regression import CurveValues, Truth


@dataclass(frozen=True, eq=False)
class Smoothings:
    """A curve and a draw of noise of standard deviation 1, and what every smoother makes of each."""

    x: CurveValues
    curve: CurveValues
    noise: CurveValues
    smoothed: Float[np.ndarray, "signal bandwidth point"]
    """`A f` and `A e`."""
    corrections: Float[np.ndarray, "signal bandwidth point"]
    """`A (f - A f)` and `A (e - A e)`."""

    def distances(self, levels: Sequence[float]) -> Float[np.ndarray, "estimate bandwidth level"]:
        """Root mean squared distances to the curve of smoothing once and of twicing, at every level of noise."""
        distances = []
        for of_curve, of_noise in (self.smoothed, self.smoothed + self.corrections):
            missed = of_curve - self.curve
            squares = [np.mean((missed + level * of_noise) ** 2, axis=-1) for level in levels]
            distances.append(np.sqrt(np.stack(squares, axis=-1)))
        return np.stack(distances)


def smoothings(truth: Truth, kernel: Kernel, points: int, bandwidths: Sequence[float], seed: int = 0) -> Smoothings:
    """The steps of twicing at every bandwidth."""
    observed = regression.observe(truth, points, 1.0, seed)
    noise = observed.values - observed.curve
    smoothed, corrections = np.empty((2, 2, len(bandwidths), points))
    for i, bandwidth in enumerate(bandwidths):
        smoother = regression.smoother(points, kernel, bandwidth)
        for signal, values in enumerate((observed.curve, noise)):
            done = regression.steps(smoother, values)
            smoothed[signal, i], corrections[signal, i] = done.smoothed, done.smoothed_residual
    return Smoothings(observed.x, observed.curve, noise, smoothed, corrections)


@lru_cache(maxsize=64)
def negative_eigenvalues(kernel: str, points: int, bandwidths: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
    """How many eigenvalues of `A` are negative at every bandwidth, and the lowest (0 where none is).

    Of a positive definite kernel none is (Bochner), and nothing is decomposed.
    """
    if kernel_named(kernel).positive_definite:
        return ((0, 0.0),) * len(bandwidths)
    return tuple(_negative(regression.smoother(points, kernel_named(kernel), bandwidth)) for bandwidth in bandwidths)


def _negative(smoother: regression.Smoother) -> tuple[int, float]:
    """The design is uniform, so the matrix is the same turned around, and splits into two of half the size."""
    root = np.sqrt(smoother.degrees)
    symmetric, half = smoother.matrix * root[:, None] / root, smoother.points // 2
    if smoother.points % 2:
        halves = [symmetric]
    else:
        same, turned = symmetric[:half, :half], symmetric[:half, half:][:, ::-1]
        halves = [same + turned, same - turned]
    eigenvalues = np.concatenate([np.linalg.eigvalsh(part) for part in halves])
    return int((eigenvalues < -regression.ROUNDING).sum()), min(0.0, float(eigenvalues.min()))


@dataclass(frozen=True, eq=False)
class Foldings:
    """k-fold twicing of a curve and of noise at every bandwidth, and its risk at every level of noise."""

    estimates: Float[np.ndarray, "signal bandwidth fold point"]
    bias_squared: Float[np.ndarray, "bandwidth fold"]
    variance: Float[np.ndarray, "bandwidth fold"]
    """Of noise of standard deviation 1."""


def foldings(
    truth: Truth, kernel: Kernel, points: int, bandwidths: Sequence[float], folds: Sequence[int], seed: int = 0
) -> Foldings:
    """Estimates and exact risk for every bandwidth and number of folds."""
    observed = regression.observe(truth, points, 1.0, seed)
    estimates = np.empty((2, len(bandwidths), len(folds), points))
    bias_squared, variance = np.empty((2, len(bandwidths), len(folds)))
    for i, bandwidth in enumerate(bandwidths):
        smoother = regression.smoother(points, kernel, bandwidth)
        for signal, values in enumerate((observed.curve, observed.values - observed.curve)):
            estimates[signal, i] = regression.folds(smoother, values, max(folds))[np.array(folds) - 1]
        of_folds = risk.fold_risk(smoother, truth, 1.0, folds)
        bias_squared[i], variance[i] = of_folds.bias_squared, of_folds.variance
    return Foldings(estimates, bias_squared, variance)
