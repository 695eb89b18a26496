"""The paired run: same start, same batches, and the same end after a kill."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from explorer.models import checkpoints
from explorer.models.twicing import get_filter
from explorer.training.data import Dataset
from explorer.training.export import export_pair
from explorer.training.learner import VARIANTS, Learner, Recipe
from explorer.training.run import PairRun
from explorer.types import ExplorerError, Preprocessing
from tests.helpers import digest, small_dataset

Start = Callable[..., PairRun]


@pytest.fixture
def recipe(tiny: str) -> Recipe:
    return Recipe(
        architecture=tiny,
        twicing_filter=(1.0, 2.0),
        epochs=2,
        small_epochs=1,
        small_size=16,
        batch_size=4,
        warmup_epochs=1,
        drop_path=0.2,
        seed=3,
    )


@pytest.fixture
def start(recipe: Recipe, preprocessing: Preprocessing, tmp_path: Path) -> Start:
    """Begins or resumes a run in a folder of the test."""

    def start(folder: str = "run", train: Dataset | None = None, validation: Dataset | None = None, **changes: Any):
        train = train or small_dataset()
        validation = validation or small_dataset(seed=1)
        return PairRun(replace(recipe, **changes), train, validation, preprocessing, tmp_path / folder)

    return start


def weights(pair: PairRun, variant: str) -> str:
    learner = pair.learners[variant]
    moments = [t for state in learner.optimizer.state.values() for t in state.values() if isinstance(t, Tensor)]
    return digest([*learner.model.state_dict().values(), *learner.ema.module.state_dict().values(), *moments])


def end_of(pair: PairRun) -> list[str]:
    list(pair.epochs())
    return [weights(pair, variant) for variant in VARIANTS]


def test_both_start_from_the_same_weights(start: Start) -> None:
    states = [digest(start().learners[variant].model.state_dict().values()) for variant in VARIANTS]
    assert states[0] == states[1]


def test_each_has_its_own_weights_and_filter(start: Start) -> None:
    models = [start().learners[variant].model for variant in VARIANTS]
    assert [get_filter(model) for model in models] == [(1.0, 1.0), (1.0, 2.0)]
    shared = {p.data_ptr() for p in models[0].parameters()} & {p.data_ptr() for p in models[1].parameters()}
    assert not shared


def test_the_moving_average_has_the_filter_too(start: Start) -> None:
    assert get_filter(start().learners["twicing"].ema.module) == (1.0, 2.0)


def test_both_see_the_same_batches(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, str]] = []
    original = Learner.step

    def spy(self: Learner, images: Tensor, target: Tensor, *rest: Any) -> Tensor:
        seen.append((self, digest([images, target])))
        return original(self, images, target, *rest)

    monkeypatch.setattr(Learner, "step", spy)
    # At one size and without Mixup, whose own generator differs by epoch: the order and the views must differ too.
    pair = start(small_epochs=0, mix_probability=0.0)
    list(pair.epochs())
    by_variant = {v: [batch for learner, batch in seen if learner is pair.learners[v]] for v in VARIANTS}
    assert by_variant["standard"] == by_variant["twicing"]
    assert len(set(by_variant["standard"])) == 4  # two steps in each of two epochs, all different


def test_training_changes_the_weights_of_both_differently(start: Start) -> None:
    pair = start()
    before = weights(pair, "standard")
    standard, twicing = end_of(pair)
    assert len({before, standard, twicing}) == 3


def test_outcomes_are_finite_and_say_what_was_done(start: Start) -> None:
    outcomes = list(start().epochs())
    assert [outcome.row()["epoch"] for outcome in outcomes] == [1, 2]
    assert [outcome.size for outcome in outcomes] == [16, 32]
    for outcome in outcomes:
        assert all(math.isfinite(loss) for loss in outcome.loss.values())
        assert {reached.count for reached in outcome.accuracy.values()} == {8}


def test_a_seed_decides_the_run(start: Start) -> None:
    assert end_of(start("a")) == end_of(start("b"))
    assert end_of(start("c", seed=4)) != end_of(start("d"))


def test_a_run_stopped_between_epochs_ends_the_same(start: Start) -> None:
    expected = end_of(start("whole"))
    next(start("cut").epochs())
    resumed = start("cut")
    assert resumed.epoch == 1
    assert end_of(resumed) == expected


def test_a_run_killed_within_an_epoch_ends_the_same(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = end_of(start("whole"))
    steps, original = [], Learner.step

    def killed(self: Learner, *rest: Any) -> Tensor:
        steps.append(rest)
        if len(steps) == 2:  # when one of the two models has taken its step
            raise KeyboardInterrupt
        return original(self, *rest)

    cut = start("cut").epochs()
    next(cut)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            next(cut)
    assert end_of(start("cut")) == expected


def test_a_finished_run_has_nothing_left_to_do(start: Start) -> None:
    expected = end_of(start())
    again = start()
    assert list(again.epochs()) == []
    assert [weights(again, variant) for variant in VARIANTS] == expected


def test_the_log_survives_a_resumption(start: Start, tmp_path: Path) -> None:
    next(start().epochs())
    list(start().epochs())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "run" / "log.csv").read_text(encoding="utf-8"))))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {f"{variant}_{what}" for variant in VARIANTS for what in ("loss", "top1", "top5")} <= rows[0].keys()


def test_another_recipe_in_the_same_folder_is_refused(start: Start) -> None:
    next(start().epochs())
    with pytest.raises(ExplorerError, match="another recipe"):
        start(lr=2e-3)


def test_other_classes_in_the_same_folder_are_refused(start: Start) -> None:
    next(start().epochs())
    with pytest.raises(ExplorerError):
        start(train=small_dataset(each=3, classes=3), validation=small_dataset(each=3, classes=3))


def test_validation_with_other_classes_is_refused(start: Start) -> None:
    """Labels index each split's own classes, so splits that differ would be compared wrongly without a word."""
    with pytest.raises(ExplorerError):
        start(train=small_dataset(each=3, classes=3), validation=small_dataset(each=3, classes=2))


