"""Eigencapacities against exact fractions and quadrature."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import quad

from explorer import theory


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 57, 200])
def test_twicing_eigencapacity_is_the_closed_form(n: int) -> None:
    exact = Fraction(4**n * math.factorial(n) ** 2, math.factorial(2 * n + 1))
    assert theory.eigencapacity_twicing(n) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_twicing_eigencapacity_is_the_integral(n: int) -> None:
    integral, _ = quad(lambda x: theory.twicing_power(np.array([x]), n)[0], 0, 1, epsabs=1e-12)
    assert theory.eigencapacity_twicing(n) == pytest.approx(integral, rel=1e-9)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 40])
def test_standard_eigencapacity_is_the_integral(n: int) -> None:
    integral, _ = quad(lambda x: theory.standard_power(np.array([x]), n)[0], 0, 1, epsabs=1e-12)
    assert theory.eigencapacity_standard(n) == pytest.approx(integral, rel=1e-9)


def test_limit_is_approached() -> None:
    ratios = [theory.eigencapacity_twicing(n) / theory.eigencapacity_twicing_limit(n) for n in (10, 10**3, 10**5)]
    errors = [abs(1 - ratio) for ratio in ratios]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-5


def test_nothing_overflows_at_a_million() -> None:
    expected = math.sqrt(math.pi) / 2000
    assert theory.eigencapacity_twicing(10**6) == pytest.approx(expected, rel=1e-6)


def test_powers_are_the_iterated_filters() -> None:
    x = np.linspace(0.0, 1.0, 11)
    np.testing.assert_allclose(theory.standard_power(x, 3), x * x * x, rtol=1e-14)
    once = 2 * x - x * x
    np.testing.assert_allclose(theory.twicing_power(x, 3), once * once * once, rtol=1e-14)


def test_twicing_keeps_more_than_standard() -> None:
    assert all(theory.eigencapacity_twicing(n) > theory.eigencapacity_standard(n) for n in range(1, 50))
