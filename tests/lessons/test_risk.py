"""Risk in closed form against matrices written out, Monte Carlo against both, and the orders of the bias."""

import numpy as np
import pytest

from explorer.lessons import regression, risk
from explorer.lessons.kernels import KERNELS
from explorer.lessons.regression import TRUTHS
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

WAVES, GAUSSIAN = TRUTHS["waves"], KERNELS["Gaussian"]
BANDWIDTHS = risk.bandwidths(0.01, 0.2, 5)
NOISE = 0.4


def test_exact_risk_is_bias_and_row_sums_of_squares() -> None:
    sweep = risk.exact_sweep(WAVES, 50, NOISE, GAUSSIAN, BANDWIDTHS)
    f = WAVES.value(regression.design(50))
    for i, h in enumerate(BANDWIDTHS):
        A = regression.smoother(50, GAUSSIAN, h).matrix
        for M, one in ((A, sweep.standard), (2 * A - A @ A, sweep.twicing)):
            assert one.bias_squared[i] == pytest.approx(np.mean((M @ f - f) ** 2), rel=1e-10)
            assert one.variance[i] == pytest.approx(np.trace(NOISE**2 * M @ M.T) / 50, rel=1e-10)


def test_the_margin_leaves_out_the_ends() -> None:
    sweep = risk.exact_sweep(WAVES, 50, NOISE, GAUSSIAN, BANDWIDTHS, margin=0.2)
    f, inside = WAVES.value(regression.design(50)), slice(10, 40)
    A = regression.smoother(50, GAUSSIAN, BANDWIDTHS[2]).matrix
    assert sweep.standard.bias_squared[2] == pytest.approx(np.mean((A @ f - f)[inside] ** 2), rel=1e-10)
    assert sweep.standard.variance[2] == pytest.approx(NOISE**2 * np.mean((A[inside] ** 2).sum(1)), rel=1e-10)


@pytest.mark.parametrize(
    ("truth", "kernel", "raises"),
    [("waves", "Gaussian", False), ("waves", "box", True), ("quickening waves", "Epanechnikov", True)],
)
def test_twicing_raises_the_bias_only_along_negative_eigenvalues(truth: str, kernel: str, raises: bool) -> None:
    bandwidths = risk.bandwidths(0.006, 0.25, 24)
    raised = risk.exact_sweep(TRUTHS[truth], 100, NOISE, KERNELS[kernel], bandwidths).raised
    f = TRUTHS[truth].value(regression.design(100))
    for h in bandwidths:
        A = regression.smoother(100, KERNELS[kernel], float(h)).matrix
        once = A @ f - f
        assert (h in raised) == (np.linalg.norm(once - A @ once) > np.linalg.norm(once) * (1 + 1e-9))
        assert h not in raised or np.linalg.eigvals(A).real.min() < -1e-3
    assert bool(len(raised)) == raises


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_monte_carlo_agrees_with_the_exact_risk(margin: float) -> None:
    runs = 1200
    exact = risk.exact_sweep(WAVES, 60, NOISE, GAUSSIAN, BANDWIDTHS, margin=margin)
    *_, last = risk.monte_carlo(WAVES, 60, NOISE, GAUSSIAN, BANDWIDTHS, runs=runs, margin=margin)
    for found, expected in ((last.result.standard, exact.standard), (last.result.twicing, exact.twicing)):
        # A mean over few effective points has a relative error of about sqrt(2 / (runs * points)).
        np.testing.assert_allclose(found.variance, expected.variance, rtol=0.08)
        spread = 3 * np.sqrt(expected.bias_squared * expected.variance / runs) + expected.variance / runs
        assert (np.abs(found.bias_squared - expected.bias_squared) < spread).all()
        np.testing.assert_allclose(found.mse, expected.mse, rtol=0.08)


def test_monte_carlo_reports_as_it_goes_and_can_be_left() -> None:
    reports = risk.monte_carlo(WAVES, 40, NOISE, GAUSSIAN, BANDWIDTHS, runs=60, seed=1)
    first = next(reports)
    assert (first.done, first.total, first.result.runs) == (25, 60, 25)
    assert [report.done for report in reports] == [50, 60]
    early = risk.monte_carlo(WAVES, 40, NOISE, GAUSSIAN, BANDWIDTHS, runs=1000, seed=1)
    next(early)
    early.close()


def test_the_parts_add_up_to_the_error_that_was_measured() -> None:
    *_, last = risk.monte_carlo(WAVES, 40, NOISE, GAUSSIAN, BANDWIDTHS[:1], runs=10, seed=2)
    A = regression.smoother(40, GAUSSIAN, BANDWIDTHS[0]).matrix
    f = WAVES.value(regression.design(40))
    V = f[:, None] + NOISE * np.random.default_rng(2).standard_normal((40, 10))
    assert last.result.standard.mse[0] == pytest.approx(np.mean((A @ V - f[:, None]) ** 2), rel=1e-10)


