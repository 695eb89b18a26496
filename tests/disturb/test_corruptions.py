"""Corruptions: the same seed the same pixels, more strength more distance, and each against its formula."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter
from scipy.special import ndtri

from explorer.disturb.corruptions import (
    CIFAR_10_C,
    IMAGENET_C,
    SEVERITIES,
    TINY_IMAGENET_C,
    Constants,
    Corruption,
    constants_for,
    corrupt,
    disc,
    gaussian,
    severities,
    source,
)  # fmt: skip
from explorer.disturb.pictures import amplification, around_grey, rgb
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, smooth

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
    scale = IMAGENET_C.scales[kind]
    for severity in SEVERITIES:
        whole, half = (IMAGENET_C.parameter(kind, severity, side) for side in (224, 112))
        assert whole == pytest.approx(scale.values[severity])
        assert half == pytest.approx(whole / 2 if scale.is_length else whole)


def test_the_constants_of_imagenet_c() -> None:
    photons = [round(deviation**-2) for deviation in IMAGENET_C.scales[Corruption.SHOT_NOISE].values[1:]]
    assert photons == [60, 25, 12, 5, 3]
    assert IMAGENET_C.scales[Corruption.JPEG].values[1:] == (25, 18, 15, 10, 7)
    assert IMAGENET_C.scales[Corruption.GAUSSIAN_NOISE].values[1:] == (0.08, 0.12, 0.18, 0.26, 0.38)
    assert IMAGENET_C.scales[Corruption.CONTRAST].values[1:] == (0.4, 0.3, 0.2, 0.1, 0.05)
    assert IMAGENET_C.scales[Corruption.DEFOCUS_BLUR].values[1:] == (3, 4, 6, 8, 10)
    assert IMAGENET_C.scales[Corruption.GAUSSIAN_BLUR].values[1:] == (1, 2, 3, 4, 6)


@pytest.mark.parametrize(
    ("constants", "noise", "photons", "defocus", "blur", "jpeg", "contrast"),
    [
        (
            TINY_IMAGENET_C,
            (0.04, 0.08, 0.12, 0.15, 0.18),
            (250, 100, 50, 30, 15),
            ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
            (0.5, 0.75, 1, 1.25, 1.5),
            (65, 58, 50, 40, 25),
            (0.4, 0.3, 0.2, 0.1, 0.05),
        ),
        (
            CIFAR_10_C,
            (0.04, 0.06, 0.08, 0.09, 0.10),
            (500, 250, 100, 75, 50),
            ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
            (0.4, 0.6, 0.7, 0.8, 1),
            (80, 65, 58, 50, 40),
            (0.75, 0.5, 0.4, 0.3, 0.15),
        ),
    ],
    ids=["64", "32"],
)
def test_the_constants_of_smaller_sets(
    constants: Constants,
    noise: tuple[float, ...],
    photons: tuple[int, ...],
    defocus: tuple[tuple[float, float], ...],
    blur: tuple[float, ...],
    jpeg: tuple[int, ...],
    contrast: tuple[float, ...],
) -> None:
    """As in make_tinyimagenet_c.py and make_cifar_c.py of hendrycks/robustness."""
    scales = constants.scales
    assert [round(deviation**-2) for deviation in scales[Corruption.SHOT_NOISE].values[1:]] == list(photons)
    assert scales[Corruption.GAUSSIAN_NOISE].values[1:] == noise
    discs = scales[Corruption.DEFOCUS_BLUR]
    assert tuple(zip(discs.values[1:], discs.softness[1:], strict=True)) == defocus
    assert scales[Corruption.GAUSSIAN_BLUR].values[1:] == blur
    assert scales[Corruption.JPEG].values[1:] == jpeg
    assert scales[Corruption.CONTRAST].values[1:] == contrast


@pytest.mark.parametrize(
    ("side", "name"),
    [
        *((224, "ImageNet-C"), (384, "ImageNet-C"), (112, "ImageNet-C"), (111, "Tiny-ImageNet-C")),
        *((64, "Tiny-ImageNet-C"), (48, "Tiny-ImageNet-C"), (47, "CIFAR-10-C"), (32, "CIFAR-10-C"), (8, "CIFAR-10-C")),
    ],
)
def test_a_size_has_the_constants_of_its_neighbour_and_says_so(side: int, name: str) -> None:
    assert constants_for(side).name == name
    words = source(Corruption.JPEG, side)
    assert words.startswith(f"As in {name} (Hendrycks")
    assert ("made for" in words) is (side not in (32, 64, 224))
    assert ("in proportion" in severities(Corruption.GAUSSIAN_BLUR, side)) is (side not in (32, 64, 224))
    assert source(Corruption.OCCLUSION, side) == "Ours"
    assert "ImageNet-C has no occlusion" in severities(Corruption.OCCLUSION, side)


@pytest.mark.parametrize("side", [24, 32, 48, 64, 96, 224])
@pytest.mark.parametrize("kind", list(Corruption))
def test_every_severity_of_every_size_does_something_and_more_than_the_last(kind: Corruption, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    far = [distance(corrupt(noise, kind, severity).rgb, noise) for severity in (0, *SEVERITIES)]
    assert far[0] == 0
    assert far == sorted(far)
    assert len(set(far)) == 6


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


@pytest.mark.parametrize("deviation", [1e-6, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 1.5, 3.0, 6.0, 20.0])
def test_a_gaussian_is_one_integrated_over_pixels_and_as_wide_as_asked(deviation: float) -> None:
    kernel = gaussian(deviation)
    reach = len(kernel) // 2
    offsets = np.arange(-reach, reach + 1)
    assert kernel.sum() == pytest.approx(1)
    assert np.allclose(kernel, kernel[::-1])
    assert kernel @ offsets**2 == pytest.approx(deviation**2)
    # Of a Gaussian the shares beyond the pixels' edges have quantiles in proportion to where the edges are.
    tails = np.cumsum(kernel)[:reach]
    is_seen = (tails > 1e-3) & (reach > 1)  # of three weights, two are equal: nothing to compare
    widths = (offsets[:reach] + 0.5)[is_seen] / ndtri(tails[is_seen])
    assert widths == pytest.approx(widths[:1].repeat(len(widths)), rel=0.01)


@pytest.mark.parametrize("deviation", [1, 2, 3, 4, 6])
def test_blurs_at_224_px_are_those_of_imagenet_c(deviation: int) -> None:
    """scikit-image's gaussian is this filter of SciPy; black beside white is the hardest that a picture can hold."""
    severity = [1, 2, 3, 4, 6].index(deviation) + 1
    random = np.random.default_rng(0)
    for seen in (random.integers(0, 256, (224, 224, 3)), 255 * random.integers(0, 2, (224, 224, 3))):
        blurred = gaussian_filter(seen.astype(float), (deviation, deviation, 0), mode="nearest", truncate=4.0)
        ours = corrupt(seen.astype(np.uint8), Corruption.GAUSSIAN_BLUR, severity).rgb
        assert np.abs(ours - blurred).max() <= 0.5 + 0.2


