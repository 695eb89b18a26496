"""Passes whose operators are data, beside the same passes with the quadratic filter written out.

`WrittenOut` is what the forward pass was when an operator was a number: `A V + (a - 1) A (V - A V)`, fused. All models
have the same weights, and tasks are interleaved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Attention
from torch import Tensor, nn

from bench.common import Row, medians
from explorer.models import create, uniform_filter
from explorer.models.twicing import FilteredAttention, project, queries_keys_values, set_filter
from explorer.paper.operators import in_blocks

ROUNDS = {"tiny": 41, "small": 21}
DEPTH = 12
OF_DATA, OF_FIRST = 1.02, 1.1


class WrittenOut(FilteredAttention):
    """The quadratic filter and nothing else."""

    a = 1.0

    def forward(
        self, x: Tensor, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        if self.a == 1.0:
            standard: Tensor = Attention.forward(self, x, attn_mask=attn_mask, is_causal=is_causal)
            return standard
        q, k, v = queries_keys_values(self, x)
        smoothed = F.scaled_dot_product_attention(q, k, v)
        return project(self, smoothed + (self.a - 1.0) * F.scaled_dot_product_attention(q, k, v - smoothed), x)


def written_out(model: nn.Module, a: float) -> nn.Module:
    """The same weights, with the filter written out."""
    other: Any = deepcopy(model)
    set_filter(other, uniform_filter(len(other.blocks), 1.0))
    for block in other.blocks:
        block.attn.__class__, block.attn.a = WrittenOut, a
    return other


def under(model: nn.Module, words: str) -> nn.Module:
    """The same weights under an operator."""
    other: Any = deepcopy(model)
    set_filter(other, in_blocks(words, len(other.blocks)))
    return other


def rows(inputs: Sequence[Tensor], size: str) -> list[Row]:
    """A standard and a twicing pass against themselves written out, and NeuTRENO against twicing."""
    model = create(f"deit_{size}_patch16_224", 1000, uniform_filter(DEPTH, 1.0)).eval().requires_grad_(False)
    models = {
        "standard": under(model, "standard"),
        "standard written out": written_out(model, 1.0),
        "twicing": under(model, "twicing"),
        "twicing written out": written_out(model, 2.0),
        "neutreno": under(model, "neutreno"),
    }
    tasks = {name: _task(each) for name, each in models.items()}
    seconds = medians(tasks, inputs, ROUNDS[size])
    note = f"{torch.get_num_threads()} CPU threads, median of {ROUNDS[size]} interleaved rounds, plain passes"
    return [
        Row(
            f"operators as data, a {name} pass of DeiT-{size.title()}",
            round(seconds[name] / seconds[base], 3),
            f"x {base}",
            goal,
            note=f"{note}, {1e3 * seconds[base]:.1f} ms",
        )
        for name, base, goal in (
            ("standard", "standard written out", OF_DATA),
            ("twicing", "twicing written out", OF_DATA),
            ("neutreno", "twicing", OF_FIRST),
        )
    ]


def _task(model: nn.Module) -> Callable[[Tensor], Tensor]:
    @torch.inference_mode()
    def run(x: Tensor) -> Tensor:
        logits: Tensor = model(x)
        return logits

    return run
