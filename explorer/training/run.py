"""Trains a standard and a twicing model in one process on the same augmented batches.

Both start from the same initial weights and meet the same images in the same order under the same augmentation, by
construction: one batch is made and both models take one step on it. Follows DeiT's recipe
(https://arxiv.org/abs/2012.12877) with timm's optimizer, schedule, Mixup/CutMix and EMA.

A run is a folder. Its state is written after every epoch, whole or not at all, and each epoch draws from a generator
seeded by (seed, epoch), so a run that was killed goes on to the same batches it would have seen.
"""

from __future__ import annotations

import copy
import csv
import io
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from explorer import files
from explorer.models import checkpoints, registry
from explorer.training.augment import Augmentation, augment
from explorer.training.data import Dataset
from explorer.training.evaluate import Accuracy, accuracy, normalise
from explorer.types import ExplorerError, Filter, Preprocessing

VARIANTS = ("standard", "twicing")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome of a run besides the data."""

    architecture: str
    twicing_filter: Filter
    epochs: int = 30
    small_epochs: int = 20
    """The first epochs run at `small_size`; the position embedding is resampled on the fly."""
    small_size: int = 32
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup_epochs: int = 2
    label_smoothing: float = 0.1
    mixup: float = 0.2
    cutmix: float = 1.0
    mix_probability: float = 0.5
    drop_path: float = 0.05
    ema_decay: float = 0.999
    clip: float = 1.0
    seed: int = 0
    bf16: bool = False
    compile: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def size(self, epoch: int) -> int:
        full = registry.architecture(self.architecture).input_size[0]
        return self.small_size if epoch < self.small_epochs else full


@dataclass(eq=False)
class Learner:
    """One of the two models with its optimizer, schedule and moving average."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: CosineLRScheduler
    ema: ModelEmaV3
    forward: Callable[[Tensor], Tensor]

    def step(self, images: Tensor, target: Tensor, recipe: Recipe, update: int) -> Tensor:
        """One update; returns the loss without waiting for it."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.bf16):
            logits = self.forward(images)
        loss: Tensor = SoftTargetCrossEntropy()(logits.float(), target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimizer.step()
        self.schedule.step_update(update)
        self.ema.update(self.model, step=update)
        return loss.detach()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.module.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.module.load_state_dict(state["ema"])


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
    """A training run of both variants in a folder, resumable after a kill."""

    def __init__(
        self, recipe: Recipe, train: Dataset, validation: Dataset, preprocessing: Preprocessing, folder: Path
    ) -> None:
        self.recipe, self.folder, self.preprocessing = recipe, folder, preprocessing
        self.device = train.images.device
        self.train, self.validation = train, validation
        self._check()
        self.steps = max(1, len(train) // recipe.batch_size)
        folder.mkdir(parents=True, exist_ok=True)
        self.learners = self._learners()
        self.rows: list[dict[str, float | int]] = []
        self.epoch = 0
        if self._state_file.exists():
            self._resume()

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
            started = time.monotonic()
            losses = self._train_epoch(self.epoch)
            reached = {
                variant: accuracy(learner.ema.module, self.validation, self.preprocessing)
                for variant, learner in self.learners.items()
            }
            outcome = Outcome(self.epoch, self.recipe.size(self.epoch), time.monotonic() - started, losses, reached)
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

    def _learners(self) -> dict[str, Learner]:
        recipe = self.recipe
        depth = registry.architecture(recipe.architecture).depth
        filters = {"standard": registry.uniform_filter(depth, 1.0), "twicing": recipe.twicing_filter}
        torch.manual_seed(recipe.seed)
        learners: dict[str, Learner] = {}
        initial: dict[str, Tensor] | None = None
        for variant, filter in filters.items():
            model = registry.create(
                recipe.architecture,
                len(self.train.classes),
                filter,
                drop_path_rate=recipe.drop_path,
                dynamic_img_size=True,
            )
            if initial is None:
                initial = copy.deepcopy(model.state_dict())
            model.load_state_dict(initial)
            model.to(self.device)
            optimizer = create_optimizer_v2(model, opt="adamw", lr=recipe.lr, weight_decay=recipe.weight_decay)
            schedule = CosineLRScheduler(
                optimizer,
                t_initial=recipe.epochs * self.steps,
                lr_min=recipe.lr / 100,
                warmup_t=recipe.warmup_epochs * self.steps,
                warmup_lr_init=recipe.lr / 1000,
                t_in_epochs=False,
            )
            forward: Callable[[Tensor], Tensor] = torch.compile(model) if recipe.compile else model
            ema = ModelEmaV3(model, decay=recipe.ema_decay, use_warmup=True)
            learners[variant] = Learner(model, optimizer, schedule, ema, forward)
        return learners

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        recipe = self.recipe
        seed = recipe.seed * 100_003 + epoch
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # stochastic depth
        np.random.seed(seed % 2**32)  # timm's Mixup
        mix = Mixup(
            recipe.mixup,
            recipe.cutmix,
            prob=recipe.mix_probability,
            label_smoothing=recipe.label_smoothing,
            num_classes=len(self.train.classes),
        )
        for learner in self.learners.values():
            learner.model.train()
        totals = {variant: torch.zeros((), device=self.device) for variant in VARIANTS}
        order = torch.randperm(len(self.train), generator=generator).to(self.device)
        size = recipe.size(epoch)
        for step in range(self.steps):
            chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            chosen = chosen[: len(chosen) - len(chosen) % 2]  # Mixup pairs images up
            views = augment(self.train.images[chosen], size, recipe.augmentation, generator)
            images, target = mix(normalise(views, self.preprocessing), self.train.labels[chosen])
            update = epoch * self.steps + step + 1
            for variant, learner in self.learners.items():
                totals[variant] += learner.step(images, target, recipe, update)
        return {variant: float(total) / self.steps for variant, total in totals.items()}

    def _save_state(self) -> None:
        buffer = io.BytesIO()
        state = {
            "recipe": asdict(self.recipe),
            "wnids": [c.wnid for c in self.train.classes],
            "epoch": self.epoch,
            "rows": self.rows,
            "learners": {variant: learner.state() for variant, learner in self.learners.items()},
        }
        torch.save(state, buffer)
        files.write_atomically(self._state_file, buffer.getvalue())
        files.write_atomically(self.folder / "log.csv", self.log())

    def _resume(self) -> None:
        try:
            state = torch.load(self._state_file, map_location=self.device, weights_only=True)
            same = (state["recipe"], state["wnids"]) == (asdict(self.recipe), [c.wnid for c in self.train.classes])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            raise ExplorerError(f"The state in {self.folder.name} cannot be read; choose another folder.") from error
        if not same:
            raise ExplorerError(
                f"{self.folder.name} holds a run with another recipe or other classes; choose another folder."
            )
        self.epoch, self.rows = state["epoch"], state["rows"]
        for variant, learner in self.learners.items():
            learner.restore(state["learners"][variant])


def export_pair(
    run: PairRun,
    folder: Path,
    prefix: str,
    names: dict[str, str],
    data: str,
    recipe: str,
    git_revision: str,
    license: str = checkpoints.UNDECLARED,
) -> list[Path]:
    """Writes both variants' moving averages with complete metadata, and the log of curves beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for variant in VARIANTS:
        reached = accuracy(run.learners[variant].ema.module, run.validation, run.preprocessing)
        depth = registry.architecture(run.recipe.architecture).depth
        declared = checkpoints.declare(
            name=names[variant],
            architecture=run.recipe.architecture,
            filter=registry.uniform_filter(depth, 1.0) if variant == "standard" else run.recipe.twicing_filter,
            classes=tuple(c.name for c in run.train.classes),
            wnids=tuple(c.wnid for c in run.train.classes),
            preprocessing=run.preprocessing,
            recipe=recipe,
            data=data,
            top1=round(100 * reached.top1, 2),
            git_revision=git_revision,
            license=license,
        )
        path = folder / f"{prefix}-{variant}.safetensors"
        checkpoints.save(path, run.export(variant), declared)
        written.append(path)
    log = folder / f"{prefix}-log.csv"
    files.write_atomically(log, run.log())
    return [*written, log]
