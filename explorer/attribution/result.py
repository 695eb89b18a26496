"""What comes back of an attribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from explorer.attribution.settings import AttributionSettings, Baseline, Method
from explorer.models.pixels import FromPixels
from explorer.settings import Option
from explorer.types import Size


class Unit(Option):
    """What one value of a map belongs to."""

    PIXELS = "pixels"
    PATCHES = "patches"


@dataclass(frozen=True, eq=False)
class Attribution:
    """A map of what speaks for a class, on the pixels or the patches of the view the model saw; float32, on the CPU."""

    values: Float[Tensor, "row column"]
    on: Unit
    method: Method
    target: int
    settings: AttributionSettings
    model: str
    """`ModelCard.key` of the model."""
    size: Size
    """Of the view in pixels."""
    grid: Size
    """Of the patches."""
    delta: float | None = None
    """Integrated Gradients: the sum minus `(y(x) - y(baseline))`, in logits."""

    def on_pixels(self) -> Float[Tensor, "height width"]:
        """Patches repeat their value over their pixels."""
        if self.on is Unit.PIXELS:
            return self.values
        return F.interpolate(self.values[None, None], size=self.size, mode="nearest-exact")[0, 0]

    def on_patches(self) -> Float[Tensor, "row column"]:
        """The mean over the pixels of each patch."""
        if self.on is Unit.PATCHES:
            return self.values
        return F.adaptive_avg_pool2d(self.values[None, None], self.grid)[0, 0]


def baseline_picture(
    pixels: Float[Tensor, "image 3 height width"], kind: Baseline, model: FromPixels
) -> Float[Tensor, "image 3 height width"]:
    """The baseline of each image."""
    if kind is Baseline.MEAN:
        return model.mean.to(pixels).expand_as(pixels).clamp(0, 1)
    if kind is Baseline.BLURRED:
        from torchvision.transforms.v2.functional import gaussian_blur

        sigma = min(pixels.shape[-2:]) / 16
        reach = min(round(3 * sigma), min(pixels.shape[-2:]) - 1)
        blurred: Tensor = gaussian_blur(pixels, [2 * reach + 1] * 2, [sigma] * 2)
        return blurred
    return torch.full_like(pixels, float(kind is Baseline.WHITE))
