"""Augmentation of a whole batch on its device: random resized crop with flip and rotation, colour, erasing.

One affine map per image does crop, flip and rotation in a single resampling.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from explorer.training.recipe import Augmentation


def augment(
    images: UInt8[Tensor, "batch 3 height width"], size: int, spec: Augmentation, generator: torch.Generator
) -> Float[Tensor, "batch 3 size size"]:
    """Random view of every image as floats in [0, 1], `size` pixels square.

    The generator is of the images' device, so that nothing waits for the CPU; a seed decides the views on one device.
    """
    pixels = images.float().div_(255.0)
    theta = _affine(len(pixels), spec, generator)
    grid = F.affine_grid(theta, [len(pixels), 3, size, size], align_corners=False)
    view = F.grid_sample(pixels, grid, mode=spec.interpolation, padding_mode="reflection", align_corners=False)
    view = view.clamp_(0.0, 1.0)  # bicubic views overshoot
    return _erase(_jitter(view, spec.colour, generator), spec.erase, generator)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(count, device=generator.device).uniform_(low, high, generator=generator)


def _affine(count: int, spec: Augmentation, generator: torch.Generator) -> Float[Tensor, "batch 2 3"]:
    area = _uniform(count, *spec.scale, generator)
    aspect = _uniform(count, math.log(spec.aspect[0]), math.log(spec.aspect[1]), generator).exp()
    width = (area * aspect).sqrt().clamp(max=1.0)
    height = (area / aspect).sqrt().clamp(max=1.0)
    flip = torch.where(_uniform(count, 0, 1, generator) < 0.5, -1.0, 1.0)
    angle = _uniform(count, -spec.rotation, spec.rotation, generator).deg2rad()
    x = _uniform(count, -1, 1, generator) * (1 - width)
    y = _uniform(count, -1, 1, generator) * (1 - height)
    rows = [
        torch.stack([flip * width * angle.cos(), -height * angle.sin(), x], dim=1),
        torch.stack([flip * width * angle.sin(), height * angle.cos(), y], dim=1),
    ]
    return torch.stack(rows, dim=1)


def _jitter(view: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    def factor() -> Tensor:
        return _uniform(len(view), 1 - strength, 1 + strength, generator).view(-1, 1, 1, 1)

    view = view * factor()
    mean = view.mean(dim=(1, 2, 3), keepdim=True)
    view = mean + (view - mean) * factor()
    grey = view.mean(dim=1, keepdim=True)
    return (grey + (view - grey) * factor()).clamp_(0.0, 1.0)


def _erase(view: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    count, _, height, width = view.shape
    chosen = _uniform(count, 0, 1, generator) < probability
    side = _uniform(count, 0.15, 0.5, generator) * height
    top, left = (_uniform(count, 0, 1, generator) * (height - side) for _ in range(2))
    rows, columns = (torch.arange(length, device=view.device) for length in (height, width))
    inside_y = (rows >= top[:, None]) & (rows < (top + side)[:, None])  # (batch, height)
    inside_x = (columns >= left[:, None]) & (columns < (left + side)[:, None])
    mask = inside_y[:, :, None] & inside_x[:, None, :] & chosen[:, None, None]
    return view.masked_fill(mask[:, None], 0.5)
