"""Trains a standard and a twicing model in one process on the same augmented batches.

Both start from the same initial weights and meet the same images in the same order under the same augmentation, by
construction: one batch is made, with timm's Mixup and CutMix, and both models take one step on it.

A run is a folder. Its state is written after every epoch, whole or not at all, and each epoch draws from a generator
seeded by (seed, epoch), so a run that was killed goes on to the same batches it would have seen.
"""

from __future__ import annotations

import copy
import csv
import io
import itertools
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import Mixup
from torch import Tensor

from explorer import files
from explorer.training import budget
from explorer.training.augment import augment
from explorer.training.data import Dataset
from explorer.training.evaluate import Accuracy, accuracy, normalise
from explorer.training.learner import VARIANTS, Recipe, begin, both
from explorer.types import ExplorerError, Preprocessing

_WARM_UP_STEPS = 3
_MEASURED_SECONDS = 15.0
"""At each of the two sizes: with compiling, a pace takes about a minute."""


@dataclass(frozen=True)
class Outcome:
    """What an epoch ended with, per variant."""

    epoch: int
    size: int
    seconds: float
    loss: dict[str, float]
    accuracy: dict[str, Accuracy]

    def row(self) -> dict[str, float | int]:
        row: dict[str, float | int] = {"epoch": self.epoch + 1, "size": self.size, "seconds": round(self.seconds, 1)}
        for variant in VARIANTS:
            row[f"{variant}_loss"] = round(self.loss[variant], 4)
            row[f"{variant}_top1"] = round(100 * self.accuracy[variant].top1, 2)
            row[f"{variant}_top5"] = round(100 * self.accuracy[variant].top5, 2)
        return row


