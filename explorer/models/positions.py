"""Positions of another grid than the model's: said, and resampled where somebody asks for an input size.

A transformer without a grid of learnt positions, such as a rotary one, takes any size as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from explorer.models.weights import State
from explorer.types import ExplorerError, Size

KEY = "pos_embed"
MOST_PATCHES = 4096


@dataclass(frozen=True)
class Grids:
    """The square grid of a file's positions beside that of the model."""

    file: Size
    model: Size
    prefix: int
    """Positions of prefix tokens, which come first."""

    @classmethod
    def of(cls, state: State, module: Any) -> Grids | None:
        """None where the model has no such positions, or where a file's are those of no square grid."""
        expected, given = module.state_dict().get(KEY), state.get(KEY)
        if expected is None or given is None or given.ndim != 3 or given.shape[::2] != expected.shape[::2]:
            return None
        height, width = grid = grid_of(module)
        prefix = expected.shape[1] - height * width
        if given.shape == expected.shape:
            return cls(grid, grid, prefix)
        side = math.isqrt(max(0, given.shape[1] - prefix))
        return cls((side, side), grid, prefix) if side and given.shape[1] == side * side + prefix else None

    @property
    def differ(self) -> bool:
        return self.file != self.model

    @property
    def change(self) -> str:
        """What resampling does, in a sentence."""
        return f"Positions of {_times(self.file)} patches are resampled to {_times(self.model)}, bicubic, antialiased."

    @property
    def rotary_change(self) -> str:
        """The same of rotary positions, which are computed."""
        return f"Rotary positions of {_times(self.file)} patches are computed for {_times(self.model)}."

    def resampled(self, positions: Tensor) -> Tensor:
        """Positions `[1, prefix + h*w, dim]` of the model's grid, as timm resamples them."""
        resized: Tensor = resample_abs_pos_embed(
            positions, list(self.model), list(self.file), num_prefix_tokens=self.prefix
        )
        return resized.contiguous()

    def reason(self, architecture: str, module: Any) -> str:
        """Why the positions do not fit, and what makes them fit, to end a sentence with."""
        patch = patch_of(module)
        side = self.file[0] * patch
        return (
            f"its positions are of {_times(self.file)} patches, made for {side} px at patch {patch}, where "
            f'{architecture} expects {_pixels(module.patch_embed.img_size)} px: --input-size {side}, or "input_size": '
            f"[{side}, {side}] in its declaration, loads it"
        )


def check_size(name: str, module: Any) -> None:
    """Raises `ExplorerError` for an input that is not made of whole patches, or of too many."""
    patch, (height, width) = patch_of(module), grid_of(module)
    size = tuple(module.patch_embed.img_size)
    if (height * patch, width * patch) != size or not 1 <= height * width <= MOST_PATCHES:
        raise ExplorerError(
            f"{name} was asked for at {_pixels(size)} px; whole patches of {patch} px were expected, {MOST_PATCHES} at "
            "most."
        )


def grid_of(module: Any) -> Size:
    """Patches of the model's input."""
    height, width = module.patch_embed.grid_size
    return height, width


def patch_of(module: Any) -> int:
    """Pixels of the input on a patch's side; a hybrid's patches are those of its convolutions."""
    return int(module.patch_embed.feat_ratio())


def as_if_fitting(expected: State, grids: Grids) -> State:
    """What is expected of a state whose positions will be resampled: theirs as they are, the rest strictly."""
    dim = expected[KEY].shape[-1]
    rows = grids.prefix + grids.file[0] * grids.file[1]
    return {**expected, KEY: torch.empty(1, rows, dim, device="meta")}


def _times(grid: Size) -> str:
    return f"{grid[0]}x{grid[1]}"


def _pixels(size: Any) -> str:
    height, width = size
    return str(height) if height == width else f"{height}x{width}"
