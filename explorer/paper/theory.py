"""The theory's curves: filters iterated `n` times, how much of [0, 1] they keep, and the family they come from.

Paper: Sec. 3.2-3.3. Everything here is about real `x` in [0, 1]; eigenvalues of attention are complex.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from explorer.types import ExplorerError

_MOST_NODES = 512
"""Quadrature is exact up to n = 511; beyond, the nodes are still far closer than the width of `p_a^n` near its peak."""


@dataclass(frozen=True)
class PowerLaw:
    """`y = constant * x^exponent`."""

    exponent: float
    constant: float


@dataclass(frozen=True)
class FamilyMember:
    """What `p_a(x) = a x + (1 - a) x^2` does on [0, 1] (Eqn 14); `p_a(0) = 0` and `p_a(1) = 1` for every `a`."""

    a: float
    enhances: bool
    """`p_a(x) >= x` everywhere: `p_a(x) - x = (a - 1) (x - x^2)`, so where `a >= 1`."""
    bounded: bool
    """`0 <= p_a(x) <= 1` everywhere: where `0 <= a <= 2`."""
    maximum_at: float
    maximum: float
    """`a^2 / (4 (a - 1))` at `a / (2 (a - 1))` for `a > 2`, else 1 at 1."""
    greatest_gain: float
    """`p_a(1/2) - 1/2 = (a - 1) / 4`, the largest of `p_a(x) - x` in magnitude."""


def standard_power(x: Float[np.ndarray, "..."], n: int) -> Float[np.ndarray, "..."]:
    """`p^n(x) = x^n` (Eqn 13)."""
    return np.asarray(np.asarray(x) ** n)


def twicing_power(x: Float[np.ndarray, "..."], n: int) -> Float[np.ndarray, "..."]:
    """`p_hat^n(x) = (2x - x^2)^n` (Sec. 3.2)."""
    x = np.asarray(x)
    return np.asarray((2 * x - x**2) ** n)


def eigencapacity_standard(n: int) -> float:
    """`kappa_n(p) = integral of x^n over [0, 1] = 1 / (n + 1)` (Eqn 15, Prop. 1)."""
    return 1.0 / (n + 1)


def eigencapacity_twicing(n: int) -> float:
    """`kappa_n(p_hat) = 4^n (n!)^2 / (2n + 1)!`, which tends to `sqrt(pi) / (2 sqrt(n))` (Eqn 15, Prop. 1).

    With `u = 1 - x` it is half a Beta function, `B(n + 1, 1/2) / 2`, which does not overflow.
    """
    from scipy.special import betaln  # type: ignore[import-untyped]  # by itself as much as timm

    return 0.5 * math.exp(float(betaln(n + 1, 0.5)))


def eigencapacity_twicing_limit(n: int) -> float:
    """`sqrt(pi) / (2 sqrt(n))`, the rate of Prop. 1."""
    return math.sqrt(math.pi) / (2 * math.sqrt(n))


def family(x: Float[np.ndarray, "..."], a: float) -> Float[np.ndarray, "..."]:
    """`p_a(x) = a x + (1 - a) x^2` (Eqn 14)."""
    x = np.asarray(x)
    return np.asarray(a * x + (1 - a) * x**2)


def family_power(x: Float[np.ndarray, "..."], a: float, n: int) -> Float[np.ndarray, "..."]:
    """`p_a^n(x)`: the filter applied `n` times, as a power (Eqn 13)."""
    return np.asarray(family(x, a) ** n)


def family_member(a: float) -> FamilyMember:
    """The conditions of Sec. 3.2 for a filter `a`, in closed form."""
    if not math.isfinite(a):
        raise ExplorerError(f"A finite filter a was expected; {a} came.")
    at, most = (a / (2 * (a - 1)), a**2 / (4 * (a - 1))) if a > 2 else (1.0, 1.0)
    return FamilyMember(a, a >= 1, 0 <= a <= 2, at, most, (a - 1) / 4)


def eigencapacity(a: float, n: int) -> float:
    """`kappa_n(p_a) = integral of p_a^n over [0, 1]` by Gauss-Legendre quadrature (Eqn 15).

    The integrand is a polynomial of degree `2n`, for which `n + 1` nodes are exact.
    """
    if n < 0:
        raise ExplorerError(f"A number of steps of at least 0 was expected; {n} came.")
    nodes, weights = _gauss_legendre(min(n + 1, _MOST_NODES))
    return float(weights @ family_power(nodes, a, n))


def eigencapacity_rate(a: float, n: int) -> float:
    """What `kappa_n(p_a)` tends to for large `n`, with `a >= 0` (Prop. 1 for `a` of 1 and 2).

    Below 2 the slope of `p_a` at 1 is `2 - a > 0`, which leaves `1 / ((2 - a) n)`: **only** `a = 2`, flat at 1, decays
    as `sqrt(pi) / (2 sqrt(n))`. Beyond 2 the maximum `m > 1` makes it grow as `m^n sqrt(pi m / (n (a - 1)))`.
    """
    if a < 0 or n < 1:
        raise ExplorerError(f"A filter a of at least 0 and at least 1 step were expected; {a} and {n} came.")
    if a < 2:
        return 1 / ((2 - a) * n)
    if a == 2:
        return eigencapacity_twicing_limit(n)
    most = family_member(a).maximum
    return math.exp(n * math.log(most)) * math.sqrt(math.pi * most / (n * (a - 1)))


def power_law(x: Float[np.ndarray, " point"], y: Float[np.ndarray, " point"]) -> PowerLaw:
    """The straight line of least squares through `(log x, log y)`."""
    if len(x) < 2 or min(x.min(), y.min()) <= 0:
        raise ExplorerError(
            "At least 2 pairs of numbers above 0 were expected for a line on log-log axes; others came."
        )
    exponent, intercept = np.polynomial.polynomial.polyfit(np.log(x), np.log(y), 1)[::-1]
    return PowerLaw(float(exponent), math.exp(intercept))


@cache
def _gauss_legendre(count: int) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Nodes and weights on [0, 1]."""
    from scipy.special import roots_legendre

    nodes, weights = roots_legendre(count)
    return (nodes + 1) / 2, weights / 2
