"""Kernels against numerical convolution, their moments against closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from explorer.lessons.kernels import KERNELS, Kernel, kernel_named, moments
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

FOURTH_MOMENTS = {"Gaussian": 3.0, "triangular": 1 / 15, "Epanechnikov": 3 / 35, "biweight": 1 / 21, "box": 1 / 5}
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))


@every_kernel
@pytest.mark.parametrize("u", [0.0, 0.3, 1.0, 1.7, -0.9, 2.5])
def test_the_convolution_is_the_integral(kernel: Kernel, u: float) -> None:
    low, high = max(-kernel.support, u - kernel.support), min(kernel.support, u + kernel.support)
    breaks = sorted({low, high, *(b for b in (0.0, u) if low < b < high)})
    pieces = pairwise(breaks) if low < high else ()
    integral = sum(
        quad(lambda v: float(kernel.density(np.array([v]))[0] * kernel.density(np.array([u - v]))[0]), a, b)[0]
        for a, b in pieces
    )
    assert kernel.convolved(np.array([u]))[0] == pytest.approx(integral, abs=1e-8)


@every_kernel
def test_moments_by_quadrature_are_the_closed_forms(kernel: Kernel) -> None:
    found = moments(kernel, twicing=False)
    expected = (1.0, kernel.second_moment, FOURTH_MOMENTS[kernel.name])
    assert (found.zeroth, found.second, found.fourth) == pytest.approx(expected, abs=1e-11)


@every_kernel
def test_the_second_moment_of_the_twicing_kernel_is_zero(kernel: Kernel) -> None:
    found = moments(kernel, twicing=True)
    # Those of K * K are of a sum of two independent draws: 2 mu_2 and 2 mu_4 + 6 mu_2^2 (Prop. 2).
    closed = (1.0, 0.0, -6 * kernel.second_moment**2)
    assert (found.zeroth, found.second, found.fourth) == pytest.approx(closed, abs=1e-11)
    assert found.second == pytest.approx(0.0, abs=1e-13)
    assert found.fourth < 0


@pytest.mark.parametrize(
    ("name", "standard", "twicing"),
    [
        # Squared Gaussians integrate to Gaussians at 0 with the variances added.
        (
            "Gaussian",
            1 / math.sqrt(4 * math.pi),
            (4 / math.sqrt(2) - 4 / math.sqrt(3) + 1 / 2) / math.sqrt(2 * math.pi),
        ),
        ("box", 1 / 2, 5 / 6),
    ],
)
def test_roughness_is_the_closed_form(name: str, standard: float, twicing: float) -> None:
    assert moments(KERNELS[name], twicing=False).roughness == pytest.approx(standard, rel=1e-10)
    assert moments(KERNELS[name], twicing=True).roughness == pytest.approx(twicing, rel=1e-10)


@every_kernel
def test_lower_bias_is_paid_for_in_variance(kernel: Kernel) -> None:
    assert moments(kernel, twicing=True).roughness > moments(kernel, twicing=False).roughness


@every_kernel
def test_a_positive_definite_kernel_has_no_negative_frequency(kernel: Kernel) -> None:
    u = np.linspace(-kernel.support, kernel.support, 4001)
    frequencies = np.linspace(0, 25, 251)
    transform = np.cos(np.outer(frequencies, u)) @ kernel.density(u) * (u[1] - u[0])
    assert (transform.min() > -1e-3) == kernel.positive_definite


def test_an_unknown_kernel_is_an_error() -> None:
    assert kernel_named("box") is KERNELS["box"]
    with pytest.raises(ExplorerError, match="'cosine' came") as caught:
        kernel_named("cosine")
    assert_one_sentence(str(caught.value))
