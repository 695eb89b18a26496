"""The smoother's matrix, its real spectrum, and twicing step by step and fold by fold."""

import numpy as np
import pytest

from explorer.lessons import regression
from explorer.lessons.kernels import KERNELS
from explorer.lessons.regression import TRUTHS, Smoother
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, assert_same_multiset

WAVES = TRUTHS["waves"]
every_kernel = pytest.mark.parametrize("name", list(KERNELS))


def smoother(name: str = "Gaussian", points: int = 60, bandwidth: float = 0.08) -> Smoother:
    return regression.smoother(points, KERNELS[name], bandwidth)


@every_kernel
def test_the_matrix_is_the_definition(name: str) -> None:
    kernel, x = KERNELS[name], regression.design(30)
    expected = np.array([[kernel.density(np.array([(a - b) / 0.11]))[0] for b in x] for a in x])
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(smoother(name, 30, 0.11).matrix, expected, rtol=1e-12, atol=1e-15)


@every_kernel
@pytest.mark.parametrize("bandwidth", [1e-3, 0.05, 3.0])
def test_rows_sum_to_one(name: str, bandwidth: float) -> None:
    np.testing.assert_allclose(smoother(name, bandwidth=bandwidth).matrix.sum(axis=1), 1.0, rtol=1e-12)


@every_kernel
def test_eigenvalues_are_those_of_the_matrix_and_start_at_one(name: str) -> None:
    one = smoother(name, 40)
    assert_same_multiset(np.linalg.eigvals(one.matrix), one.eigenvalues, tolerance=1e-7)
    assert one.eigenvalues[0] == pytest.approx(1.0, abs=1e-12)
    assert (np.diff(one.eigenvalues) <= 0).all()


@every_kernel
@pytest.mark.parametrize("bandwidth", [0.03, 0.1, 0.3])
def test_only_kernels_that_are_not_positive_definite_have_negative_eigenvalues(name: str, bandwidth: float) -> None:
    assert bool(len(smoother(name, 100, bandwidth).negative)) == (not KERNELS[name].positive_definite)


def test_the_rows_of_the_twicing_matrix_are_the_twicing_kernel() -> None:
    points, h = 800, 0.03
    A = smoother("Gaussian", points, h).matrix
    middle = points // 2
    u = (regression.design(points) - regression.design(points)[middle]) / h
    row = (2 * A - A @ A)[middle] * points * h
    np.testing.assert_allclose(row, KERNELS["Gaussian"].twicing(u), atol=1e-6)


def test_the_steps_are_those_of_the_paper() -> None:
    one, observed = smoother(), regression.observe(WAVES, 60, 0.3)
    A, V = one.matrix, observed.values
    steps = regression.steps(one, V)
    np.testing.assert_allclose(steps.smoothed, A @ V, atol=1e-13)
    np.testing.assert_allclose(steps.residual, V - A @ V, atol=1e-13)
    np.testing.assert_allclose(steps.smoothed_residual, A @ (V - A @ V), atol=1e-13)
    np.testing.assert_allclose(steps.twiced, (2 * A - A @ A) @ V, atol=1e-13)


@every_kernel
def test_folds_are_the_powers_of_the_residual_operator(name: str) -> None:
    one, V = smoother(name), regression.observe(WAVES, 60, 0.3).values
    lost = np.eye(60) - one.matrix
    expected = [V - np.linalg.matrix_power(lost, k) @ V for k in range(1, 7)]
    np.testing.assert_allclose(regression.folds(one, V, 6), expected, atol=1e-12)


def test_two_folds_are_twicing() -> None:
    one, V = smoother(), regression.observe(WAVES, 60, 0.3).values
    np.testing.assert_allclose(regression.folds(one, V, 2)[1], regression.steps(one, V).twiced, atol=1e-13)


@pytest.mark.parametrize("fold", [1, 3, 8])
def test_folds_obey_the_spectral_mapping(fold: int) -> None:
    one = smoother("box", 40)
    M = np.eye(40) - np.linalg.matrix_power(np.eye(40) - one.matrix, fold)
    expected = 1 - (1 - one.eigenvalues) ** fold
    assert_same_multiset(np.linalg.eigvals(M), expected, tolerance=1e-6)


def test_folds_run_into_the_noise_or_away() -> None:
    V = regression.observe(WAVES, 60, 0.3).values
    tame, wild = (
        regression.folds(smoother(name, bandwidth=h), V, 400) for name, h in (("Gaussian", 0.015), ("box", 0.03))
    )
    distance = np.abs(tame - V).max(axis=1)
    assert distance[-1] < 0.05 * distance[0]
    assert np.abs(wild[-1]).max() > 1e6


@pytest.mark.parametrize("truth", [t for t in TRUTHS.values() if t.second], ids=lambda t: t.name)
def test_derivatives_are_those_of_the_curve(truth: regression.Truth) -> None:
    assert truth.second is not None
    assert truth.fourth is not None
    x, d = np.linspace(0.1, 0.9, 33), 1e-3
    for function, derivative in ((truth.value, truth.second), (truth.second, truth.fourth)):
        numeric = (function(x + d) - 2 * function(x) + function(x - d)) / d**2
        scale = np.abs(derivative(x)).max() + 1
        np.testing.assert_allclose(derivative(x), numeric, atol=1e-3 * scale)


def test_noise_is_the_same_draw_at_every_level() -> None:
    one, two = (regression.observe(WAVES, 50, noise, seed=3) for noise in (0.1, 0.2))
    np.testing.assert_allclose(two.values - two.curve, 2 * (one.values - one.curve), atol=1e-14)
    assert not np.array_equal(one.values, regression.observe(WAVES, 50, 0.1, seed=4).values)


@pytest.mark.parametrize(
    "call",
    [
        lambda: regression.design(1),
        lambda: regression.design(regression.MAX_POINTS + 1),
        lambda: regression.smoother(50, KERNELS["box"], 0.0),
        lambda: regression.smoother(50, KERNELS["box"], float("nan")),
        lambda: regression.observe(WAVES, 50, -0.1),
        lambda: regression.folds(smoother(), np.zeros(60), 0),
        lambda: regression.truth_named("cosine"),
    ],
)
def test_what_cannot_be_smoothed_is_an_error(call) -> None:
    with pytest.raises(ExplorerError) as caught:
        call()
    assert_one_sentence(str(caught.value).replace("0.", "0,"))
