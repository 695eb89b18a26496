"""Pixels of a photograph -> the views of them that models and people see, and a model's input.

Knows nothing of models beyond their `Preprocessing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from explorer.types import CropMode, ExplorerError, Interpolation, Preprocessing, Size

_RESAMPLING = {
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
}


def model_view(rgb: UInt8[np.ndarray, "height width 3"], preprocessing: Preprocessing) -> UInt8[np.ndarray, "_ _ 3"]:
    """The pixels the model sees, at `input_size`: shorter side to `floor(size / crop_pct)`, then the centre.

    Bit for bit what timm's evaluation transform gives; with a `source_size` that is done at the source size, whose
    result is then resized to `input_size`.
    """
    target = preprocessing.source_size or preprocessing.input_size
    (height, width), (top, left) = _placement((rgb.shape[0], rgb.shape[1]), target, preprocessing)
    image = Image.fromarray(rgb).resize((width, height), _RESAMPLING[preprocessing.interpolation])
    image = image.crop((left, top, left + target[1], top + target[0]))
    return _pixels(image.resize(preprocessing.input_size[::-1], Image.Resampling.BICUBIC))


def sharp_view(
    rgb: UInt8[np.ndarray, "height width 3"], preprocessing: Preprocessing, side: int = 448
) -> UInt8[np.ndarray, "_ _ 3"]:
    """The region of `model_view` for people: `side` px high, with the aspect of `input_size`.

    Never passes through the source size; the region is exact to a fraction of a pixel of the photograph, so that a
    map drawn on the model's grid lines up with it.
    """
    top, left, bottom, right = crop_box((rgb.shape[0], rgb.shape[1]), preprocessing)
    shape = max(1, round(side * preprocessing.input_size[1] / preprocessing.input_size[0])), side
    return _pixels(Image.fromarray(rgb).resize(shape, Image.Resampling.BICUBIC, box=(left, top, right, bottom)))


def crop_box(size: Size, preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """`(top, left, bottom, right)` of the region a model sees, in pixels of a photograph of this size."""
    target = preprocessing.source_size or preprocessing.input_size
    (height, width), (top, left) = _placement(size, target, preprocessing)
    down, across = size[0] / height, size[1] / width  # pixels of the photograph per pixel of the resized one
    return (
        max(top * down, 0.0),
        max(left * across, 0.0),
        min((top + target[0]) * down, size[0]),
        min((left + target[1]) * across, size[1]),
    )


def fate(size: Size, preprocessing: Preprocessing) -> str:
    """What a model sees of a picture of this size, in a sentence; empty where that is all of it, and no larger."""
    top, left, bottom, right = crop_box(size, preprocessing)
    seen = (bottom - top) * (right - left) / (size[0] * size[1])
    larger = max(preprocessing.input_size[0] / (bottom - top), preprocessing.input_size[1] / (right - left))
    said = []
    if seen < 0.995:
        said.append(f"the middle {100 * seen:.0f}% of it")
    if larger > 1.05:
        said.append(f"{'' if said else 'all of it '}enlarged {larger:.1f} times")
    return f"The models see {', '.join(said)}." if said else ""


def batch(
    views: Sequence[UInt8[np.ndarray, "height width 3"]], preprocessing: Preprocessing
) -> Float[Tensor, "image 3 height width"]:
    """`(x / 255 - mean) / std` of model views, as a model takes them (timm's `ToTensor` and `Normalize`).

    Raises `ExplorerError` when there is no view, or one that is not uint8 of `input_size`.
    """
    expected = (*preprocessing.input_size, 3)
    for view in views:
        if view.shape != expected or view.dtype != np.uint8:
            raise ExplorerError(f"Views of shape {expected} in uint8 were expected; {view.shape} in {view.dtype} came.")
    if not views:
        raise ExplorerError("At least one view was expected; none came.")
    pixels = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).contiguous().float().div_(255.0)
    mean, std = (torch.tensor(stat).view(3, 1, 1) for stat in (preprocessing.mean, preprocessing.std))
    return pixels.sub_(mean).div_(std)


def _placement(size: Size, target: Size, preprocessing: Preprocessing) -> tuple[Size, tuple[int, int]]:
    """Size to which timm resizes before it crops `target`, and `(top, left)` of the crop.

    torchvision cuts the longer side down for a square target, timm's `ResizeKeepRatio` rounds for any other; a
    squashed picture loses its aspect.
    """
    (height, width), goal = size, tuple(math.floor(length / preprocessing.crop_pct) for length in target)
    if preprocessing.crop_mode is CropMode.SQUASH:
        resized = goal[0], goal[1]
    elif goal[0] == goal[1]:
        short = min(size)
        resized = int(goal[0] * height / short), int(goal[0] * width / short)
    else:
        ratio = min(height / goal[0], width / goal[1])
        resized = round(height / ratio), round(width / ratio)
    return resized, (round((resized[0] - target[0]) / 2.0), round((resized[1] - target[1]) / 2.0))


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    return np.array(image, dtype=np.uint8, order="C")