def test_the_best_setting_has_the_least_error() -> None:
    one = risk.Risk(np.array([4.0, 1.0, 0.5]), np.array([0.1, 0.5, 3.0]))
    np.testing.assert_array_equal(one.mse, [4.1, 1.5, 3.5])
    assert one.best == 1


@pytest.mark.parametrize("name", ["Gaussian", "box"])
def test_fold_risk_is_that_of_the_matrices(name: str) -> None:
    one, folds = regression.smoother(40, KERNELS[name], 0.08), (1, 2, 5, 9)
    found = risk.fold_risk(one, WAVES, NOISE, folds, margin=0.1)
    f, inside = WAVES.value(regression.design(40)), risk.interior(40, 0.1)
    for i, k in enumerate(folds):
        M = np.eye(40) - np.linalg.matrix_power(np.eye(40) - one.matrix, k)
        assert found.bias_squared[i] == pytest.approx(np.mean((M @ f - f)[inside] ** 2), rel=1e-8)
        assert found.variance[i] == pytest.approx(NOISE**2 * np.mean((M[inside] ** 2).sum(1)), rel=1e-8)


def test_more_folds_overfit_in_the_end() -> None:
    found = risk.fold_risk(regression.smoother(100, GAUSSIAN, 0.08), WAVES, NOISE, (1, 2, 4, 8, 64, 4096))
    assert (np.diff(found.variance) > 0).all()
    assert (np.diff(found.bias_squared) < 0).all()
    assert 0 < found.best < 5


@pytest.mark.parametrize("name", list(KERNELS))
@pytest.mark.parametrize("truth", ["waves", "peak"])
def test_the_bias_is_of_order_two_and_of_order_four(name: str, truth: str) -> None:
    order = risk.bias_order(TRUTHS[truth], KERNELS[name])
    assert order.standard_law is not None
    assert order.twicing_law is not None
    assert order.standard_law.exponent == pytest.approx(2.0, abs=0.03)
    assert order.twicing_law.exponent == pytest.approx(4.0, abs=0.08)
    np.testing.assert_allclose(order.standard[0], order.standard_theory[0], rtol=0.02)
    np.testing.assert_allclose(order.twicing[0], order.twicing_theory[0], rtol=0.04)


def test_the_bias_of_waves_under_a_gaussian_is_the_closed_form() -> None:
    """A Gaussian multiplies a wave of frequency w by `exp(-(w h)^2 / 2)`; on a fine grid to many digits."""
    order = risk.bias_order(WAVES, GAUSSIAN)
    lost = 1 - np.exp(-((4 * np.pi * order.bandwidths) ** 2) / 2)
    rms = np.sqrt(np.mean(WAVES.value(regression.design(1000))[risk.interior(1000, order.margin)] ** 2))
    np.testing.assert_allclose(order.standard, lost * rms, rtol=1e-5)
    np.testing.assert_allclose(order.twicing, lost**2 * rms, rtol=1e-3)


def test_the_bias_of_a_parabola_is_gone_after_twicing() -> None:
    order = risk.bias_order(TRUTHS["parabola"], GAUSSIAN)
    assert order.twicing.max() < 1e-10
    assert order.twicing_law is None
    assert order.standard_law is not None
    assert order.standard_law.exponent == pytest.approx(2.0, abs=1e-6)


def test_a_curve_without_derivatives_has_no_theory() -> None:
    order = risk.bias_order(TRUTHS["corner"], GAUSSIAN)
    assert order.standard_theory is None
    assert order.standard_law is not None
    assert order.standard_law.exponent == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize(
    "call",
    [
        lambda: risk.bandwidths(0.2, 0.1, 5),
        lambda: risk.bandwidths(0.1, 0.2, 1),
        lambda: risk.interior(50, 0.6),
        lambda: next(risk.monte_carlo(WAVES, 50, 0.1, GAUSSIAN, BANDWIDTHS, runs=1)),
        lambda: risk.fold_risk(regression.smoother(20, GAUSSIAN, 0.1), WAVES, 0.1, ()),
        lambda: risk.fold_risk(regression.smoother(20, GAUSSIAN, 0.1), WAVES, 0.1, (1, 0)),
    ],
)
def test_what_cannot_be_swept_is_an_error(call) -> None:
    with pytest.raises(ExplorerError) as caught:
        call()
    assert_one_sentence(str(caught.value))
