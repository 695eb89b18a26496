"""Shares of images whose label is predicted, with their intervals, and how far two models differ on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Accuracy:
    """Shares of `count` images whose label is the first, or among the first five, of the predictions."""

    top1: float
    top5: float
    count: int

    def interval(self, share: float) -> tuple[float, float]:
        """Wilson's 95% interval of a share of `count` images."""
        # scipy.stats, which has it, takes longer to import than timm.
        hits = round(share * self.count)
        middle, whole = hits + _Z95**2 / 2, self.count + _Z95**2
        half = _Z95 * math.sqrt(hits * (self.count - hits) / self.count + _Z95**2 / 4)
        return (middle - half) / whole if hits else 0.0, (middle + half) / whole if hits < self.count else 1.0


def accuracy_of(hits: Bool[Tensor, "image 2"]) -> Accuracy:
    """Shares of hits that are known image by image."""
    top1, top5 = (int(column.sum()) / len(hits) for column in hits.T)
    return Accuracy(top1, top5, len(hits))


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
