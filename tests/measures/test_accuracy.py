"""Wilson's interval, and the paired one of Agresti and Min."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from explorer.measures.accuracy import Accuracy, paired_difference


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 10), (81, 263), (10, 10), (500, 1000)])
def test_interval_solves_wilsons_equation(hits: int, count: int) -> None:
    """The ends are the roots `p` of `(hits/n - p)^2 = z^2 p (1 - p) / n`."""
    z, share = NormalDist().inv_cdf(0.975), hits / count
    roots = np.roots([1 + z * z / count, -(2 * share + z * z / count), share * share])
    low, high = Accuracy(share, share, count).interval(share)
    assert [low, high] == pytest.approx(sorted(roots), abs=1e-6)
    ends = binomtest(hits, count).proportion_ci(method="wilson")
    assert [low, high] == pytest.approx([ends.low, ends.high], abs=1e-14)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_share(hits_of: tuple[int, int]) -> None:
    hits, count = hits_of
    low, high = Accuracy(0.0, 0.0, count).interval(hits / count)
    assert -1e-12 <= low <= hits / count + 1e-12
    assert hits / count - 1e-12 <= high <= 1 + 1e-12


def test_the_paired_interval_holds_the_true_difference_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0  # of tables of both, second only, first only and neither
    for _ in range(2000):
        kinds = torch.from_numpy(random.choice(4, size=25, p=(0.4, 0.3, 0.1, 0.2)))
        _, low, high = paired_difference((kinds == 0) | (kinds == 2), kinds <= 1)
        held += low <= 0.2 <= high
    assert 0.93 < held / 2000 < 0.98


def test_the_paired_interval_of_many_images_is_the_normal_one() -> None:
    random = np.random.default_rng(1)
    first, second = (torch.from_numpy(random.random(20_000) < share) for share in (0.5, 0.6))
    differences = second.double() - first.double()
    half = NormalDist().inv_cdf(0.975) * float(differences.std()) / math.sqrt(20_000)
    mean = float(differences.mean())
    assert paired_difference(first, second) == pytest.approx((mean, mean - half, mean + half), abs=1e-4)


@pytest.mark.parametrize("count", [1, 5])
def test_images_that_agree_leave_room_for_doubt(count: int) -> None:
    none, every = torch.zeros(count, dtype=torch.bool), torch.ones(count, dtype=torch.bool)
    mean, low, high = paired_difference(every, every)
    assert mean == 0
    assert low < 0 < high
    mean, low, high = paired_difference(none, every)
    assert mean == high == 1 or (mean == 1 and low < high <= 1)
    assert paired_difference(every, none) == pytest.approx((-mean, -high, -low))
