"""Nonlocal means against its definition in loops, against scikit-image, and its dense form's spectrum."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import denoise_nl_means

from explorer.lessons import nonlocal_means, quality
from explorer.lessons.nonlocal_means import Dense, MeansSettings, Windowed
from explorer.paper import operators
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

SETTINGS = MeansSettings(bandwidth=0.3, patch=5, window=7)


def scene(height: int = 18, width: int = 22, channels: int = 3) -> np.ndarray:
    """An edge, a slope and a disc."""
    y, x = np.mgrid[:height, :width]
    layers = [(x > width / 2) * 0.6 + 0.2, y / height, (np.hypot(y - 8, x - 8) < 5) * 0.8]
    return np.stack(layers[:channels], axis=-1).astype(np.float32)


def windowed(picture: np.ndarray, settings: MeansSettings = SETTINGS) -> Windowed:
    *_, last = nonlocal_means.windowed(picture, settings)
    assert last.result is not None
    return last.result


def noisy(**size: int) -> np.ndarray:
    return nonlocal_means.add_noise(scene(**size), 0.1)


def weights_in_loops(picture: np.ndarray, settings: MeansSettings, window: int | None) -> np.ndarray:
    """`W` over all pixels in row order; no window takes every pair."""
    height, width, channels = picture.shape
    r, side = settings.patch // 2, settings.patch
    padded = np.pad(picture.astype(np.float64), ((r, r), (r, r), (0, 0)), mode="reflect")
    d = np.arange(side) - r
    kernel = np.exp(-(d[:, None] ** 2 + d**2) / (2 * ((side - 1) / 4) ** 2)) if r else np.ones((1, 1))
    kernel /= kernel.sum()
    places = [(y, x) for y in range(height) for x in range(width)]
    patches = [padded[y : y + side, x : x + side] for y, x in places]
    W = np.zeros((len(places), len(places)))
    for i, (y, x) in enumerate(places):
        for j, (v, u) in enumerate(places):
            if window is None or max(abs(y - v), abs(x - u)) <= window // 2:
                distance = (((patches[i] - patches[j]) ** 2).sum(axis=-1) * kernel).sum() / channels
                W[i, j] = np.exp(-distance / settings.bandwidth**2)
    return W


def as_matrix(weights: nonlocal_means.PixelWeights, height: int, width: int) -> np.ndarray:
    """`A`, one column for each picture that is 1 in a single pixel."""
    units = np.eye(height * width, dtype=np.float32).reshape(height, width, -1)
    return weights.apply(units).reshape(height * width, -1)


# --- definitions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("settings", [SETTINGS, MeansSettings(0.2, 3, 3), MeansSettings(0.5, 1, 21)])
def test_both_filters_are_the_definition(settings: MeansSettings, channels: int) -> None:
    picture = noisy(height=7, width=8, channels=channels)
    all_pairs = weights_in_loops(picture, settings, None)
    np.testing.assert_allclose(nonlocal_means.dense(picture, settings).weights, all_pairs, atol=1e-12)
    near = weights_in_loops(picture, settings, settings.window)
    expected = near / near.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(as_matrix(windowed(picture, settings), 7, 8), expected, atol=2e-6)


def test_a_window_that_sees_everything_is_dense() -> None:
    picture = noisy(height=9, width=10)
    settings = MeansSettings(0.3, 5, 21)
    np.testing.assert_allclose(
        windowed(picture, settings).apply(picture), nonlocal_means.dense(picture, settings).apply(picture), atol=2e-6
    )


def test_a_constant_picture_stays() -> None:
    grey = np.full((18, 22, 3), 0.25, dtype=np.float32)
    np.testing.assert_allclose(windowed(noisy()).apply(grey), grey, atol=1e-6)


def test_weights_are_fixed_so_the_filter_is_linear() -> None:
    filter, one, two = windowed(noisy()), noisy(), scene()
    np.testing.assert_allclose(
        filter.apply(2 * one - 3 * two), 2 * filter.apply(one) - 3 * filter.apply(two), rtol=0, atol=1e-5
    )


def test_a_tiny_bandwidth_changes_nothing() -> None:
    picture = noisy()
    np.testing.assert_allclose(windowed(picture, MeansSettings(1e-3)).apply(picture), picture, atol=1e-6)


# --- scikit-image -------------------------------------------------------------------------------------------------


def fast_exponential(x: np.ndarray) -> np.ndarray:
    """A double whose upper 32 bits are linear in x (Schraudolph 1999): within 4%, as scikit-image computes weights."""
    upper = (1048576 / np.log(2) * x.astype(np.float64)).astype(np.int64) + 1072693248 - 60801
    return (upper << 32).view(np.float64)


def by_scikit_image(picture: np.ndarray, settings: MeansSettings) -> np.ndarray:
    """Its slow mode has the Gaussian patch, the window cut at the border, and no noise variance taken off."""
    return denoise_nl_means(
        picture.astype(np.float64),
        patch_size=settings.patch,
        patch_distance=settings.window // 2,
        h=settings.bandwidth,
        fast_mode=False,
        sigma=0.0,
        channel_axis=-1,
    )


@pytest.mark.parametrize("settings", [MeansSettings(0.5, 5, 11), MeansSettings(0.6, 7, 9), MeansSettings(1.0, 3, 15)])
def test_scikit_image_agrees_up_to_its_fast_exponential(settings: MeansSettings) -> None:
    """With bandwidths at which no distance reaches 5, where scikit-image sets weights to 0."""
    picture = noisy(height=40, width=36)
    ours, theirs = windowed(picture, settings).apply(picture), by_scikit_image(picture, settings)
    changed = np.abs(ours - picture).max()
    assert np.abs(ours - theirs).max() < 0.02 * changed


@pytest.mark.parametrize("settings", [MeansSettings(0.5, 5, 11), MeansSettings(0.6, 7, 9)])
def test_scikit_image_agrees_fully_with_its_own_exponential(
    settings: MeansSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = noisy(height=40, width=36)
    expected = by_scikit_image(picture, settings)
    monkeypatch.setattr(nonlocal_means, "_affinity", lambda distances: fast_exponential(-distances))
    weights = windowed(picture, settings)
    # Its exponential gives 0.97 for a pixel's own weight, which here is 1 without being computed.
    excess = 1 - fast_exponential(np.zeros(1))[0]
    degrees = weights.degrees[..., None]
    found = (weights.apply(picture) * degrees - excess * picture) / (degrees - excess)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


# --- spectrum -----------------------------------------------------------------------------------------------------


def small_dense(bandwidth: float = 0.2) -> Dense:
    return nonlocal_means.dense(noisy(height=10, width=11), MeansSettings(bandwidth))


@pytest.mark.parametrize("bandwidth", [0.05, 0.2, 1.0])
def test_the_spectrum_of_all_pairs_is_real_and_between_zero_and_one(bandwidth: float) -> None:
    one = small_dense(bandwidth)
    np.testing.assert_allclose(one.matrix.sum(axis=1), 1.0, rtol=1e-12)
    assert one.eigenvalues[0] == pytest.approx(1.0, abs=1e-12)
    assert one.eigenvalues[-1] > -1e-12
    largest = np.sort(np.linalg.eigvals(one.matrix).real)[::-1]
    np.testing.assert_allclose(one.eigenvalues, largest, atol=1e-8)


def test_a_row_is_a_map_of_weights() -> None:
    one = small_dense()
    row = one.row(3, 4)
    assert row.shape == (10, 11)
    assert row.sum() == pytest.approx(1.0)
    assert row.argmax() == 3 * 11 + 4
    picture = scene(10, 11)
    np.testing.assert_allclose((row[..., None] * picture).sum(axis=(0, 1)), one.apply(picture)[3, 4], atol=1e-6)


# --- twicing and iterating ----------------------------------------------------------------------------------------


def test_iterates_are_powers_of_both_filters() -> None:
    one, V = small_dense(), noisy(height=10, width=11).astype(np.float64)
    *_, last = nonlocal_means.denoise(V, one, (1, 2, 6))
    result = last.result
    assert result is not None
    columns, A = V.reshape(110, 3), one.matrix
    for n in (1, 2, 6):
        for pictures, M in ((result.standard, A), (result.twicing, 2 * A - A @ A)):
            expected = np.linalg.matrix_power(M, n) @ columns
            np.testing.assert_allclose(pictures[n].reshape(110, 3), expected, atol=1e-12)
    assert sorted(result.standard) == sorted(result.twicing) == [1, 2, 6]


def test_the_limit_of_both_filters_is_one_colour() -> None:
    """The mean of all pixels, each weighted by its degree: the left eigenvector of 1."""
    crop, V = small_dense(), noisy(height=10, width=11).astype(np.float64).reshape(110, 3)
    limit = crop.degrees @ V / crop.degrees.sum()
    for M in (crop.matrix, 2 * crop.matrix - crop.matrix @ crop.matrix):
        np.testing.assert_allclose(np.linalg.matrix_power(M, 2**20) @ V, np.tile(limit, (110, 1)), atol=1e-6)


def test_the_steps_are_those_of_the_operators() -> None:
    one, V = small_dense(), noisy(height=10, width=11).astype(np.float64)
    *_, last = nonlocal_means.denoise(V, one, (1,))
    result = last.result
    assert result is not None
    A, columns = torch.from_numpy(one.matrix), torch.from_numpy(V.reshape(110, 3))
    for found, expected in (
        (result.smoothed, A @ columns),
        (result.residual, operators.residual(A, columns)),
        (result.smoothed_residual, operators.smoothed_residual(A, columns)),
        (result.twiced, operators.twicing(A, columns)),
    ):
        np.testing.assert_allclose(found.reshape(110, 3), expected.numpy(), atol=1e-12)


def test_work_is_reported_to_its_end() -> None:
    picture = noisy()
    for reports in (
        list(nonlocal_means.windowed(picture, SETTINGS)),
        list(nonlocal_means.denoise(picture, windowed(picture), (2, 3))),
    ):
        shares = [report.share for report in reports]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert reports[-1].result is not None
    assert sorted(reports[-1].result.standard) == [2, 3]


def test_a_result_that_was_reported_does_not_grow_later() -> None:
    reports = nonlocal_means.denoise(noisy(), windowed(noisy()), (1, 2))
    early = [report.result for report in reports if report.result is not None]
    assert sorted(early[0].standard) == [1]
    assert sorted(early[-1].standard) == [1, 2]


# --- quality ------------------------------------------------------------------------------------------------------


def test_psnr_is_scikit_images() -> None:
    clean, picture = scene(), noisy()
    found = quality.quality(picture, clean)
    expected = peak_signal_noise_ratio(clean.astype(float), picture.astype(float), data_range=1.0)
    assert found.psnr == pytest.approx(expected, rel=1e-9)
    assert 0 < found.ssim < 1


def test_equal_pictures_are_perfect() -> None:
    found = quality.quality(scene(), scene())
    assert found.psnr == float("inf")
    assert found.ssim == pytest.approx(1.0)


def test_smoothing_a_noisy_picture_brings_it_nearer() -> None:
    clean, picture = scene(), noisy()
    smoothed = windowed(picture, MeansSettings(0.12)).apply(picture)
    assert quality.quality(smoothed, clean).psnr > quality.quality(picture, clean).psnr + 2


# --- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [((100, 50), (100, 50)), ((600, 300), (256, 128)), ((3, 900), (1, 256))])
def test_photographs_are_worked_on_small(size: tuple[int, int], expected: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    view = nonlocal_means.working_view(rgb)
    assert view.shape == (*expected, 3)
    assert view.dtype == np.float32
    if size == expected:
        np.testing.assert_array_equal((view * 255).round().astype(np.uint8), rgb)


def test_noise_is_seeded_and_not_clipped() -> None:
    white = np.ones((30, 30, 3), dtype=np.float32)
    one = nonlocal_means.add_noise(white, 0.1, seed=5)
    np.testing.assert_array_equal(one, nonlocal_means.add_noise(white, 0.1, seed=5))
    assert one.max() > 1
    assert (one - white).std() == pytest.approx(0.1, rel=0.05)


def test_a_crop_is_the_square_asked_for() -> None:
    picture = scene(40, 50)
    np.testing.assert_array_equal(nonlocal_means.crop(picture, 3, 5, 12), picture[3:15, 5:17])


@pytest.mark.parametrize(
    "call",
    [
        lambda: MeansSettings(patch=4),
        lambda: MeansSettings(window=0),
        lambda: MeansSettings(bandwidth=0.0),
        lambda: nonlocal_means.crop(scene(), 0, 0),
        lambda: nonlocal_means.crop(scene(), -1, 0, 4),
        lambda: nonlocal_means.add_noise(scene(), -1.0),
        lambda: nonlocal_means.dense(scene(33, 20), SETTINGS),
        lambda: nonlocal_means.dense(scene(3, 2), SETTINGS),
        lambda: next(nonlocal_means.windowed(scene(1, 300), SETTINGS)),
        lambda: next(nonlocal_means.denoise(scene(), windowed(scene()), ())),
        lambda: quality.quality(scene(8), scene(8)),
    ],
)
def test_what_cannot_be_denoised_is_an_error(call) -> None:
    with pytest.raises(ExplorerError) as caught:
        call()
    assert_one_sentence(str(caught.value))