def published_disc(radius: float, softness: float) -> np.ndarray:
    """`disk` of the published code: a jagged disc, blurred by a Gaussian sampled at 3x3 pixels."""
    line = np.arange(-8, 9)
    jagged = (line[:, None] ** 2 + line**2 <= radius**2).astype(float)
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * softness**2))
    taps /= taps.sum()
    return convolve(jagged / jagged.sum(), np.outer(taps, taps), mode="mirror")


@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_at_64_px_is_nearly_that_of_tiny_imagenet_c(severity: int) -> None:
    radius, softness = ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1))[severity - 1]
    seen = smooth(64, 64, period=0.25)
    kernel = published_disc(radius, softness)
    expected = np.stack([convolve(seen[..., c].astype(float), kernel, mode="mirror") for c in range(3)], axis=2)
    ours = corrupt(seen, Corruption.DEFOCUS_BLUR, severity).rgb
    moved = distance(expected, seen)
    assert distance(ours, expected) < 0.2 * moved + 0.3


@pytest.mark.parametrize("kind", list(Corruption))
def test_the_final_jpeg_is_that_of_imagenet_c(picture: np.ndarray, kind: Corruption) -> None:
    disturbed = corrupt(picture, kind, 3, seed=5)
    stream = io.BytesIO()
    Image.fromarray(disturbed.rgb).save(stream, "JPEG", quality=85, optimize=True)
    last = corrupt(picture, kind, 3, seed=5, final_jpeg=True)
    assert np.array_equal(last.rgb, np.asarray(Image.open(stream)))
    assert last.sentence() == disturbed.sentence().removesuffix(".") + ", then JPEG of quality 85."
    assert np.array_equal(corrupt(picture, kind, 0, final_jpeg=True).rgb, picture)


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
    assert severities(kind, 224).startswith("Severities 1 to 5: ")


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
