"""Attributions against Captum called directly, against a linear model, and for what they leave behind."""

import threading
from collections.abc import Callable

import captum.attr as ca
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explorer.attribution.methods import attribute, seeded
from explorer.attribution.result import Attribution, Unit, baseline_picture
from explorer.attribution.settings import AttributionSettings, Baseline, Method
from explorer.models import LoadedModel
from explorer.models.pixels import FromPixels, as_batch, from_pixels
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, quadratics

MakeLoaded = Callable[..., LoadedModel]

QUICK = AttributionSettings(steps=8, samples=4, batch=4)
TARGET = 3


def hooks(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in module.modules() for kind in kinds)


def assert_untouched(model: LoadedModel) -> None:
    assert hooks(model.module) == 0
    assert all(p.grad is None and not p.requires_grad for p in model.module.parameters())


def mask_of_patches() -> Tensor:
    rows = torch.arange(32) // 8
    return (rows[:, None] * 4 + rows)[None, None]


def direct(method: Method, forward: FromPixels, x: Tensor, nothing: Tensor) -> Tensor:
    """Captum as its documentation calls it."""
    asked = x.clone().requires_grad_()
    if method is Method.SALIENCY:
        return ca.Saliency(forward).attribute(asked, TARGET)[0].amax(dim=0)
    if method is Method.INPUT_X_GRADIENT:
        return ca.InputXGradient(forward).attribute(asked, TARGET)[0].sum(dim=0)
    if method is Method.INTEGRATED_GRADIENTS:
        return ca.IntegratedGradients(forward).attribute(x, nothing, TARGET, n_steps=8)[0].sum(dim=0)
    if method is Method.OCCLUSION:
        shapes = {"sliding_window_shapes": (3, 8, 8), "strides": (3, 4, 4)}
        return ca.Occlusion(forward).attribute(x, baselines=nothing, target=TARGET, **shapes)[0, 0]
    assert method is Method.FEATURE_ABLATION
    ablated = ca.FeatureAblation(forward).attribute(x, nothing, TARGET, feature_mask=mask_of_patches())
    return ablated[0, 0, ::8, ::8]


@pytest.mark.parametrize(
    "method",
    [
        Method.SALIENCY,
        Method.INPUT_X_GRADIENT,
        Method.INTEGRATED_GRADIENTS,
        Method.OCCLUSION,
        Method.FEATURE_ABLATION,
    ],
)
def test_like_captum_called_directly(loaded: LoadedModel, view: np.ndarray, method: Method) -> None:
    forward, x = from_pixels(loaded), as_batch(view, loaded)
    expected = direct(method, forward, x, baseline_picture(x, Baseline.MEAN, forward)).detach()
    found = attribute(loaded, view, method, TARGET, QUICK)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found.values, expected, rtol=1e-4, atol=1e-5 * scale)
    assert (found.method, found.target, found.settings, found.model) == (method, TARGET, QUICK, loaded.card.key)


def test_gradient_shap_like_captum_with_the_same_seed(loaded: LoadedModel, view: np.ndarray) -> None:
    forward, x = from_pixels(loaded), as_batch(view, loaded)
    pictures = torch.cat([baseline_picture(x, kind, forward) for kind in Baseline])
    with seeded(5):
        expected = ca.GradientShap(forward).attribute(
            x.clone().requires_grad_(), pictures, n_samples=4, stdevs=0.02, target=TARGET
        )
    found = attribute(loaded, view, Method.GRADIENT_SHAP, TARGET, AttributionSettings(seed=5, samples=4))
    torch.testing.assert_close(found.values, expected[0].sum(dim=0).detach())


def test_the_seed_alone_decides(loaded: LoadedModel, view: np.ndarray) -> None:
    def shap(seed: int) -> Tensor:
        return attribute(
            loaded, view, Method.GRADIENT_SHAP, TARGET, AttributionSettings(seed=seed, samples=6, batch=4)
        ).values

    first = shap(0)
    torch.manual_seed(99)
    np.random.seed(99)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert torch.equal(first, shap(0))
    assert not torch.equal(first, shap(1))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


# --- a linear model, where every method is exact ------------------------------------------------------------------


