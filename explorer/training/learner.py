"""What one of the two models trains with: the recipe, its optimizer, its schedule and its moving average.

Follows DeiT's recipe (https://arxiv.org/abs/2012.12877) with timm's optimizer, schedule and EMA.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from explorer.models import registry
from explorer.training.augment import Augmentation
from explorer.types import Filter

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
        return self.small_size if epoch < self.small_epochs else self.full_size

    @property
    def full_size(self) -> int:
        return registry.architecture(self.architecture).input_size[0]


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


def both(recipe: Recipe, classes: int, steps: int, device: torch.device) -> dict[str, Learner]:
    """Learners of both variants with the same initial weights, for epochs of `steps` updates."""
    depth = registry.architecture(recipe.architecture).depth
    filters = {"standard": registry.uniform_filter(depth, 1.0), "twicing": recipe.twicing_filter}
    torch.manual_seed(recipe.seed)
    learners: dict[str, Learner] = {}
    initial: dict[str, Tensor] | None = None
    for variant, filter in filters.items():
        model = registry.create(
            recipe.architecture, classes, filter, drop_path_rate=recipe.drop_path, dynamic_img_size=True
        )
        if initial is None:
            initial = copy.deepcopy(model.state_dict())
        model.load_state_dict(initial)
        model.to(device)
        # One graph for each size: a graph for any size is slower, and there are only two.
        forward = torch.compile(model, dynamic=False) if recipe.compile else model
        learners[variant] = begin(model, forward, recipe, steps)
    return learners


def begin(model: nn.Module, forward: Callable[[Tensor], Tensor], recipe: Recipe, steps: int) -> Learner:
    """A learner with the whole schedule before it and nothing averaged yet."""
    optimizer = create_optimizer_v2(model, opt="adamw", lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = CosineLRScheduler(
        optimizer,
        t_initial=recipe.epochs * steps,
        lr_min=recipe.lr / 100,
        warmup_t=recipe.warmup_epochs * steps,
        warmup_lr_init=recipe.lr / 1000,
        t_in_epochs=False,
    )
    return Learner(model, optimizer, schedule, ModelEmaV3(model, decay=recipe.ema_decay, use_warmup=True), forward)
