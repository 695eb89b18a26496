"""Accuracy of a model that says what it is told, and Wilson's interval."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from explorer.training.data import ClassName, Dataset
from explorer.training.evaluate import Accuracy, accuracy, normalise, paired_difference, resized
from explorer.types import Preprocessing

PLAIN = Preprocessing(input_size=(4, 4), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Reads(nn.Module):
    """Ranks the classes by distance from the number written into the first pixel."""

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        self.classes, self.modes = classes, []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append(self.training)
        said = (x[:, 0, 0, 0] * 255).round()
        return -(torch.arange(self.classes) - said[:, None]).abs()


def labelled(said: list[int], labels: list[int], classes: int = 7) -> Dataset:
    images = torch.zeros(len(said), 3, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(said, dtype=torch.uint8)
    names = tuple(ClassName(f"n{i}", f"name {i}") for i in range(classes))
    return Dataset(images, torch.tensor(labels), names)


@pytest.mark.parametrize("batch_size", [1, 3, 250])
def test_first_and_first_five(batch_size: int) -> None:
    # Said 0: classes 0 to 4 are the first five. Hits at 1, within 5, and a miss.
    reached = accuracy(Reads(), labelled([0, 0, 0, 6], [0, 3, 6, 6]), PLAIN, batch_size)
    assert reached == Accuracy(top1=0.5, top5=0.75, count=4)


def test_fewer_than_five_classes() -> None:
    assert accuracy(Reads(2), labelled([0, 0], [0, 1], 2), PLAIN) == Accuracy(0.5, 1.0, 2)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_eval_meanwhile_and_restored(training: bool) -> None:
    model = Reads().train(training)
    accuracy(model, labelled([0], [0]), PLAIN)
    assert model.modes == [False]
    assert model.training is training


def test_the_mode_is_restored_after_failure() -> None:
    class Fails(Reads):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    model = Fails().train()
    with pytest.raises(RuntimeError, match="no"):
        accuracy(model, labelled([0], [0]), PLAIN)
    assert model.training


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 10), (81, 263), (10, 10), (500, 1000)])
def test_interval_solves_wilsons_equation(hits: int, count: int) -> None:
    """The ends are the roots `p` of `(hits/n - p)^2 = z^2 p (1 - p) / n`."""
    z, share = NormalDist().inv_cdf(0.975), hits / count
    roots = np.roots([1 + z * z / count, -(2 * share + z * z / count), share * share])
    low, high = Accuracy(share, share, count).interval(share)
    assert [low, high] == pytest.approx(sorted(roots), abs=1e-6)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_share(hits_of: tuple[int, int]) -> None:
    hits, count = hits_of
    low, high = Accuracy(0.0, 0.0, count).interval(hits / count)
    assert -1e-12 <= low <= hits / count + 1e-12
    assert hits / count - 1e-12 <= high <= 1 + 1e-12


def test_normalise_by_channel(preprocessing: Preprocessing) -> None:
    out = normalise(torch.full((1, 3, 2, 2), 0.6), preprocessing)
    expected = torch.tensor([(0.6 - 0.5) / 0.2, (0.6 - 0.4) / 0.3, (0.6 - 0.3) / 0.4])
    torch.testing.assert_close(out[0, :, 0, 0], expected)


def test_images_of_the_right_size_are_only_scaled_to_the_unit_range() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(resized(images, (4, 4)), images.float() / 255)


def test_images_of_another_size_are_resampled_within_the_unit_range() -> None:
    checks = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    checks[..., ::2] = 255
    out = resized(checks, (12, 8))
    assert out.shape == (1, 3, 12, 8)
    assert out.min() >= 0
    assert out.max() <= 1
    assert math.isclose(float(out.mean()), 0.5, abs_tol=0.1)


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
