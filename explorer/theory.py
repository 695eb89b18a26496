"""The theory's curves: filters iterated `n` times, and how much of [0, 1] they keep (paper Sec. 3.2-3.3)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.special import betaln  # type: ignore[import-untyped]


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
    return 0.5 * math.exp(float(betaln(n + 1, 0.5)))


def eigencapacity_twicing_limit(n: int) -> float:
    """`sqrt(pi) / (2 sqrt(n))`, the rate of Prop. 1."""
    return math.sqrt(math.pi) / (2 * math.sqrt(n))
