"""Lesson 2's last part: the dense matrix of a crop, one of its rows and its spectrum."""

from __future__ import annotations

import numpy as np
import streamlit as st

from explorer.figures.screen import denoising as figures
from explorer.figures.style import Range
from explorer.lessons import nonlocal_means
from explorer.lessons.nonlocal_means import LARGEST_CROP, TIMES
from explorer.types import Picture
from explorer.ui import learn
from explorer.ui.learn.denoising import Crop, DenoisingSettings, Place, crop_of, noisy_of, place_of
from explorer.ui.learn.pictures import NamedPicture, picture_row
from explorer.ui.shell.session import Photo, palette


@learn.fragment
def of_crop(photo: Photo, chosen: DenoisingSettings) -> None:
    """The dense matrix of a crop, one row of it, and its spectrum."""
    side, down, across = st.columns([2, 3, 3], gap="medium")
    height, width, _ = nonlocal_means.working_view(photo.image.rgb).shape
    place = place_of(
        (height, width),
        side.select_slider("Crop, px", [16, 24, LARGEST_CROP], LARGEST_CROP, key="lesson2-crop"),
        down.slider("From the top", 0, 100, 50, 1, format="%d%%", key="lesson2-down", persist_state="session"),
        across.slider("From the left", 0, 100, 50, 1, format="%d%%", key="lesson2-across", persist_state="session"),
    )
    crop = crop_of(photo, chosen, place)
    left, right = st.columns([5, 4], gap="large")
    with right:
        _row(photo, chosen, place)
    with left:
        span = _weights_span(crop)
        figure = figures.weight_matrix(crop.matrix, span, palette(), log=True, height=440)
        learn.chart(figure, "lesson2-matrix", f"The weights between all {len(crop.matrix)} pixels of the crop")
    learn.chart(
        figures.spectrum(crop.eigenvalues, TIMES, palette()),
        "lesson2-spectrum",
        "What the filters leave of every eigenvalue",
    )
    z = crop.eigenvalues
    counts = ", ".join(
        f"n = {n}: {int((z**n > 0.01).sum())} and {int(((2 * z - z**2) ** n > 0.01).sum())}" for n in TIMES
    )
    st.caption(
        f"All {len(z)} eigenvalues are real: the largest {z[0]:.3f}, the least {_least(z):.2g}. Left of more than 1% "
        f"by λⁿ and by (2λ − λ²)ⁿ, {counts}. All pairs of pixels, Gaussian weights, no search window: D¹ᐟ²AD⁻¹ᐟ² is "
        "symmetric and positive semidefinite, which makes the spectrum real and in [0, 1]."
    )


def _least(eigenvalues: np.ndarray) -> float:
    """The least eigenvalue, rounding below 0 taken away."""
    return max(float(eigenvalues[-1]), 0.0)


def _weights_span(crop: Crop) -> Range:
    """From the weights that matter to the largest one."""
    high = float(crop.matrix.max())
    return Range(max(float(np.quantile(crop.matrix, 0.02)), 1e-5 * high), high)


@learn.fragment
def _row(photo: Photo, chosen: DenoisingSettings, place: Place) -> None:
    """One pixel's weights over the crop; moving the pixel runs nothing else."""
    crop, (clean, noisy) = crop_of(photo, chosen, place), noisy_of(photo, chosen)
    side = place.side
    down, across = st.columns(2)
    y = down.slider("Pixel: row", 1, side, (side + 1) // 2, key=f"lesson2-row-{side}") - 1
    x = across.slider("Pixel: column", 1, side, (side + 1) // 2, key=f"lesson2-column-{side}") - 1
    weights = crop.matrix[y * side + x].reshape(side, side)
    twicing = 2 * weights - (weights.ravel() @ crop.matrix).reshape(side, side)
    signed = Range.of(twicing, signed=True)
    box = place.top, place.left, place.top + side, place.left + side
    noisy_crop = figures.as_picture(nonlocal_means.crop(noisy, place.top, place.left, side))
    picture_row(
        [
            NamedPicture(
                figures.outlined(figures.as_picture(clean), box), "the crop", "The photograph, the crop outlined"
            ),
            NamedPicture(_marked(noisy_crop, y, x), "noisy crop", f"The noisy crop, pixel {y + 1}, {x + 1} outlined"),
            NamedPicture(
                _marked(figures.weights(weights, _weights_span(crop), log=True), y, x),
                "row of A",
                f"Weights of pixel {y + 1}, {x + 1} over the crop",
                "colours of the matrix",
            ),
            NamedPicture(
                _marked(figures.residual(twicing[..., None], signed), y, x),
                "row of 2A − A²",
                f"Weights of pixel {y + 1}, {x + 1} under twicing",
                f"blue is negative; to ±{signed.high:.2g}",
            ),
        ],
        150,
    )
    st.caption(
        f"What pixel ({y + 1}, {x + 1}) is made of. Its own weight is {weights[y, x]:.3g} under A and "
        f"{twicing[y, x]:.3g} under 2A − A², where others may be negative; both rows sum to 1."
    )


def _marked(pixels: Picture, y: int, x: int, factor: int = 8) -> figures.Enlarged:
    """Enlarged, one pixel outlined."""
    box = y * factor, x * factor, (y + 1) * factor, (x + 1) * factor
    return figures.outlined(figures.enlarged(pixels, factor), box, 2)


def in_the_middle(photo: Photo, chosen: DenoisingSettings) -> Crop:
    """The crop in the middle of the photograph, as large as may be."""
    height, width, _ = nonlocal_means.working_view(photo.image.rgb).shape
    return crop_of(photo, chosen, place_of((height, width), LARGEST_CROP, 50, 50))
