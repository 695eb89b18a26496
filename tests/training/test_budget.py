"""How many epochs fit: the arithmetic, and a run under a clock that only training moves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from explorer.training import budget, run
from explorer.training.budget import MARGIN, Pace
from explorer.training.learner import VARIANTS, Learner, Recipe
from explorer.training.run import PairRun
from explorer.types import ExplorerError, Preprocessing
from tests.helpers import assert_one_sentence, digest, small_dataset

PACE = Pace(small=0.1, full=0.3, after=2.0)


def test_the_most_epochs_that_fit() -> None:
    epochs, small = budget.fitting(600, 50, PACE, 0.7)
    # Ten epochs take 7 * 50 * 0.1 + 3 * 50 * 0.3 + 10 * 2 = 100 seconds.
    assert budget.seconds(10, 7, 50, PACE) == pytest.approx(100)
    assert (epochs, small) == (57, 40)
    assert budget.seconds(epochs, small, 50, PACE) <= MARGIN * 600
    assert budget.seconds(epochs + 1, round(0.7 * (epochs + 1)), 50, PACE) > MARGIN * 600


@pytest.mark.parametrize("left", [-5.0, 0.0, 6.0])
def test_time_for_no_epoch_is_refused(left: float) -> None:
    with pytest.raises(ExplorerError) as refused:
        budget.fitting(left, 50, PACE, 0.7)
    assert_one_sentence(str(refused.value).replace("0.1", "").replace("0.0", ""))


class Clock:
    """Stands still but for what it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A step of one model takes a second at 16 px and 3 at 32 px, an evaluation 2."""
    clock = Clock()
    step, accuracy = Learner.step, run.accuracy

    def slow_step(self: Learner, images: Tensor, target: Tensor, recipe: Recipe, update: int) -> Tensor:
        clock.now += {16: 1.0, 32: 3.0}[images.shape[-1]]
        return step(self, images, target, recipe, update)

    def slow_accuracy(*rest: object) -> object:
        clock.now += 2.0
        return accuracy(*rest)

    monkeypatch.setattr(Learner, "step", slow_step)
    monkeypatch.setattr(run, "accuracy", slow_accuracy)
    return clock


@pytest.fixture
def start(tiny: str, preprocessing: Preprocessing, tmp_path: Path, clock: Clock) -> Callable[..., PairRun]:
    recipe = Recipe(tiny, (1.0, 2.0), epochs=3, small_epochs=2, small_size=16, batch_size=4, warmup_epochs=1)

    def start(folder: str, minutes: float | None = None, **changes: object) -> PairRun:
        told = replace(recipe, **changes)
        return PairRun(
            told, small_dataset(), small_dataset(seed=1), preprocessing, tmp_path / folder, minutes, clock=clock
        )

    return start


def weights(pair: PairRun) -> list[str]:
    return [digest(pair.learners[variant].ema.module.state_dict().values()) for variant in VARIANTS]


def test_a_run_fits_its_minutes(start: Callable[..., PairRun], clock: Clock) -> None:
    """Two steps an epoch and two models: 4 s small, 12 s full, 4 s after; two of three epochs are small."""
    began = clock.now
    pair = start("fit", minutes=4)
    assert pair.pace == Pace(small=2.0, full=6.0, after=4.0)
    left = 240 - (clock.now - began)
    expected = max(n for n in range(100) if (2 * n // 3) * 8 + (n - round(2 * n / 3)) * 16 <= MARGIN * left)
    assert abs(pair.recipe.epochs - expected) <= 1
    assert pair.recipe.small_epochs == round(2 / 3 * pair.recipe.epochs)
    list(pair.epochs())
    assert 0.8 * 240 < clock.now - began <= 240


def test_measuring_leaves_no_trace_in_the_run(start: Callable[..., PairRun]) -> None:
    fitted = start("fit", minutes=4)
    epochs, small = fitted.recipe.epochs, fitted.recipe.small_epochs
    told = start("told", epochs=epochs, small_epochs=small)
    for pair in (fitted, told):
        list(pair.epochs())
    assert weights(fitted) == weights(told)
    assert fitted.rows == told.rows


def test_a_fitted_run_that_was_killed_keeps_its_epochs(start: Callable[..., PairRun]) -> None:
    whole = start("whole", minutes=3)
    list(whole.epochs())
    cut = start("cut", minutes=3)
    next(cut.epochs())
    resumed = start("cut", minutes=1)
    assert (resumed.epoch, resumed.recipe, resumed.pace) == (1, whole.recipe, None)
    list(resumed.epochs())
    assert weights(resumed) == weights(whole)


def test_too_little_time_is_refused_before_training(start: Callable[..., PairRun], tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="minutes was expected"):
        start("short", minutes=0.5)
    assert not (tmp_path / "short" / "state.pt").exists()