def test_a_broken_state_file_is_refused_in_words(start: Start, tmp_path: Path) -> None:
    next(start().epochs())
    state = tmp_path / "run" / "state.pt"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(ExplorerError):
        start()


def few(count: int) -> Dataset:
    data = small_dataset()
    return Dataset(data.images[:count], data.labels[:count], data.classes)


@pytest.mark.parametrize("count", [3, 5])
def test_odd_numbers_of_images_train(start: Start, count: int) -> None:
    """Mixup pairs images up, so an odd batch loses one."""
    (outcome,) = start(train=few(count), epochs=1, warmup_epochs=0).epochs()
    assert all(math.isfinite(loss) for loss in outcome.loss.values())


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (8, 1)])
def test_batches_of_one_image_are_refused_in_words(start: Start, count: int, batch_size: int) -> None:
    """An odd batch of one loses it too, and nothing would be left to train on."""
    with pytest.raises(ExplorerError):
        list(start(train=few(count), batch_size=batch_size).epochs())


def export(pair: PairRun, folder: Path) -> list[Path]:
    names = {"standard": "Tiny", "twicing": "Tiny-Twicing"}
    return export_pair(pair, folder, "tiny", names, "noise", "in words", "abc123", "CC0")


def test_export_writes_two_checkpoints_and_the_log(start: Start, tmp_path: Path) -> None:
    pair = start()
    list(pair.epochs())
    out = tmp_path / "out"
    out.mkdir()
    paths = export(pair, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in paths)
    assert paths[-1].read_bytes() == pair.log()


def test_exported_checkpoints_load_with_complete_metadata(start: Start, tmp_path: Path) -> None:
    pair = start()
    list(pair.epochs())
    standard, twicing = (checkpoints.load(path) for path in export(pair, tmp_path)[:2])
    assert (standard.card.name, twicing.card.name) == ("Tiny", "Tiny-Twicing")
    assert standard.card.is_standard
    assert twicing.card.trained_filter == (1.0, 2.0)
    for variant, loaded in zip(VARIANTS, (standard, twicing), strict=True):
        card = loaded.card
        assert (card.classes, card.wnids) == (("name 0", "name 1"), ("n0", "n1"))
        assert (card.recipe, card.data, card.git_revision, card.license) == ("in words", "noise", "abc123", "CC0")
        assert card.preprocessing == pair.preprocessing
        assert card.top1 == pair.rows[-1][f"{variant}_top1"]
        for key, value in pair.export(variant).items():
            assert torch.equal(loaded.module.state_dict()[key], value.half().float())
