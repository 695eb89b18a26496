"""Corruptions: the same seed the same pixels, more strength more distance, and each against its formula."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from explorer.disturb.corruptions import (
    REFERENCE_SIDE,
    SCALES,
    SEVERITIES,
    Corruption,
    corrupt,
    disc,
    severities,
)  # fmt: skip
from explorer.disturb.pictures import amplification, around_grey, rgb
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

SEEDED = (Corruption.GAUSSIAN_NOISE, Corruption.SHOT_NOISE, Corruption.OCCLUSION)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Smooth shapes with edges, 112 px: half of the reference."""
    y, x = np.mgrid[0:112, 0:112] / 112
    channels = [np.sin(9 * x + 4 * y), np.cos(7 * y) * x, (x + y > 1) - 0.5]
    return np.rint(np.clip(np.stack(channels, axis=2) * 90 + 128, 0, 255)).astype(np.uint8)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean((one.astype(float) - other.astype(float)) ** 2)))


@pytest.mark.parametrize("kind", list(Corruption))
def test_stronger_is_farther(picture: np.ndarray, kind: Corruption) -> None:
    far = [distance(corrupt(picture, kind, strength).rgb, picture) for strength in (0, 0.5, 1, 1.5, 2, 3, 4, 4.5, 5)]
    assert far[0] == 0
    assert far == sorted(far)
    assert len(set(far[2:])) == len(far[2:])


@pytest.mark.parametrize("kind", list(Corruption))
def test_the_seed_alone_decides(picture: np.ndarray, kind: Corruption) -> None:
    np.random.seed(1)
    first, again, other = (corrupt(picture, kind, 3, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.rgb, other.rgb) is (kind not in SEEDED)
    assert (first.kind, first.strength, first.seed) == (kind, 3, 0)
    assert first.rgb.dtype == np.uint8
    assert first.rgb.shape == picture.shape


@pytest.mark.parametrize("kind", list(Corruption))
def test_lengths_scale_and_nothing_else(kind: Corruption) -> None:
    scale = SCALES[kind]
    for severity in SEVERITIES:
        whole, half = scale.at(severity, REFERENCE_SIDE), scale.at(severity, REFERENCE_SIDE // 2)
        assert whole == pytest.approx(scale.values[severity])
        assert half == pytest.approx(whole / 2 if scale.is_length else whole)


def test_the_constants_of_imagenet_c() -> None:
    photons = [round(deviation**-2) for deviation in SCALES[Corruption.SHOT_NOISE].values[1:]]
    assert photons == [60, 25, 12, 5, 3]
    assert SCALES[Corruption.JPEG].values[1:] == (25, 18, 15, 10, 7)
    assert SCALES[Corruption.GAUSSIAN_NOISE].values[1:] == (0.08, 0.12, 0.18, 0.26, 0.38)
    assert SCALES[Corruption.CONTRAST].values[1:] == (0.4, 0.3, 0.2, 0.1, 0.05)
    assert SCALES[Corruption.DEFOCUS_BLUR].values[1:] == (3, 4, 6, 8, 10)
    assert SCALES[Corruption.GAUSSIAN_BLUR].values[1:] == (1, 2, 3, 4, 6)


def test_noise_has_its_deviation() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    for kind, expected in ((Corruption.GAUSSIAN_NOISE, 0.08), (Corruption.SHOT_NOISE, (128 / 255 / 60) ** 0.5)):
        noise = corrupt(grey, kind, 1).rgb / 255
        assert noise.std() == pytest.approx(expected, rel=0.02)
        assert noise.mean() == pytest.approx(128 / 255, abs=0.002)


def test_jpeg_contrast_and_blur_are_their_formulas(picture: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=15)
    assert np.array_equal(corrupt(picture, Corruption.JPEG, 3).rgb, np.asarray(Image.open(stream)))
    mean = picture.mean(axis=(0, 1))
    lowered = np.rint(mean + 0.2 * (picture - mean))
    assert np.abs(corrupt(picture, Corruption.CONTRAST, 3).rgb - lowered).max() <= 1
    blurred = gaussian_filter(picture.astype(float), (1.5, 1.5, 0), mode="nearest")
    assert np.abs(corrupt(picture, Corruption.GAUSSIAN_BLUR, 3).rgb - blurred).max() <= 0.51


def test_occlusions_contain_each_other_and_cover_their_share(picture: np.ndarray) -> None:
    black = np.zeros_like(picture)
    covered = [corrupt(black, Corruption.OCCLUSION, strength, 7).rgb[..., 0] > 0 for strength in SEVERITIES]
    for smaller, larger, share in zip(covered[:-1], covered[1:], (0.1, 0.2, 0.3, 0.4), strict=True):
        assert bool((larger | ~smaller).all())
        assert larger.mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("radius", [0.2, 0.5, 1.0, 2.3, 10.0])
def test_a_disc_is_round_and_whole(radius: float) -> None:
    kernel = disc(radius)
    assert kernel.sum() == pytest.approx(1)
    assert np.allclose(kernel, kernel.T)
    assert np.allclose(kernel, kernel[::-1])
    reach = kernel.shape[0] // 2
    offsets = np.arange(-reach, reach + 1)
    # Of a disc, the mean square of one coordinate is a quarter of the squared radius; a pixel adds a twelfth.
    expected = radius**2 / 4 + 1 / 12 if radius > 0.5 else 0
    assert (kernel.sum(axis=0) * offsets**2).sum() == pytest.approx(expected, abs=0.06 * (1 + radius))


@pytest.mark.parametrize("strength", [-0.1, 5.1, float("nan")])
def test_strengths_outside_the_scale_are_refused(picture: np.ndarray, strength: float) -> None:
    with pytest.raises(ExplorerError, match="0 to 5") as caught:
        corrupt(picture, Corruption.JPEG, strength)
    assert_one_sentence(str(caught.value))


def test_the_settings_in_words(picture: np.ndarray) -> None:
    assert corrupt(picture, Corruption.GAUSSIAN_BLUR, 2).sentence() == (
        "Gaussian blur, strength 2: standard deviation 1 px."
    )
    assert "the picture itself" in corrupt(picture, Corruption.JPEG, 0).sentence()


def test_the_picture_that_came_is_not_written_to(picture: np.ndarray) -> None:
    picture = picture.copy()
    before = picture.copy()
    picture.setflags(write=False)
    for kind in Corruption:
        for strength in (0, 2):
            assert not np.shares_memory(corrupt(picture, kind, strength).rgb, picture)
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("kind", list(Corruption))
def test_a_slug_names_a_corruption(kind: Corruption) -> None:
    assert Corruption.called(kind.value) is kind
    assert Corruption.called(f" {kind.value.upper()} ") is kind
    assert severities(kind).startswith("Severities 1 to 5: ")


def test_another_slug_is_one_sentence() -> None:
    with pytest.raises(ExplorerError) as caught:
        Corruption.called("rain")
    assert_one_sentence(str(caught.value))
    assert "gaussian-noise" in str(caught.value)


def test_grey_is_no_difference() -> None:
    change = np.array([[[0.0, 4.0, -4.0]]])
    assert around_grey(change, amplification(4 / 255)).tolist() == [[[128, 255, 0]]]
    assert amplification(0.0) == 1.0
    pixels = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1)
    assert rgb(pixels).tolist() == [[[0, 128, 255]]]
