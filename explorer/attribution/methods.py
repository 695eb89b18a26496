"""Captum's attributions, and one of ours, for a model and a class: pixels in [0, 1] in, one map out.

Gradients are taken of the class's logit with respect to pixels; weights need none, get none, and no hook is hung on the
model that was given. Captum: https://captum.ai, whose calls these are; `tests/attribution` holds them against it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from explorer import startup
from explorer.attribution.gradcam import with_grid
from explorer.attribution.result import Attribution, Unit, baseline_picture
from explorer.attribution.rollout import weighted_rollout
from explorer.attribution.settings import AttributionSettings, Baseline, Method
from explorer.models.checkpoints import LoadedModel
from explorer.models.pixels import Batch, FromPixels, ModelView, as_batch, from_pixels
from explorer.models.trace import geometry
from explorer.types import ExplorerError, Progress, Size

startup.captum_without_drawing()
_GLOBAL_RANDOM = threading.Lock()


@dataclass(eq=False)
class Counted:
    """The model, counting the images that pass through it; what `progress` raises comes out of Captum unchanged."""

    model: Callable[[Batch], Tensor]
    total: int
    progress: Progress | None = None
    done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.tell()

    def __call__(self, pixels: Batch) -> Float[Tensor, "image *answer"]:
        logits = self.model(pixels)
        self.done += pixels.shape[0]
        self.tell()
        return logits

    def tell(self) -> None:
        """Says how far it is."""
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass(frozen=True, eq=False)
class MapTask:
    """One map to be made."""

    model: FromPixels
    forward: Counted
    pixels: Batch
    """One image, in [0, 1]."""
    target: int
    settings: AttributionSettings
    grid: Size

    @property
    def patch(self) -> Size:
        return self.pixels.shape[2] // self.grid[0], self.pixels.shape[3] // self.grid[1]

    def baseline(self) -> Batch:
        return baseline_picture(self.pixels, self.settings.baseline, self.model)


@dataclass(frozen=True, eq=False)
class MapValues:
    """What a method leaves: values by channel and pixel, or a map of the patches."""

    raw: Float[Tensor, "3 height width"] | None = None
    patches: Float[Tensor, "row column"] | None = None
    delta: float | None = None


def attribute(
    model: LoadedModel,
    view: ModelView,
    method: Method,
    target: int | None = None,
    settings: AttributionSettings = AttributionSettings(),
    progress: Progress | None = None,
) -> Attribution:
    """The map of one method for class `target` (the model's first choice by default) on the view the model sees.

    Signed maps are sums over colour channels, or falls of the logit; Saliency is the largest magnitude of a channel.
    `progress` is told of passes of one image and cancels by raising. Raises `ExplorerError` for a class, a view or a
    model that does not fit.
    """
    with torch.inference_mode(False), torch.no_grad():  # Captum switches gradients on where it takes them
        behind, pixels = from_pixels(model), as_batch(view, model)
        chosen = explained_class(model, behind, pixels, target)
        grid = geometry(model.module).grid
        task = MapTask(behind, Counted(behind, 0), pixels, chosen, settings, grid)
        task = replace(task, forward=Counted(behind, passes(method, task), progress))
        map_values = METHODS[method](task)
        values = reduced(map_values, method).detach().float().cpu()
    on = Unit.PIXELS if map_values.patches is None else Unit.PATCHES
    size = model.card.preprocessing.input_size
    return Attribution(values, on, method, chosen, settings, model.card.key, size, grid, map_values.delta)


def reduced(map_values: MapValues, method: Method) -> Float[Tensor, "row column"]:
    """One value per pixel or patch."""
    if map_values.patches is not None:
        return map_values.patches
    assert map_values.raw is not None
    if method is Method.SALIENCY:
        return map_values.raw.abs().amax(dim=0)
    if method is Method.OCCLUSION:  # every channel of a pixel carries the whole fall
        return map_values.raw[0]
    return map_values.raw.sum(dim=0)


def explained_class(model: LoadedModel, behind: FromPixels, pixels: Batch, target: int | None) -> int:
    """The class meant: the model's first choice for `None`.

    Raises `ExplorerError` for a class the model does not have.
    """
    if target is None:
        return int(behind(pixels).argmax(dim=1)[0])
    if not 0 <= target < model.module.num_classes:
        raise ExplorerError(f"A class from 0 to {model.module.num_classes - 1} was expected; {target} came.")
    return target


def passes(method: Method, task: MapTask) -> int:
    """Passes of one image that a method takes."""
    settings = task.settings
    if method is Method.INTEGRATED_GRADIENTS:
        return settings.steps + 2  # both ends, for the convergence delta
    if method is Method.GRADIENT_SHAP:
        return settings.samples
    if method is Method.FEATURE_ABLATION:
        return 1 + math.prod(task.grid)
    if method is Method.OCCLUSION:
        windows, strides = _sliding(task)
        lengths = zip(task.pixels.shape[2:], windows, strides, strict=True)
        return 1 + math.prod(math.ceil((length - window) / stride) + 1 for length, window, stride in lengths)
    return 1


def _saliency(task: MapTask) -> MapValues:
    from captum.attr import Saliency

    x = task.pixels.requires_grad_()
    return MapValues(raw=Saliency(task.forward).attribute(x, task.target, abs=False)[0])


def _input_x_gradient(task: MapTask) -> MapValues:
    from captum.attr import InputXGradient

    x = task.pixels.requires_grad_()
    return MapValues(raw=InputXGradient(task.forward).attribute(x, task.target)[0])


def _integrated_gradients(task: MapTask) -> MapValues:
    from captum.attr import IntegratedGradients

    raw, delta = IntegratedGradients(task.forward).attribute(
        task.pixels,
        task.baseline(),
        task.target,
        n_steps=task.settings.steps,
        internal_batch_size=min(task.settings.batch, task.settings.steps),
        return_convergence_delta=True,
    )
    return MapValues(raw=raw[0], delta=float(delta))


def _gradient_shap(task: MapTask) -> MapValues:
    """In batches, whose mean is weighted by their samples: Captum has no batches here."""
    from captum.attr import GradientShap

    pictures = torch.cat([baseline_picture(task.pixels, kind, task.model) for kind in Baseline])
    shap = GradientShap(task.forward)
    total, left = torch.zeros_like(task.pixels), task.settings.samples
    x = task.pixels.requires_grad_()
    with seeded(task.settings.seed):
        while left:
            now = min(left, task.settings.batch)
            part = shap.attribute(x, pictures, n_samples=now, stdevs=task.settings.noise, target=task.target)
            total += now / task.settings.samples * part.detach()
            left -= now
    return MapValues(raw=total[0])


def _occlusion(task: MapTask) -> MapValues:
    from captum.attr import Occlusion

    windows, strides = _sliding(task)
    raw = Occlusion(task.forward).attribute(
        task.pixels,
        sliding_window_shapes=(3, *windows),
        strides=(3, *strides),
        baselines=task.baseline(),
        target=task.target,
        perturbations_per_eval=task.settings.batch,
    )
    return MapValues(raw=raw[0])


def _feature_ablation(task: MapTask) -> MapValues:
    from captum.attr import FeatureAblation

    raw = FeatureAblation(task.forward).attribute(
        task.pixels,
        task.baseline(),
        task.target,
        feature_mask=patch_mask(task),
        perturbations_per_eval=task.settings.batch,
    )
    down, across = task.patch
    return MapValues(patches=raw[0, 0, ::down, ::across])  # every pixel of a patch carries the fall of the whole patch


def _grad_cam(task: MapTask) -> MapValues:
    from captum.attr import LayerGradCam

    own, place = with_grid(task.model.module)
    task.forward.model = lambda pixels: own(task.model.normalised(pixels))
    cam = LayerGradCam(task.forward, place).attribute(task.pixels, task.target)
    return MapValues(patches=cam[0, 0])


def _weighted_rollout(task: MapTask) -> MapValues:
    module = task.model.module
    row = weighted_rollout(module, task.model.normalised(task.pixels), task.target)[0]
    task.forward.done += 1
    task.forward.tell()
    return MapValues(patches=row[module.num_prefix_tokens :].unflatten(0, task.grid))


METHODS: dict[Method, Callable[[MapTask], MapValues]] = {
    Method.SALIENCY: _saliency,
    Method.INPUT_X_GRADIENT: _input_x_gradient,
    Method.INTEGRATED_GRADIENTS: _integrated_gradients,
    Method.GRADIENT_SHAP: _gradient_shap,
    Method.OCCLUSION: _occlusion,
    Method.FEATURE_ABLATION: _feature_ablation,
    Method.GRAD_CAM: _grad_cam,
    Method.WEIGHTED_ROLLOUT: _weighted_rollout,
}


def patch_mask(task: MapTask) -> Tensor:
    """The number of its patch at every pixel, `(1, 1, height, width)`."""
    numbers = torch.arange(math.prod(task.grid), device=task.pixels.device).view(1, 1, *task.grid)
    down, across = task.patch
    return numbers.repeat_interleave(down, dim=2).repeat_interleave(across, dim=3)


def _sliding(task: MapTask) -> tuple[Size, Size]:
    """Sides of the occluding window, and its steps."""
    side, square = task.settings.window, task.settings.square
    window = (square * task.patch[0], square * task.patch[1]) if side is None else (side, side)
    step = task.settings.stride
    stride = (max(1, window[0] // 2), max(1, window[1] // 2)) if step is None else (step, step)
    fits = zip(stride, window, task.pixels.shape[2:], strict=True)
    if any(not step <= side <= length for step, side, length in fits):
        raise ExplorerError(
            f"A stride up to the window and a window up to the {tuple(task.pixels.shape[2:])} pixels were expected; "
            f"stride {stride} and window {window} came."
        )
    return window, stride


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch's and NumPy's global generators, which Captum draws from, and puts them back; one at a time."""
    devices: list[Any] = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with _GLOBAL_RANDOM, torch.random.fork_rng(devices):
        before = np.random.get_state()
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            np.random.set_state(before)
