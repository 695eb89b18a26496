"""One model of a run in training: its optimizer, its moving average and one step.

Follows DeiT's recipe (https://arxiv.org/abs/2012.12877) with timm's layer-wise rates and average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.optim import param_groups_layer_decay
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from explorer.models import registry
from explorer.models.twicing import set_filter
from explorer.training.batches import TrainingBatch
from explorer.training.recipe import Decay, Recipe
from explorer.types import Filter

_TOKENS_AT_ONCE = 1600
"""Tokens of a part of a batch on a CPU: its activations stay near the caches, and memory flat at any size."""


class Learner:
    """A model under an operator that warms up, with what training keeps beside it."""

    def __init__(
        self,
        recipe: Recipe,
        filter: Filter,
        classes: int,
        device: torch.device,
        state: Mapping[str, Tensor] | None = None,
        compiled: bool = False,
    ) -> None:
        """`state` is where training starts, all keys of the model; without one, at random weights from the seed."""
        self.recipe, self.filter, self.device = recipe, filter, device
        torch.manual_seed(recipe.seed)
        self.model = registry.create(
            recipe.architecture, classes, filter, drop_path_rate=recipe.drop_path, dynamic_img_size=True
        )
        if state is not None:
            self.model.load_state_dict(state, strict=True)
        self.model.to(device).train()
        for block in self.model.blocks:  # explicit attention is the faster one on a CPU at these sizes
            block.attn.fused_attn = device.type != "cpu"
        groups = param_groups_layer_decay(
            self.model,
            weight_decay=recipe.weight_decay,
            no_weight_decay_list=self.model.no_weight_decay(),
            layer_decay=recipe.layer_decay,
        )
        # Of its 28 groups each costs ten launches and more; fused, one.
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98), fused=device.type == "cuda")
        self.ema = ModelEmaV3(self.model, decay=recipe.ema_decay, use_warmup=True)
        # One graph for each size: a graph for any size is slower, and there are few. The operator's warm-up, whose
        # coefficient changes with every step, would need a graph for each.
        self._compiled: Callable[[Tensor], Tensor] = (
            torch.compile(self.model, dynamic=False) if compiled else self.model
        )

    def step(
        self, batch: TrainingBatch, step: int, rate: float, decay: Decay | None = None, bf16: bool = False
    ) -> Tensor:
        """One update; returns loss and share of hits (soft targets' largest class) without waiting for them."""
        recipe, is_warm = self.recipe, step >= self.recipe.operator_warmup
        set_filter(self.model, recipe.operator(self.filter, step))
        forward = self._compiled if is_warm else self.model
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        torch.manual_seed(step)  # stochastic depth
        self.optimizer.zero_grad(set_to_none=True)
        outcome = torch.zeros(2, device=self.device)
        for pixels, target in self._parts(batch):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                logits = forward(pixels)
            loss = F.cross_entropy(logits.float(), target) * (len(target) / len(batch.target))
            loss.backward()
            hits = (logits.argmax(1) == target.argmax(1)).float().sum() / len(batch.target)
            outcome += torch.stack([loss.detach(), hits])
        nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimizer.step()
        self.ema.decay = recipe.average(decay)
        self.ema.update(self.model, step=step + 1)
        set_filter(self.ema.module, recipe.operator(self.filter, step + 1))
        return outcome

    def _parts(self, batch: TrainingBatch) -> list[tuple[Tensor, Tensor]]:
        """The batch, on a CPU cut into parts of equal size whose gradients add up to the whole's."""
        if self.device.type != "cpu":
            return [(batch.pixels, batch.target)]
        embed = self.model.patch_embed
        tokens = math.prod(batch.pixels.shape[-2:]) // math.prod(embed.patch_size) + self.model.num_prefix_tokens
        size = max(1, _TOKENS_AT_ONCE // tokens)
        return list(zip(batch.pixels.split(size), batch.target.split(size), strict=True))

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