def weights_in_pixels(linear: LoadedModel) -> Tensor:
    """`dy/dx` for pixels in [0, 1]."""
    std = torch.tensor(linear.card.preprocessing.std, dtype=torch.float64).view(3, 1, 1)
    return linear.module.head.weight[TARGET].view(3, 32, 32) / std


@pytest.mark.parametrize("kind", list(Baseline))
def test_methods_are_exact_on_a_linear_model(linear: LoadedModel, view: np.ndarray, kind: Baseline) -> None:
    w, x = weights_in_pixels(linear), as_batch(view, linear)
    nothing = baseline_picture(x, kind, from_pixels(linear))
    each = w * (x - nothing)[0]
    by_patch = each.sum(dim=0).unfold(0, 8, 8).unfold(1, 8, 8).sum(dim=(2, 3))

    def made(method: Method, **settings: object) -> Attribution:
        return attribute(linear, view, method, TARGET, AttributionSettings(baseline=kind, **settings))

    close = {"check_dtype": False, "rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(made(Method.SALIENCY).values, w.abs().amax(dim=0), **close)
    torch.testing.assert_close(made(Method.INPUT_X_GRADIENT).values, (w * x[0]).sum(dim=0), **close)
    integrated = made(Method.INTEGRATED_GRADIENTS, steps=4)
    torch.testing.assert_close(integrated.values, each.sum(dim=0), **close)
    assert integrated.delta == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(made(Method.FEATURE_ABLATION).values, by_patch, **close)
    tiled = made(Method.OCCLUSION, window=8, stride=8)
    torch.testing.assert_close(tiled.values, by_patch.repeat_interleave(8, 0).repeat_interleave(8, 1), **close)


def test_overlapping_squares_are_averaged(linear: LoadedModel, view: np.ndarray) -> None:
    """A window of 16 with steps of 8: the middle pixels are under four squares, the corner under one."""
    each = weights_in_pixels(linear) * as_batch(view, linear)[0]
    squares = each.sum(dim=0).unfold(0, 16, 8).unfold(1, 16, 8).sum(dim=(2, 3))  # (3, 3)
    settings = AttributionSettings(baseline=Baseline.BLACK, window=16, stride=8, batch=5)
    found = attribute(linear, view, Method.OCCLUSION, TARGET, settings).values
    assert float(found[0, 0]) == pytest.approx(float(squares[0, 0]), rel=1e-4)
    assert float(found[12, 12]) == pytest.approx(float(squares[:2, :2].mean()), rel=1e-4)


def test_integrated_gradients_are_complete(make_loaded: MakeLoaded, view: np.ndarray) -> None:
    model = make_loaded(quadratics(2.0, 1.5), torch.float64)
    forward, x = from_pixels(model), as_batch(view, model)
    ends = torch.cat([x, baseline_picture(x, Baseline.BLURRED, forward)])
    fall = float(forward(ends)[:, TARGET].diff().neg())
    settings = AttributionSettings(baseline=Baseline.BLURRED, steps=64)
    found = attribute(model, view, Method.INTEGRATED_GRADIENTS, TARGET, settings)
    assert found.delta is not None
    assert abs(found.delta) < 1e-3 * abs(fall)
    assert float(found.values.double().sum()) - fall == pytest.approx(found.delta, abs=1e-4)


# --- what is asked and what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(Method))
def test_progress_counts_every_pass_and_the_model_stays_as_it_was(
    loaded: LoadedModel, view: np.ndarray, method: Method
) -> None:
    told: list[tuple[int, int]] = []
    found = attribute(loaded, view, method, TARGET, QUICK, lambda *now: told.append(now))
    done, totals = zip(*told, strict=True)
    assert done[0] == 0
    assert list(done) == sorted(done)
    assert set(totals) == {done[-1]}
    assert_untouched(loaded)
    assert bool(found.values.isfinite().all())
    assert found.on_pixels().shape == (32, 32)
    assert found.on_patches().shape == (4, 4)
    assert method.is_signed or float(found.values.min()) >= 0


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("at_start", [True, False])
def test_what_progress_raises_cancels_and_leaves_nothing(
    loaded: LoadedModel, view: np.ndarray, method: Method, at_start: bool
) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if at_start or done:
            raise StopError

    before, numbers = threading.active_count(), np.random.get_state()[1].copy()
    with pytest.raises(StopError):
        attribute(loaded, view, method, TARGET, QUICK, stop)
    assert_untouched(loaded)
    assert torch.is_grad_enabled()
    assert threading.active_count() == before
    assert np.array_equal(numbers, np.random.get_state()[1])


@pytest.mark.parametrize("method", list(Method))
def test_weights_and_calls_under_inference_mode(make_loaded: MakeLoaded, view: np.ndarray, method: Method) -> None:
    expected = attribute(make_loaded(), view, method, TARGET, QUICK).values
    with torch.inference_mode():
        model = make_loaded()
        assert next(model.module.parameters()).is_inference()
        found = attribute(model, view, method, TARGET, QUICK).values
    torch.testing.assert_close(found, expected)
    assert not found.is_inference()


def test_pixels_as_a_tensor_and_the_first_choice(loaded: LoadedModel, view: np.ndarray) -> None:
    pixels = as_batch(view, loaded)[0]
    first = attribute(loaded, view, Method.SALIENCY)
    assert first.target == int(from_pixels(loaded)(pixels[None]).argmax())
    assert torch.equal(attribute(loaded, pixels, Method.SALIENCY).values, first.values)
    assert not pixels.requires_grad


@pytest.mark.parametrize("method", [Method.OCCLUSION, Method.FEATURE_ABLATION, Method.INTEGRATED_GRADIENTS])
def test_batches_change_nothing(loaded: LoadedModel, view: np.ndarray, method: Method) -> None:
    one, many = (attribute(loaded, view, method, TARGET, AttributionSettings(steps=9, batch=n)).values for n in (1, 7))
    torch.testing.assert_close(one, many, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": 5}, "class from 0 to 4"),
        ({"target": -1}, "class from 0 to 4"),
        ({"method": Method.OCCLUSION, "settings": AttributionSettings(window=64)}, "window"),
        ({"method": Method.OCCLUSION, "settings": AttributionSettings(window=4, stride=8)}, "stride"),
        ({"view": np.zeros((16, 16, 3), np.uint8)}, r"\(32, 32\)"),
        ({"view": torch.full((3, 32, 32), 1.5)}, "between 0 and 1"),
        ({"view": torch.full((3, 32, 32), torch.nan)}, "between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    loaded: LoadedModel, view: np.ndarray, options: dict[str, object], words: str
) -> None:
    with pytest.raises(ExplorerError, match=words) as caught:
        attribute(loaded, **{"view": view, "method": Method.SALIENCY, **options})
    assert_one_sentence(str(caught.value))


def test_settings_and_models_that_do_not_fit(make_loaded: MakeLoaded, view: np.ndarray) -> None:
    for wrong in (
        {"steps": 0},
        {"steps": 10**9},
        {"samples": 1001},
        {"stride": 10**6},
        {"noise": 2.0},
        {"window": 0},
        {"square": 0},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": 10**20},
    ):
        with pytest.raises(ExplorerError) as caught:
            AttributionSettings(**wrong)
        assert_one_sentence(str(caught.value))
    largest = AttributionSettings(seed=2**63 - 1, samples=1)
    assert attribute(make_loaded(), view, Method.GRADIENT_SHAP, TARGET, largest).values.isfinite().all()
    training = make_loaded()
    training.module.train()
    with pytest.raises(ExplorerError, match="eval mode"):
        attribute(training, view, Method.SALIENCY)
    headless = make_loaded()
    headless.module.num_classes = 0
    with pytest.raises(ExplorerError, match="classifier"):
        attribute(headless, view, Method.SALIENCY)


def test_a_map_knows_its_grid(loaded: LoadedModel, view: np.ndarray) -> None:
    on_pixels = attribute(loaded, view, Method.INPUT_X_GRADIENT, TARGET)
    assert on_pixels.on is Unit.PIXELS
    assert float(on_pixels.on_patches()[1, 2]) == pytest.approx(float(on_pixels.values[8:16, 16:24].mean()), abs=1e-6)
    on_patches = attribute(loaded, view, Method.FEATURE_ABLATION, TARGET)
    assert torch.equal(on_patches.on_pixels()[8:16, 16:24], on_patches.values[1, 2].expand(8, 8))
