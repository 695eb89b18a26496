"""Eigencapacities against exact fractions and quadrature."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import quad

from explorer.paper import theory
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


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


# --- the family a x + (1 - a) x^2 ---------------------------------------------------------------------------------

GRID = np.linspace(0.0, 1.0, 2001)
PLACES = [0.0, 0.5, 0.99, 1.0, 1.01, 1.5, 1.99, 2.0, 2.01, 2.5, 3.0]


@pytest.mark.parametrize("a", [-1.0, *PLACES])
def test_the_conditions_are_what_the_curve_does(a: float) -> None:
    member, values = theory.family_member(a), theory.family(GRID, a)
    assert member.enhances == bool((values >= GRID - 1e-12).all())
    # 2.01 leaves [0, 1] by 2.5e-5 only.
    assert member.bounded == bool((values >= -1e-12).all() and (values <= 1 + 1e-12).all())
    assert (member.enhances and member.bounded) == (1 <= a <= 2)
    assert member.maximum == pytest.approx(values.max(), abs=1e-6)
    assert member.maximum_at == pytest.approx(GRID[values.argmax()], abs=1e-3)
    gain = values - GRID
    assert member.greatest_gain == pytest.approx(gain[np.abs(gain).argmax()], abs=1e-12)


def test_both_conditions_hold_from_one_to_two_and_two_enhances_most() -> None:
    dial = [i / 100 for i in range(301)]
    members = [theory.family_member(a) for a in dial]
    safe = [member.a for member in members if member.enhances and member.bounded]
    assert (safe[0], safe[-1], len(safe)) == (1.0, 2.0, 101)
    curves = np.array([theory.family(GRID, a) for a in safe])
    assert (np.diff(curves, axis=0) >= -1e-12).all()


def test_the_ends_of_the_family_are_the_two_filters() -> None:
    np.testing.assert_allclose(theory.family_power(GRID, 1.0, 5), theory.standard_power(GRID, 5), rtol=1e-12)
    np.testing.assert_allclose(theory.family_power(GRID, 2.0, 5), theory.twicing_power(GRID, 5), rtol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 6, 12, 100, 511, 512, 10_000])
def test_eigencapacity_by_quadrature_is_the_closed_form(n: int) -> None:
    assert theory.eigencapacity(1.0, n) == pytest.approx(theory.eigencapacity_standard(n), rel=1e-9)
    assert theory.eigencapacity(2.0, n) == pytest.approx(theory.eigencapacity_twicing(n), rel=1e-9)


@pytest.mark.parametrize("a", [0.0, 0.5, 1.3, 2.5, 3.0])
@pytest.mark.parametrize("n", [1, 3, 7])
def test_eigencapacity_of_any_member_is_the_sum_over_powers(a: float, n: int) -> None:
    b = Fraction(a)
    terms = (math.comb(n, k) * b ** (n - k) * (1 - b) ** k * Fraction(1, n + k + 1) for k in range(n + 1))
    assert theory.eigencapacity(a, n) == pytest.approx(float(sum(terms)), rel=1e-12)


@pytest.mark.parametrize("a", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
def test_eigencapacity_tends_to_its_rate(a: float) -> None:
    errors = [abs(theory.eigencapacity(a, n) / theory.eigencapacity_rate(a, n) - 1) for n in (20, 200, 2000)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 3e-3


@pytest.mark.parametrize(("a", "exponent"), [(1.0, -1.0), (1.5, -1.0), (2.0, -0.5)])
def test_only_two_decays_with_the_root_of_n(a: float, exponent: float) -> None:
    n = np.array([2000, 4000, 8000])
    law = theory.power_law(n.astype(float), np.array([theory.eigencapacity(a, int(i)) for i in n]))
    assert law.exponent == pytest.approx(exponent, abs=0.02)


def test_a_power_law_is_found_again() -> None:
    x = np.array([0.1, 0.5, 2.0, 9.0])
    law = theory.power_law(x, 3 * x**-1.5)
    assert (law.exponent, law.constant) == pytest.approx((-1.5, 3.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.family_member(float("nan")),
        lambda: theory.eigencapacity(2.0, -1),
        lambda: theory.eigencapacity_rate(-0.5, 3),
        lambda: theory.eigencapacity_rate(2.0, 0),
        lambda: theory.power_law(np.array([1.0, 2.0]), np.array([0.0, 1.0])),
        lambda: theory.power_law(np.array([1.0]), np.array([1.0])),
    ],
)
def test_what_has_no_answer_is_an_error(call) -> None:
    with pytest.raises(ExplorerError) as caught:
        call()
    assert_one_sentence(str(caught.value))
