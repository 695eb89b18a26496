"""A photograph's study: it reports, grows, and its numbers are those of the parts."""

import numpy as np
import pytest

from explorer.lessons import nonlocal_means, quality, study
from explorer.lessons.nonlocal_means import MeansSettings
from explorer.types import ExplorerError

SETTINGS = MeansSettings(0.15, 3, 5)


def pictures(height: int = 18, width: int = 20) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width]
    clean = np.stack([(x > width / 2) * 0.6 + 0.2, y / height, x / width], axis=-1).astype(np.float32)
    return clean, nonlocal_means.add_noise(clean, 0.1)


def test_the_numbers_are_those_of_the_parts() -> None:
    clean, noisy = pictures()
    *_, last = study.study(clean, noisy, SETTINGS, (1, 2))
    found = last.result
    assert found is not None
    *_, weighed = nonlocal_means.windowed(noisy, SETTINGS)
    assert weighed.result is not None
    *_, done = nonlocal_means.denoise(noisy, weighed.result, (1, 2))
    assert done.result is not None
    for n in (1, 2):
        assert found.standard[n] == quality.quality(done.result.standard[n], clean)
        assert found.twicing[n] == quality.quality(done.result.twicing[n], clean)
    assert found.noisy == quality.quality(noisy, clean)
    assert found.gain == found.twicing[1].psnr - found.standard[1].psnr
    once, twice = found.lost
    for taken, parts in ((once, (clean, noisy - clean)), (twice, (once.structure, once.noise))):  # (I - A)^2 V
        for ours, part, atol in zip((taken.structure, taken.noise), parts, (1e-6, 1e-5), strict=True):
            np.testing.assert_allclose(ours, part - weighed.result.apply(part), atol=atol)
    assert np.square(twice.structure).sum() < np.square(once.structure).sum()
    assert 0 < once.structure_share < 1
    np.testing.assert_allclose(once.structure + once.noise, found.denoised.residual, atol=1e-5)
    np.testing.assert_allclose(twice.structure + twice.noise, noisy - found.denoised.twiced, atol=1e-5)
    assert found.nbytes == 11 * clean.nbytes


def test_reports_rise_to_the_end_and_results_grow() -> None:
    reports = list(study.study(*pictures(), SETTINGS, (1, 2, 3)))
    shares = [one.share for one in reports]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    sizes = [len(one.result.standard) for one in reports if one.result is not None]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (1, 3)


def test_a_picture_too_small_is_refused_at_once() -> None:
    with pytest.raises(ExplorerError):
        next(study.study(*pictures(8, 8), SETTINGS))
