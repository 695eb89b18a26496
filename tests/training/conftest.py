"""A run of tiny models on a little data, in a folder of the test."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.training import data, stored
from explorer.training.data import Dataset
from explorer.training.recipe import Recipe
from explorer.training.settings import About, TrainingRun
from explorer.types import Preprocessing
from tests.helpers import quadratics, small_dataset

MakeRun = Callable[..., TrainingRun]

OPERATORS = {
    "standard": quadratics(1.0, 1.0),
    "twicing": quadratics(2.0, 2.0),
    "twicing-2-2": quadratics(1.0, 2.0),
}
ABOUT = About("tiny", "Tiny", "in words", "noise", "CC0", "abc123", "the start's maker")


@pytest.fixture
def recipe(tiny: str) -> Recipe:
    return Recipe(
        architecture=tiny, sizes=((0.0, 16), (1.0, 32)), batch_size=4, lr=1e-3, warmup_steps=2, drop_path=0.2, seed=3
    )


def keep_data(folder: Path, split: Dataset) -> None:
    """What `stored.store` leaves of a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *_: split)
        stored.store(folder, [], 32, None, [str(np.asarray(split.images).sum())])


@pytest.fixture
def make_run(recipe: Recipe, preprocessing: Preprocessing, tmp_path: Path) -> MakeRun:
    """A run with 8 training and 6 validation images of two classes; changes are the recipe's."""

    def make(
        folder: str = "run",
        train: Dataset | None = None,
        validation: Dataset | None = None,
        operators: tuple[str, ...] = ("standard", "twicing"),
        settings: dict[str, Any] | None = None,
        **changes: Any,
    ) -> TrainingRun:
        run = TrainingRun(
            folder=tmp_path / folder,
            recipe=replace(recipe, **changes),
            operators={name: OPERATORS[name] for name in operators},
            preprocessing=preprocessing,
            about=ABOUT,
            **{"evaluate_every": 10**9, **(settings or {})},
        )
        for place, split in zip(
            run.stored, (train or small_dataset(), validation or small_dataset(3, seed=1)), strict=True
        ):
            keep_data(place, split)
        return run

    return make
