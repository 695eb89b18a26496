"""Weights that are numbers, and make none: one pass of noise decides, before anybody waits for a picture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.models import trace
from explorer.types import ExplorerError

_SPREAD = 2.0
"""Pixels of noise lie within so many standard deviations, as those of photographs do."""


@torch.inference_mode()
def check(name: str, module: Any) -> None:
    """One pass of a model in eval mode, at the cost of a picture's.

    Raises `ExplorerError` when tokens or logits overflow, or are so large that the sum of their squares does.
    """
    first = next(module.parameters())
    noise = torch.rand((1, 3, *module.patch_embed.img_size), generator=torch.Generator().manual_seed(0))
    picture = (noise * 2 - 1).to(first.device, first.dtype) * _SPREAD
    for block, tokens in enumerate(trace.states(module, picture)):
        _check(name, tokens, f"tokens after block {block}" if block else "tokens before the first block")
    _check(name, trace.answer(module, tokens), "logits")


def _check(name: str, values: Tensor, called: str) -> None:
    if not bool(values.float().square().sum().isfinite()):
        raise ExplorerError(
            f"{name} was expected to give numbers that 32 bits can hold; for a picture of noise its {called} overflow."
        )
