"""Attributions in figures: the settings of the page, each held against what is computed here by other means."""

from typing import Any

import numpy as np
import pytest
import torch

from explorer.attribution.methods import attribute
from explorer.attribution.settings import AttributionSettings, Baseline, Method
from explorer.models.pixels import as_batch, from_pixels
from explorer.pictures import preprocess
from explorer.studio import TEMPLATES, Spec
from tests.studio.helpers import TWICING, made, model, pair, photo

OURS = (model(), model("Tiny-Twicing", TWICING, 1))
ROLES = ("baseline", "twicing")


@pytest.mark.parametrize("nothing", list(Baseline))
def test_an_ablation_is_the_fall_written_out(nothing: Baseline) -> None:
    """Patch by patch, each replaced by the picture that stands for nothing."""
    numbers = made("attribution", 1, method="feature-ablation", baseline_picture=nothing.value, target="fox").numbers
    for role, one in zip(ROLES, OURS, strict=True):
        forward = from_pixels(one)
        x = as_batch(preprocess.model_view(photo().open().rgb, one.card.preprocessing), one)
        flat = {Baseline.MEAN: 0.5, Baseline.BLACK: 0.0, Baseline.WHITE: 1.0}.get(nothing)
        other = blurred(x, 2.0) if flat is None else torch.full_like(x, flat)
        label = one.card.classes.index("fox")
        for row in range(4):
            for column in range(4):
                patch = (..., slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
                without = x.clone()
                without[patch] = other[patch]
                with torch.no_grad():
                    fall = float((forward(x) - forward(without))[0, label])
                assert numbers[f"{role}, attribution"][0, row, column] == pytest.approx(fall, abs=2e-5)


def blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian cut at three sigma, edges mirrored: row by row, then column by column."""
    reach = round(3 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    found = x[0].double().numpy()
    for axis in (1, 2):
        padded = np.pad(found, [(reach, reach) if axis == a else (0, 0) for a in range(3)], mode="reflect")
        found = np.apply_along_axis(lambda line: np.convolve(line, weights, mode="valid"), axis, padded)
    return torch.from_numpy(found)[None].to(x)


@pytest.mark.parametrize(
    ("method", "given", "settings", "said"),
    [
        ("integrated-gradients", {"path_steps": 3}, AttributionSettings(steps=3), "from the mean colour, 3 steps"),
        (
            "integrated-gradients",
            {"path_steps": 3, "baseline_picture": "black"},
            AttributionSettings(steps=3, baseline=Baseline.BLACK),
            "from black, 3 steps",
        ),
        ("gradient-shap", {"samples": 4, "seed": 7}, AttributionSettings(samples=4, seed=7), "4 samples, seed 7"),
        ("gradient-shap", {"samples": 4}, AttributionSettings(samples=4), "4 samples, seed 0"),
        (
            "occlusion",
            {"square": 2, "baseline_picture": "white"},
            AttributionSettings(square=2, baseline=Baseline.WHITE),
            "a square of 2 by 2 patches, moved by half of it, becomes white",
        ),
        ("occlusion", {}, AttributionSettings(), "a square of one patch, moved by half of it, becomes the mean colour"),
    ],
)
def test_every_setting_is_in_the_numbers_the_caption_and_the_command(
    method: str, given: dict[str, Any], settings: AttributionSettings, said: str
) -> None:
    figure = made("attribution", 1, method=method, target="cat", **given)
    for role, one in zip(ROLES, OURS, strict=True):
        seen = preprocess.model_view(photo().open().rgb, one.card.preprocessing)
        found = attribute(one, seen, Method(method), one.card.classes.index("cat"), settings).values.numpy()
        by_patch = found.reshape(4, 8, 4, 8).mean(axis=(1, 3))
        np.testing.assert_allclose(figure.numbers[f"{role}, attribution"][0], by_patch, rtol=1e-4, atol=1e-5)
    assert said in figure.caption
    for name in given:
        assert f"--{name.replace('_', '-')} {figure.spec.as_settings()[name]}" in figure.command


def test_another_seed_is_another_figure() -> None:
    maps = [
        made("attribution", 1, method="gradient-shap", samples=2, seed=seed).numbers["twicing, attribution"]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.abs(maps[0] - maps[2]).max() > 0


def test_the_defaults_are_those_of_the_page() -> None:
    from explorer.studio.templates.attribution import settings

    assert settings(Spec(TEMPLATES["attribution"])) == AttributionSettings()
    assert pair().cards[0].classes.count("fox") == 1
