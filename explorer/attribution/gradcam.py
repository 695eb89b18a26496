"""GradCAM's feature map out of a transformer: tokens laid out as `(B, D, h, w)` at one place of the model.

In a model that classifies by CLS the patch tokens have no gradient behind the last attention, so the place is that
attention's input (the output of `norm1` in a pre-norm block). A pooled model is read behind its last norm.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from explorer.models.fan import Fan
from explorer.models.trace import Stream, geometry
from explorer.types import Size


class OnGrid(nn.Module):
    """Passes tokens through unchanged, by way of `place`, where the patches are `(B, D, h, w)`."""

    def __init__(self, grid: Size, prefix: int) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.place = nn.Identity()

    def forward(self, x: Stream) -> Stream:
        patches = x[:, self.prefix :].transpose(1, 2).unflatten(2, self.grid)  # (B, D, h, w)
        laid_out: Tensor = self.place(patches)
        return torch.cat((x[:, : self.prefix], laid_out.flatten(2).transpose(1, 2)), dim=1)


class _Before(nn.Module):
    """An attention whose tokens come by way of `OnGrid`."""

    def __init__(self, on_grid: OnGrid, attn: nn.Module) -> None:
        super().__init__()
        self.on_grid, self.attn = on_grid, attn

    def forward(self, x: Stream, **options: Any) -> Stream:
        attended: Tensor = self.attn(self.on_grid(x), **options)
        return attended


def with_grid(module: Any) -> tuple[Any, nn.Module]:
    """A model of the same weights that lays its tokens out, and the place where it does.

    The given model is not touched and shares nothing but weights with what hooks are hung on: others may be using it.
    """
    sizes = geometry(module)
    on_grid = OnGrid(sizes.grid, sizes.prefix).eval()
    own = _own_children(module)
    if isinstance(module, Fan):
        own.joined = on_grid
        return own, on_grid.place
    if module.global_pool != "token":
        own.norm = nn.Sequential(module.norm, on_grid).eval()
        return own, on_grid.place
    own.blocks = _own_children(module.blocks)
    last = _own_children(module.blocks[-1])
    last.attn = _Before(on_grid, last.attn).eval()
    own.blocks[-1] = last
    return own, on_grid.place


def _own_children(module: Any) -> Any:
    """A shallow copy whose children can be exchanged without the original noticing."""
    own = copy.copy(module)
    own.__dict__["_modules"] = dict(module._modules)
    return own
