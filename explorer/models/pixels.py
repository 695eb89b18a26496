"""Pixels on their way into a model, and a model that takes pixels in [0, 1].

There the normalisation is part of the model, so that gradients and budgets are in pixels.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from explorer.models.checkpoints import LoadedModel
from explorer.types import ExplorerError, Preprocessing

ModelView = UInt8[np.ndarray, "height width 3"] | Float[Tensor, "3 height width"]
"""A model view: uint8 as `preprocess.model_view` gives it, or channels first in [0, 1]."""

Batch = Float[Tensor, "image 3 height width"]


class FromPixels(nn.Module):
    """`logits = module((pixels - mean) / std)` for pixels in [0, 1]; the module is shared, not copied."""

    mean: Tensor
    std: Tensor

    def __init__(self, module: Any, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.module = module
        like = next(module.parameters())
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            statistic = torch.tensor(values, dtype=like.dtype, device=like.device).view(3, 1, 1)
            self.register_buffer(name, statistic, persistent=False)

    def forward(self, pixels: Batch) -> Float[Tensor, "image class"]:
        logits: Tensor = self.module(self.normalised(pixels))
        return logits

    def normalised(self, pixels: Batch) -> Batch:
        """What the module itself takes."""
        return (pixels - self.mean) / self.std

    def denormalised(self, inputs: Batch) -> Batch:
        """The pixels of what the module takes."""
        return inputs * self.std + self.mean


def from_pixels(model: LoadedModel) -> FromPixels:
    """The model behind its normalisation, fit for gradients with respect to its input.

    Raises `ExplorerError` for a model in training mode and for one without a classifier.
    """
    if model.module.training:
        raise ExplorerError("Expected a model in eval mode; a model in training mode came.")
    if not model.module.num_classes:
        raise ExplorerError(f"A model with a classifier was expected; {model.card.name} has none.")
    with torch.inference_mode(False):
        return FromPixels(differentiable(model.module), model.card.preprocessing)


def differentiable(module: Any) -> Any:
    """The module itself, or a copy where its weights are inference tensors, which autograd refuses to save."""
    # Straight from the modules: `parameters()` builds names, which takes twice as long.
    held = [
        t for part in module.modules() for t in (*part._parameters.values(), *part._buffers.values()) if t is not None
    ]
    if not any(tensor.is_inference() for tensor in held):
        return module
    memo: dict[int, Tensor] = {}
    for tensor in held:
        own = tensor.detach().clone()
        memo[id(tensor)] = nn.Parameter(own, requires_grad=False) if isinstance(tensor, nn.Parameter) else own
    return copy.deepcopy(module, memo)


def as_batch(view: ModelView, model: LoadedModel, *, is_bounded: bool = True) -> Batch:
    """One view as a batch of one in [0, 1], on the model's device and of its type.

    Raises `ExplorerError` for another size than the model's input, and for values outside [0, 1], which only what was
    disturbed without bounds may have.
    """
    like = next(model.module.parameters())
    with torch.inference_mode(False):
        if isinstance(view, np.ndarray):
            pixels = torch.from_numpy(view.copy()).permute(2, 0, 1).to(like.device, like.dtype) / 255.0
        else:
            pixels = view.detach().to(like.device, like.dtype, copy=True)
        expected = model.card.preprocessing.input_size
        if tuple(pixels.shape[1:]) != expected:
            raise ExplorerError(f"A view of {expected} pixels was expected; {tuple(pixels.shape[1:])} came.")
        if is_bounded and not bool(((pixels >= 0) & (pixels <= 1)).all()):  # NaN is neither
            raise ExplorerError("Pixels between 0 and 1 were expected; others came.")
        return pixels.contiguous()[None]


def normalise(
    pixels: Float[Tensor, "batch 3 height width"], preprocessing: Preprocessing
) -> Float[Tensor, "batch 3 height width"]:
    """Pixels in [0, 1] to what the model expects."""
    mean, std = _statistics(preprocessing.mean, preprocessing.std, pixels.device)
    return (pixels - mean) / std


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _statistics(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Kept on the device: copying them there again would make every step of training wait."""
    first, second = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (mean, std))
    return first, second


def resized(images: UInt8[Tensor, "batch 3 _ _"], size: tuple[int, int]) -> Float[Tensor, "batch 3 height width"]:
    """Pixels in [0, 1] at the model's input size (bicubic, antialiased where it shrinks)."""
    pixels = images.float().div_(255.0)
    if tuple(pixels.shape[-2:]) == size:
        return pixels
    return F.interpolate(pixels, size=size, mode="bicubic", antialias=True, align_corners=False).clamp_(0, 1)
