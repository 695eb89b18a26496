"""Bias, variance and mean squared error of smoothing with K and with its twicing, exactly and by Monte Carlo.

A linear smoother `M` of a curve `f` with noise `sigma` has bias `M f - f` and variance `sigma^2 sum_j M_ij^2` at `x_i`.
`M` is `A` for the standard kernel K and `2A - A^2` for the twicing kernel 2K - K * K (paper Prop. 2, App. A.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from explorer.lessons.kernels import Kernel
from explorer.lessons.progress import Interim
from explorer.lessons.regression import ROUNDING, Smoother, Truth, design, smoother
from explorer.paper.theory import PowerLaw, power_law
from explorer.types import ExplorerError

RiskValues = Float[np.ndarray, " setting"]
_BATCH = 25
"""Runs between two reports: about 20 ms."""


@dataclass(frozen=True, eq=False)
class Risk:
    """Means over the points looked at, one per setting (a bandwidth, or a number of folds)."""

    bias_squared: RiskValues
    variance: RiskValues

    @property
    def mse(self) -> RiskValues:
        """Mean squared distance to the curve without noise, `bias^2 + variance`."""
        return np.asarray(self.bias_squared + self.variance)

    @property
    def best(self) -> int:
        """The setting whose mean squared error is smallest."""
        return int(self.mse.argmin())


@dataclass(frozen=True, eq=False)
class BandwidthSweep:
    """Both kernels over the bandwidths."""

    bandwidths: RiskValues
    standard: Risk
    twicing: Risk
    runs: int | None
    """Draws of the noise it rests on; `None` where it is exact."""

    @property
    def raised(self) -> RiskValues:
        """Bandwidths at which the bias of twicing is the larger one, beyond rounding.

        Twicing leaves `(I - A) b` of the bias `b`, so only an eigenvalue of `A` below 0 can enlarge a part of it.
        """
        standard, twicing = self.standard.bias_squared, self.twicing.bias_squared
        return np.asarray(self.bandwidths[twicing > standard * (1 + ROUNDING)])

    def at_noise(self, level: float) -> BandwidthSweep:
        """Of an exact sweep for noise 1, that for another level: the variance grows with its square."""
        standard, twicing = (
            Risk(risk.bias_squared, level**2 * risk.variance) for risk in (self.standard, self.twicing)
        )
        return BandwidthSweep(self.bandwidths, standard, twicing, self.runs)


@dataclass(frozen=True, eq=False)
class BiasOrder:
    """Root mean square of the bias without noise over interior points, against the bandwidth (Prop. 2)."""

    bandwidths: RiskValues
    standard: RiskValues
    twicing: RiskValues
    standard_law: PowerLaw | None
    """Fitted `c h^p`; `None` where the bias is 0 up to rounding."""
    twicing_law: PowerLaw | None
    standard_theory: RiskValues | None
    """`h^2 mu_2 / 2` times the root mean square of `f''`; `None` for a curve without derivatives."""
    twicing_theory: RiskValues | None
    """`h^4 mu_2^2 / 4` times the root mean square of `f''''`."""
    margin: float
    """The part of [0, 1] left out at either end."""


def bandwidths(low: float, high: float, count: int) -> RiskValues:
    """From low to high in equal ratios."""
    if not 0 < low < high < math.inf or count < 2:
        raise ExplorerError(
            f"At least 2 bandwidths that rise from above 0 were expected; {count} of {low}–{high} came."
        )
    return np.geomspace(low, high, count)


def interior(points: int, margin: float) -> Bool[np.ndarray, " point"]:
    """True at the points of the design that are at least `margin` from both ends."""
    x = design(points)
    inside = (x >= margin) & (x <= 1 - margin)
    if not inside.any():
        raise ExplorerError(f"A margin that leaves some of {points} points was expected; {margin:.3g} came.")
    return np.asarray(inside)


def exact_sweep(
    truth: Truth, points: int, noise: float, kernel: Kernel, bandwidths: RiskValues, *, margin: float = 0.0
) -> BandwidthSweep:
    """Bias and variance in closed form, no noise drawn."""
    f, inside = truth.value(design(points)), interior(points, margin)
    table = np.empty((2, 2, len(bandwidths)))  # (kernel, quantity, bandwidth)
    for i, h in enumerate(bandwidths):
        A = smoother(points, kernel, float(h)).matrix
        for k, M in enumerate((A, 2 * A - A @ A)):
            table[k, 0, i] = np.mean((M @ f - f)[inside] ** 2)
            table[k, 1, i] = noise**2 * np.mean((M[inside] ** 2).sum(axis=1))
    standard, twicing = (Risk(*quantities) for quantities in table)
    return BandwidthSweep(bandwidths, standard, twicing, None)


def monte_carlo(
    truth: Truth,
    points: int,
    noise: float,
    kernel: Kernel,
    bandwidths: RiskValues,
    *,
    runs: int = 400,
    seed: int = 0,
    margin: float = 0.0,
) -> Iterator[Interim[BandwidthSweep]]:
    """The same by drawing noise, a few runs at a time; every report has the curves so far.

    All bandwidths and both kernels see the same noise. Both parts are unbiased estimates that add up to the squared
    error that was measured; a squared bias far below `variance / runs` may therefore come out negative.
    """
    if runs < 2:
        raise ExplorerError(f"At least 2 runs were expected; {runs} came.")
    f, inside = truth.value(design(points)), interior(points, margin)
    matrices = [smoother(points, kernel, float(h)).matrix for h in bandwidths]
    generator = np.random.default_rng(seed)
    total = np.zeros((2, len(bandwidths), int(inside.sum())))  # (kernel, bandwidth, point)
    squares = np.zeros_like(total)
    done = 0
    while done < runs:
        count = min(_BATCH, runs - done)
        V = f[:, None] + noise * generator.standard_normal((points, count))
        for i, A in enumerate(matrices):
            once = A @ V
            for k, estimate in enumerate((once, once + A @ (V - once))):
                errors = (estimate - f[:, None])[inside]
                total[k, i] += errors.sum(axis=1)
                squares[k, i] += (errors**2).sum(axis=1)
        done += count
        mean_squared = ((total / done) ** 2).mean(axis=-1)  # (kernel, bandwidth)
        variance = (squares.mean(axis=-1) / done - mean_squared) * done / (done - 1)
        # The mean of the runs still has its share of the variance.
        standard, twicing = map(Risk, mean_squared - variance / done, variance)
        yield Interim(done, runs, "drawing noise", BandwidthSweep(bandwidths, standard, twicing, done))


def fold_risk(smoother: Smoother, truth: Truth, noise: float, folds: Sequence[int], *, margin: float = 0.0) -> Risk:
    """Risk of k-fold twicing for every k asked for, exactly: where more folds fit noise instead of the curve.

    With `A = D^-1/2 Q Lambda Q^T D^1/2` the fold is `D^-1/2 Q g_k(Lambda) Q^T D^1/2`, `g_k = 1 - (1 - lambda)^k`, so
    one decomposition serves all folds.
    """
    if not folds or min(folds) < 1:
        raise ExplorerError(f"Numbers of folds from 1 on were expected; {list(folds)} came.")
    f, inside = truth.value(design(smoother.points)), interior(smoother.points, margin)
    eigenvalues, Q = smoother.decomposition
    root = np.sqrt(smoother.degrees)[:, None]
    left, right = (Q / root)[inside], Q * root  # rows of D^-1/2 Q, and D^1/2 Q
    lost = (1 - eigenvalues) ** np.array(folds)[:, None]  # (setting, point)
    bias = (lost * (right.T @ f)) @ left.T  # (setting, point), up to the sign
    pairs = (left.T @ left) * (right.T @ right)
    kept = 1 - lost
    variance = noise**2 * ((kept @ pairs) * kept).sum(axis=1) / inside.sum()
    return Risk((bias**2).mean(axis=1), variance)


def bias_order(truth: Truth, kernel: Kernel, points: int = 1000, count: int = 9) -> BiasOrder:
    """Bias against bandwidth on interior points: `h^2` for K, `h^4` for 2K - K * K (Prop. 2).

    Standard deviations `h sqrt(mu_2)` run from 0.004 to 0.016, and points that the ends reach, in two steps of
    smoothing with the widest, are left out. Bandwidths are halves of odd numbers of spacings: the box then covers whole
    points, which makes its sums those of the integral up to second order.
    """
    scale = math.sqrt(kernel.second_moment)
    wanted = np.geomspace(0.004, 0.016, count) / scale
    h = np.unique((np.floor(wanted * points) + 0.5) / points)
    margin = 2 * kernel.support * float(h[-1])
    x, inside = design(points), interior(points, margin)
    f = truth.value(x)
    sizes = []
    for bandwidth in h:
        A = smoother(points, kernel, float(bandwidth)).matrix
        lost = f - A @ f  # minus the bias of A; (I - A) applied again is minus that of 2A - A^2
        sizes.append((_rms(lost[inside]), _rms((lost - A @ lost)[inside])))
    standard, twicing = np.array(sizes).T
    theory = [
        None if derivative is None else factor * _rms(derivative(x[inside]))
        for derivative, factor in (
            (truth.second, h**2 * kernel.second_moment / 2),
            (truth.fourth, h**4 * kernel.second_moment**2 / 4),
        )
    ]
    return BiasOrder(h, standard, twicing, _law(h, standard), _law(h, twicing), theory[0], theory[1], margin)


def _law(h: RiskValues, sizes: RiskValues) -> PowerLaw | None:
    return power_law(h, sizes) if sizes.min() > 1e-10 else None


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
