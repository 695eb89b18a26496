"""The batches of a run: a pure function of seed and step, so that models trained apart meet the same ones.

Images are drawn without repetition within an epoch, and epochs follow each other without a gap; augmentation and mixing
draw from generators seeded by the step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from timm.data import Mixup
from torch import Tensor

from explorer.models.pixels import normalise
from explorer.training.augment import augment
from explorer.training.data import Dataset
from explorer.training.recipe import Recipe
from explorer.types import Preprocessing

_STRIDE = 1_000_003
"""Between the seeds of two runs: more than the steps of either."""


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Normalised views and soft targets, on the device of the data."""

    pixels: Float[Tensor, "batch 3 height width"]
    target: Float[Tensor, "batch class"]
    digest: bytes
    """SHA-256 of both on a CPU, where each model has a process of its own; elsewhere all models of a run take the very
    same tensors, and it is that of the positions."""


class Batches:
    """Batches of a recipe over a data set, by step."""

    def __init__(self, train: Dataset, recipe: Recipe, preprocessing: Preprocessing) -> None:
        self.train, self.recipe, self.preprocessing = train, recipe, preprocessing
        self._mix = Mixup(
            recipe.mixup,
            recipe.cutmix,
            prob=recipe.mix_probability,
            label_smoothing=recipe.label_smoothing,
            num_classes=len(train.classes),
        )
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def positions(self, step: int) -> Int64[Tensor, " batch"]:
        """Which images the batch of a step holds."""
        place, end = (number * self.recipe.batch_size for number in (step, step + 1))
        parts = []
        while place < end:
            epoch, within = divmod(place, len(self.train))
            parts.append(self._order_of(epoch)[within : within + end - place])
            place += len(parts[-1])
        return torch.cat(parts)

    def _order_of(self, epoch: int) -> Tensor:
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(self._seed(epoch))
            self._order = epoch, torch.randperm(len(self.train), generator=generator)
        return self._order[1]

    def batch(self, step: int, size: int) -> TrainingBatch:
        """The batch of a step, `size` pixels square; nothing in it waits for the device."""
        device = self.train.images.device
        positions = self.positions(step)
        chosen = positions.to(device, non_blocking=True)
        generator = torch.Generator(device).manual_seed(self._seed(step))
        views = augment(self.train.images[chosen], size, self.recipe.augmentation, generator)
        np.random.seed(self._seed(step) % 2**32)  # timm's Mixup
        pixels, target = self._mix(normalise(views, self.preprocessing), self.train.labels[chosen])
        hashed = (pixels, target) if device.type == "cpu" else (positions,)
        sha = hashlib.sha256(b"".join(tensor.cpu().contiguous().numpy().tobytes() for tensor in hashed))
        return TrainingBatch(pixels, target, sha.digest())

    def _seed(self, number: int) -> int:
        return self.recipe.seed * _STRIDE + number
