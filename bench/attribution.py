"""Attributions of the bundled pair beside the bare Captum calls they are made of.

A task makes the maps of both models for one view, interleaved with Captum called on the stock modules with images that
were normalised beforehand and the same arguments; medians over distinct photographs. Ours adds the conversion of the
view, the normalisation inside the model, the count of passes and the reduction to one map. GradCAM's bare call gets
the model with its tokens on a grid ready-made. Gradient-weighted rollout has no counterpart: it stands beside Saliency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import captum.attr as ca
import numpy as np
import torch
from torch import Tensor

from bench.common import Row, medians
from explorer.attribution.gradcam import with_grid
from explorer.attribution.methods import attribute
from explorer.attribution.settings import AttributionSettings, Method
from explorer.models import LoadedModel, load
from explorer.pictures import preprocess
from explorer.types import ImageInput

CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"
GOAL = 1.10
ONE_PASS = (Method.SALIENCY, Method.INPUT_X_GRADIENT, Method.GRAD_CAM, Method.WEIGHTED_ROLLOUT)
ROUNDS = {method: 61 if method in ONE_PASS else 9 for method in Method}
SETTINGS = AttributionSettings(steps=32, samples=16, stride=8)
TARGET = 0

Bare = Callable[[Any, Tensor], object]


def rows(decoded: Sequence[ImageInput]) -> Iterator[Row]:
    """A row for every method."""
    pair = [load(path) for path in sorted(CHECKPOINTS.glob("*.safetensors"))]
    pre = pair[0].card.preprocessing
    views = [preprocess.model_view(image.rgb, pre) for image in decoded]
    ready = {view.tobytes(): preprocess.batch([view], pre) for view in views}
    for method in Method:
        bare = _bare(Method.SALIENCY if method is Method.WEIGHTED_ROLLOUT else method)
        gridded = {id(model): with_grid(model.module) for model in pair}

        def ours(view: np.ndarray, method: Method = method) -> object:
            return [attribute(model, view, method, TARGET, SETTINGS) for model in pair]

        def theirs(view: np.ndarray, bare: Bare = bare, gridded: dict[int, Any] = gridded) -> object:
            x = ready[view.tobytes()]
            return [bare((model, gridded[id(model)]), x) for model in pair]

        seconds = medians({"captum": theirs, "ours": ours}, views, ROUNDS[method])
        is_ours_alone = method is Method.WEIGHTED_ROLLOUT
        yield Row(
            f"{method.label}, both bundled models, one image",
            round(seconds["ours"] / seconds["captum"], 3),
            "x Captum's Saliency" if is_ours_alone else "x the bare Captum call",
            None if is_ours_alone else GOAL,
            note=f"{torch.get_num_threads()} CPU threads, median of {ROUNDS[method]} interleaved rounds, "
            f"Captum {1e3 * seconds['captum']:.1f} ms",
        )


def _bare(method: Method) -> Bare:
    """Captum's call with the arguments ours passes; models come with their copy on a grid."""

    def module(models: tuple[LoadedModel, Any]) -> Any:
        return models[0].module

    nothing = 0.0  # the normalisation mean
    calls: dict[Method, Bare] = {
        Method.SALIENCY: lambda m, x: ca.Saliency(module(m)).attribute(_asked(x), TARGET),
        Method.INPUT_X_GRADIENT: lambda m, x: ca.InputXGradient(module(m)).attribute(_asked(x), TARGET),
        Method.INTEGRATED_GRADIENTS: lambda m, x: ca.IntegratedGradients(module(m)).attribute(
            x,
            nothing,
            TARGET,
            n_steps=SETTINGS.steps,
            internal_batch_size=SETTINGS.batch,
            return_convergence_delta=True,
        ),
        Method.GRADIENT_SHAP: lambda m, x: ca.GradientShap(module(m)).attribute(
            _asked(x), torch.zeros(4, *x.shape[1:]), n_samples=SETTINGS.samples, stdevs=SETTINGS.noise, target=TARGET
        ),
        Method.OCCLUSION: lambda m, x: ca.Occlusion(module(m)).attribute(
            x,
            (3, 8, 8),
            (3, SETTINGS.stride, SETTINGS.stride),
            nothing,
            TARGET,
            perturbations_per_eval=SETTINGS.batch,
        ),
        Method.FEATURE_ABLATION: lambda m, x: ca.FeatureAblation(module(m)).attribute(
            x, nothing, TARGET, feature_mask=_patches(x), perturbations_per_eval=SETTINGS.batch
        ),
        Method.GRAD_CAM: lambda m, x: ca.LayerGradCam(*m[1]).attribute(x, TARGET),
    }
    return calls[method]


def _asked(x: Tensor) -> Tensor:
    return x.clone().requires_grad_()


def _patches(x: Tensor, side: int = 8) -> Tensor:
    across = x.shape[-1] // side
    rows = torch.arange(x.shape[-2])[:, None] // side * across
    return (rows + torch.arange(x.shape[-1]) // side)[None, None]
