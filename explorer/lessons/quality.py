"""How close a denoised picture is to the clean one, and what of the residual is structure, what noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

from explorer.lessons.nonlocal_means import FloatPicture
from explorer.types import ExplorerError

_WINDOW = 11
"""Pixels a side of SSIM's Gaussian window of standard deviation 1.5, cut at 3.5."""


@dataclass(frozen=True)
class Quality:
    """PSNR in dB for a range of 1 (infinite for equal pictures); SSIM after Wang et al. 2004, mean over channels."""

    psnr: float
    ssim: float


@dataclass(frozen=True, eq=False)
class Lost:
    """What a filter `M` takes from `V = f + noise`, split exactly, because `M` is linear: `V - M V` is the sum."""

    structure: FloatPicture
    """`f - M f`: the picture itself, which twicing wants back."""
    noise: FloatPicture
    """`noise - M noise`: what smoothing is for."""

    @property
    def structure_share(self) -> float:
        """`|f - M f|^2 / (|f - M f|^2 + |noise - M noise|^2)`, 0 where nothing is lost."""
        structure, noise = (float((part.astype(np.float64) ** 2).sum()) for part in (self.structure, self.noise))
        return structure / (structure + noise) if structure + noise else 0.0


def quality(estimate: FloatPicture, clean: FloatPicture) -> Quality:
    """Holds an estimate against the clean picture; neither is clipped. Raises `ExplorerError` below 11 px a side."""
    height, width = clean.shape[:2]
    if min(height, width) < _WINDOW:
        raise ExplorerError(f"Pictures of at least {_WINDOW} px a side were expected; {height} × {width} px came.")
    estimate, clean = estimate.astype(np.float64), clean.astype(np.float64)
    error = float(np.mean((estimate - clean) ** 2))
    ssim = structural_similarity(  # type: ignore[no-untyped-call]
        estimate,
        clean,
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return Quality(-10 * math.log10(error) if error else math.inf, float(ssim))
