"""Deletion, insertion, infidelity, sensitivity and rank correlation against their definitions."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.attribution import faithfulness
from explorer.attribution.faithfulness import (
    Removal,
    deletion_and_insertion,
    infidelity,
    rank_correlation,
    sensitivity,
)
from explorer.attribution.methods import attribute
from explorer.attribution.result import Attribution, Unit, baseline_picture
from explorer.attribution.settings import AttributionSettings, Baseline, Method
from explorer.models import LoadedModel
from explorer.models.pixels import as_batch, from_pixels
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

TARGET = 3


def made(model: LoadedModel, view: np.ndarray, method: Method = Method.FEATURE_ABLATION) -> Attribution:
    return attribute(model, view, method, TARGET)


@torch.no_grad()
def probability(model: LoadedModel, x: Tensor) -> float:
    return float(from_pixels(model)(x).softmax(dim=1)[0, TARGET])


def test_curves_written_out(loaded: LoadedModel, view: np.ndarray) -> None:
    found = made(loaded, view)
    removal = Removal(deleted_to=Baseline.BLACK, inserted_into=Baseline.WHITE, steps=16, batch=5)
    faithful = deletion_and_insertion(loaded, view, found, removal)
    x = as_batch(view, loaded)
    deleted, inserted = x.clone(), torch.ones_like(x)
    falling, rising = [probability(loaded, deleted)], [probability(loaded, inserted)]
    for place in found.values.flatten().argsort(descending=True).tolist():
        patch = (..., *(slice(8 * i, 8 * i + 8) for i in divmod(place, 4)))
        deleted[patch], inserted[patch] = 0.0, x[patch]
        falling.append(probability(loaded, deleted))
        rising.append(probability(loaded, inserted))
    assert faithful.deletion.probability.tolist() == pytest.approx(falling, abs=1e-5)
    assert faithful.insertion.probability.tolist() == pytest.approx(rising, abs=1e-5)
    assert faithful.deletion.share.tolist() == [k / 16 for k in range(17)]
    area = sum((a + b) / 2 for a, b in itertools.pairwise(falling)) / 16
    assert faithful.deletion.auc == pytest.approx(area, abs=1e-5)


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize("method", [Method.SALIENCY, Method.GRAD_CAM])
def test_curves_start_and_end_at_the_pictures(
    loaded: LoadedModel, view: np.ndarray, unit: Unit, method: Method
) -> None:
    faithful = deletion_and_insertion(loaded, view, made(loaded, view, method), Removal(unit, steps=7))
    x = as_batch(view, loaded)
    ends = (
        (faithful.deletion, x, baseline_picture(x, Baseline.MEAN, from_pixels(loaded))),
        (faithful.insertion, baseline_picture(x, Baseline.BLURRED, from_pixels(loaded)), x),
    )
    for curve, start, end in ends:
        assert float(curve.probability[0]) == pytest.approx(probability(loaded, start), abs=1e-5)
        assert float(curve.probability[-1]) == pytest.approx(probability(loaded, end), abs=1e-5)
        assert len(curve.share) == 8
        assert 0 <= curve.auc <= 1


def test_a_good_map_beats_its_opposite_on_a_linear_model(linear: LoadedModel, view: np.ndarray) -> None:
    found = made(linear, view)
    removal = Removal(inserted_into=Baseline.MEAN)
    good = deletion_and_insertion(linear, view, found, removal)
    bad = deletion_and_insertion(linear, view, replace(found, values=-found.values), removal)
    assert good.deletion.auc < bad.deletion.auc
    assert good.insertion.auc > bad.insertion.auc


def test_more_steps_than_units_are_one_step_each(loaded: LoadedModel, view: np.ndarray) -> None:
    assert len(deletion_and_insertion(loaded, view, made(loaded, view), Removal(steps=999)).deletion.share) == 17


def test_infidelity_is_zero_for_exact_falls(linear: LoadedModel, view: np.ndarray) -> None:
    """In a linear model the falls of patches add up; any multiple of them foretells as well."""
    found = made(linear, view)
    assert infidelity(linear, view, found) == pytest.approx(0, abs=1e-4)
    assert infidelity(linear, view, replace(found, values=-3 * found.values)) == pytest.approx(0, abs=1e-4)
    integrated = made(linear, view, Method.INTEGRATED_GRADIENTS)
    assert infidelity(linear, view, integrated) == pytest.approx(0, abs=1e-4)


def test_infidelity_written_out(loaded: LoadedModel, view: np.ndarray) -> None:
    found = made(loaded, view, Method.GRAD_CAM)
    x, forward = as_batch(view, loaded), from_pixels(loaded)
    nothing = baseline_picture(x, Baseline.MEAN, forward)
    coins = torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(4)) < 0.5
    gone = coins.repeat_interleave(8, 2).repeat_interleave(8, 3)
    sums = (coins[:, 0] * found.values).sum(dim=(1, 2))
    with torch.no_grad():
        falls = forward(x)[0, TARGET] - forward(torch.where(gone, nothing, x))[:, TARGET]
    b = float((sums * falls).sum() / sums.square().sum())
    expected = float((b * sums - falls).square().mean())
    for batch in (1, 4, 64):
        assert infidelity(loaded, view, found, samples=9, seed=4, batch=batch) == pytest.approx(expected, rel=1e-3)
    flat = replace(found, values=torch.zeros(4, 4))
    assert infidelity(loaded, view, flat, samples=9, seed=4) == pytest.approx(float(falls.square().mean()), rel=1e-3)


def test_sensitivity_is_zero_where_gradients_are_constant(linear: LoadedModel, view: np.ndarray) -> None:
    assert sensitivity(linear, view, Method.SALIENCY, TARGET, samples=2) == pytest.approx(0, abs=1e-9)


def test_sensitivity_written_out(loaded: LoadedModel, view: np.ndarray) -> None:
    x, generator = as_batch(view, loaded), torch.Generator().manual_seed(2)
    before = attribute(loaded, view, Method.SALIENCY, TARGET).values
    changes = []
    for _ in range(3):
        noise = torch.rand(x.shape, generator=generator, dtype=torch.float64).mul(2).sub(1).float()
        after = attribute(loaded, (x + 0.1 * noise).clamp(0, 1)[0], Method.SALIENCY, TARGET).values
        changes.append(float((after - before).norm() / before.norm()))
    found = sensitivity(loaded, view, Method.SALIENCY, TARGET, radius=0.1, samples=3, seed=2)
    assert found == pytest.approx(max(changes), rel=1e-4)


def test_sensitivity_of_every_kind_of_map(loaded: LoadedModel, view: np.ndarray) -> None:
    quick = AttributionSettings(steps=2, samples=2, stride=8)
    for method in Method:
        assert 0 < sensitivity(loaded, view, method, TARGET, quick, samples=1) < 10


@pytest.mark.parametrize("what", ["curves", "infidelity", "sensitivity"])
def test_progress_counts_to_its_total_and_cancels(loaded: LoadedModel, view: np.ndarray, what: str) -> None:
    found = made(loaded, view)

    def run(progress: object) -> None:
        if what == "curves":
            deletion_and_insertion(loaded, view, found, Removal(steps=5, batch=4), progress)
        elif what == "infidelity":
            infidelity(loaded, view, found, samples=10, batch=4, progress=progress)
        else:
            sensitivity(loaded, view, Method.GRAD_CAM, TARGET, samples=3, progress=progress)

    told: list[tuple[int, int]] = []
    run(lambda *now: told.append(now))
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1]

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stop)


def test_rank_correlation(loaded: LoadedModel, view: np.ndarray) -> None:
    found = made(loaded, view)
    monotone = replace(found, values=found.values**3 + 7)
    assert rank_correlation(found, found) == pytest.approx(1)
    assert rank_correlation(found, monotone) == pytest.approx(1)
    assert rank_correlation(found, replace(found, values=-found.values)) == pytest.approx(-1)
    on_pixels = replace(found, values=found.on_pixels(), on=Unit.PIXELS)
    assert rank_correlation(found, on_pixels) == pytest.approx(1)
    assert rank_correlation(on_pixels, on_pixels) == pytest.approx(1)
    assert np.isnan(rank_correlation(found, replace(found, values=torch.ones(4, 4))))


def test_maps_that_do_not_fit_are_refused(loaded: LoadedModel, view: np.ndarray) -> None:
    found = made(loaded, view)
    other = replace(found, size=(64, 64))
    for call in (
        lambda: rank_correlation(found, other),
        lambda: deletion_and_insertion(loaded, view, other),
        lambda: faithfulness.infidelity(loaded, view, other),
        lambda: Removal(steps=0),
    ):
        with pytest.raises(ExplorerError) as caught:
            call()
        assert_one_sentence(str(caught.value))
    assert_one_sentence(Removal().sentence())
