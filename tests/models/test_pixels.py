"""Pixels are scaled, resampled and normalised as the models expect them."""

import math

import torch

from explorer.models.pixels import normalise, resized
from explorer.types import Preprocessing


def test_normalise_by_channel(preprocessing: Preprocessing) -> None:
    out = normalise(torch.full((1, 3, 2, 2), 0.6), preprocessing)
    expected = torch.tensor([(0.6 - 0.5) / 0.2, (0.6 - 0.4) / 0.3, (0.6 - 0.3) / 0.4])
    torch.testing.assert_close(out[0, :, 0, 0], expected)


def test_images_of_the_right_size_are_only_scaled_to_the_unit_range() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(resized(images, (4, 4)), images.float() / 255)


def test_images_of_another_size_are_resampled_within_the_unit_range() -> None:
    checks = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    checks[..., ::2] = 255
    out = resized(checks, (12, 8))
    assert out.shape == (1, 3, 12, 8)
    assert out.min() >= 0
    assert out.max() <= 1
    assert math.isclose(float(out.mean()), 0.5, abs_tol=0.1)