class PairRun:
    """A training run of both variants in a folder, resumable after a kill.

    With `minutes`, counted from here, the pace of both models is measured first; it fixes the number of epochs, which
    keep the recipe's share at the small size. The run is then the one that this number of epochs gives without
    `minutes`; resumed, it keeps the number.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Dataset,
        validation: Dataset,
        preprocessing: Preprocessing,
        folder: Path,
        minutes: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        started = clock()
        self.recipe, self.folder, self.preprocessing, self.clock = recipe, folder, preprocessing, clock
        self.device = train.images.device
        self.train, self.validation = train, validation
        self._check()
        self.steps = max(1, len(train) // recipe.batch_size)
        folder.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict[str, float | int]] = []
        self.epoch = 0
        self.pace: budget.Pace | None = None
        """Where it was measured."""
        stored = self._stored(minutes is not None) if self._state_file.exists() else None
        self.learners = both(self.recipe, len(train.classes), self.steps, self.device)
        if stored:
            self._resume(stored)
        elif minutes is not None:
            self._fit(60 * minutes, started)

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.pt"

    def _check(self) -> None:
        if self.train.classes != self.validation.classes:
            raise ExplorerError(
                f"Training and validation data need the same classes; {len(self.train.classes)} and "
                f"{len(self.validation.classes)} came, or other names."
            )
        if min(self.recipe.batch_size, len(self.train)) < 2:
            raise ExplorerError(
                f"Mixup pairs images up, so batches of at least 2 images are needed; {len(self.train)} images in "
                f"batches of {self.recipe.batch_size} came."
            )

    def epochs(self) -> Iterator[Outcome]:
        """Trains what is left, one epoch at a time; after each, state and log are on disk."""
        while self.epoch < self.recipe.epochs:
            started = self.clock()
            losses = self._train_epoch(self.epoch)
            outcome = Outcome(
                self.epoch, self.recipe.size(self.epoch), self.clock() - started, losses, self._evaluate()
            )
            self.rows.append(outcome.row())
            self.epoch += 1
            self._save_state()
            yield outcome

    def export(self, variant: str) -> dict[str, Tensor]:
        """The moving-average weights of one variant."""
        state: dict[str, Tensor] = self.learners[variant].ema.module.state_dict()
        return state

    def log(self) -> bytes:
        """The curves so far as CSV."""
        text = io.StringIO()
        if self.rows:
            writer = csv.DictWriter(text, fieldnames=list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        return text.getvalue().encode()

    def _fit(self, seconds: float, started: float) -> None:
        """Measures, fixes the number of epochs in the recipe, and puts everything back to the start."""
        share = self.recipe.small_epochs / self.recipe.epochs
        initial = {variant: copy.deepcopy(learner.model.state_dict()) for variant, learner in self.learners.items()}
        self.pace = self._measured()
        epochs, small = budget.fitting(seconds - (self.clock() - started), self.steps, self.pace, share)
        self.recipe = replace(self.recipe, epochs=epochs, small_epochs=small)
        for variant, learner in self.learners.items():
            learner.model.load_state_dict(initial[variant])
            self.learners[variant] = begin(learner.model, learner.forward, self.recipe, self.steps)

    def _measured(self) -> budget.Pace:
        small, full = (self._step_seconds(size) for size in (self.recipe.small_size, self.recipe.full_size))
        began = self.clock()
        self._evaluate()
        self._state_bytes()
        return budget.Pace(small, full, self.clock() - began)

    def _step_seconds(self, size: int) -> float:
        """Seconds of a step of both models, once they are compiled."""
        for learner in self.learners.values():
            learner.model.train()
        batches = itertools.chain.from_iterable(self._batches(epoch, size) for epoch in itertools.count())
        began, count = self.clock(), 0
        for number, batch in enumerate(batches, start=1):
            losses = [learner.step(*batch, self.recipe, number) for learner in self.learners.values()]
            if number <= _WARM_UP_STEPS:
                float(sum(losses))  # waits for the device
                began = self.clock()
                continue
            count += 1
            if self.clock() - began >= _MEASURED_SECONDS:
                float(sum(losses))
                break
        return (self.clock() - began) / count

    def _evaluate(self) -> dict[str, Accuracy]:
        return {
            variant: accuracy(learner.ema.module, self.validation, self.preprocessing)
            for variant, learner in self.learners.items()
        }

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        for learner in self.learners.values():
            learner.model.train()
        totals = {variant: torch.zeros((), device=self.device) for variant in VARIANTS}
        first = epoch * self.steps + 1
        for update, batch in enumerate(self._batches(epoch, self.recipe.size(epoch)), start=first):
            for variant, learner in self.learners.items():
                totals[variant] += learner.step(*batch, self.recipe, update)
        return {variant: float(total) / self.steps for variant, total in totals.items()}

    def _batches(self, epoch: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented images and soft targets of one epoch; nothing in it waits for the device."""
        recipe = self.recipe
        seed = recipe.seed * 100_003 + epoch
        generator = torch.Generator(self.device).manual_seed(seed)
        torch.manual_seed(seed)  # stochastic depth
        np.random.seed(seed % 2**32)  # timm's Mixup
        mix = Mixup(
            recipe.mixup,
            recipe.cutmix,
            prob=recipe.mix_probability,
            label_smoothing=recipe.label_smoothing,
            num_classes=len(self.train.classes),
        )
        order = torch.randperm(len(self.train), generator=generator, device=self.device)
        for step in range(self.steps):
            chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            chosen = chosen[: len(chosen) - len(chosen) % 2]  # Mixup pairs images up
            views = augment(self.train.images[chosen], size, recipe.augmentation, generator)
            yield mix(normalise(views, self.preprocessing), self.train.labels[chosen])

    def _save_state(self) -> None:
        files.write_atomically(self._state_file, self._state_bytes())
        files.write_atomically(self.folder / "log.csv", self.log())

    def _state_bytes(self) -> bytes:
        buffer = io.BytesIO()
        state = {
            "recipe": asdict(self.recipe),
            "wnids": [c.wnid for c in self.train.classes],
            "epoch": self.epoch,
            "rows": self.rows,
            "learners": {variant: learner.state() for variant, learner in self.learners.items()},
        }
        torch.save(state, buffer)
        return buffer.getvalue()

    def _stored(self, was_fitted: bool) -> dict[str, Any]:
        """The state in the folder, when it is of this recipe; how many epochs were fitted is then taken from it."""
        try:
            state: dict[str, Any] = torch.load(self._state_file, map_location=self.device, weights_only=True)
            recipe = state["recipe"]
            if was_fitted:
                self.recipe = replace(
                    self.recipe, epochs=int(recipe["epochs"]), small_epochs=int(recipe["small_epochs"])
                )
            same = (recipe, state["wnids"]) == (asdict(self.recipe), [c.wnid for c in self.train.classes])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            raise ExplorerError(f"The state in {self.folder.name} cannot be read; choose another folder.") from error
        if not same:
            raise ExplorerError(
                f"{self.folder.name} holds a run with another recipe or other classes; choose another folder."
            )
        return state

    def _resume(self, state: dict[str, Any]) -> None:
        self.epoch, self.rows = state["epoch"], state["rows"]
        for variant, learner in self.learners.items():
            learner.restore(state["learners"][variant])
