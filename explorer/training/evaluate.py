"""Top-1 and top-5 accuracy of a model on labelled images, and how far two models differ on the same ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from explorer.training.data import Dataset
from explorer.types import Preprocessing

_Z95 = 1.959964


@dataclass(frozen=True)
class Accuracy:
    """Shares of `count` images whose label is the first, or among the first five, of the predictions."""

    top1: float
    top5: float
    count: int

    def interval(self, share: float) -> tuple[float, float]:
        """Wilson's 95% interval of a share of `count` images."""
        n, z = self.count, _Z95
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)


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


@torch.inference_mode()
def hits(
    model: nn.Module, data: Dataset, preprocessing: Preprocessing, batch_size: int = 250
) -> Bool[Tensor, "image 2"]:
    """Whether each image's label is the first, and among the first five, of the predictions.

    The model is in `eval` mode for the time being.
    """
    was_training = model.training
    model.eval()
    found: list[Tensor] = []
    try:
        for start in range(0, len(data), batch_size):
            chosen = slice(start, start + batch_size)
            pixels = resized(data.images[chosen], preprocessing.input_size)
            logits: Tensor = model(normalise(pixels, preprocessing))
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices
            equal = best == data.labels[chosen, None]
            found.append(torch.stack([equal[:, 0], equal.any(dim=1)], dim=1))
    finally:
        model.train(was_training)
    return torch.cat(found).cpu()


def accuracy(model: nn.Module, data: Dataset, preprocessing: Preprocessing, batch_size: int = 250) -> Accuracy:
    """Shares of `hits`."""
    return accuracy_of(hits(model, data, preprocessing, batch_size))


def accuracy_of(found: Bool[Tensor, "image 2"]) -> Accuracy:
    """Shares of hits that are known image by image."""
    top1, top5 = (int(column.sum()) / len(found) for column in found.T)
    return Accuracy(top1, top5, len(found))


def paired_difference(first: Bool[Tensor, " image"], second: Bool[Tensor, " image"]) -> tuple[float, float, float]:
    """Share of hits of the second minus the first's over the same images, and its 95% interval.

    The interval is Agresti and Min's for matched pairs ("Simple improved confidence intervals for comparing matched
    proportions", 2005): the normal one after half an image was added to each of the four cells of hit and miss. So it
    is never empty, not even where all images agree.
    """
    gained, lost = (float((a & ~b).sum()) + 0.5 for a, b in ((second, first), (first, second)))
    count = len(first) + 2
    middle = (gained - lost) / count
    half = _Z95 * math.sqrt(gained + lost - count * middle**2) / count
    return (gained - lost) / len(first), max(-1.0, middle - half), min(1.0, middle + half)
