"""What speaks for a class and against it: image, baseline, twicing; a row for each image."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

from explorer.arrays import array
from explorer.attribution.result import Attribution
from explorer.attribution.settings import AttributionSettings, Baseline, Method
from explorer.figures.print.cells import Columns
from explorer.jobs.attributions import AttributionJob
from explorer.models.classes import class_index, class_name
from explorer.serving.engine import ask
from explorer.studio import grids, maps, phrases
from explorer.studio.content import Content
from explorer.studio.latex import escape
from explorer.studio.run import COLOURS, FigureRun
from explorer.studio.spec import Spec
from explorer.studio.template import LABELS, LOOK, Template
from explorer.types import ImageInput, ModelCard

_MAP = "attribution"
"""The key of the only map of a model and image."""
_NOTHING = {
    Baseline.MEAN: "the mean colour",
    Baseline.BLACK: "black",
    Baseline.WHITE: "white",
    Baseline.BLURRED: "the image under a Gaussian of a sixteenth of its shorter side",
}


def settings(spec: Spec) -> AttributionSettings:
    """What the methods read."""
    return AttributionSettings(
        seed=spec.seed,
        baseline=spec.baseline_picture,
        steps=spec.path_steps,
        samples=spec.samples,
        square=spec.square,
    )


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A row for each image."""
    method = run.spec.method
    photos, classes = [], []
    for title, image in zip(run.titles, run.images(), strict=True):
        both = [_attributed(run, card, image) for card in run.pair.cards]
        sides = tuple({_MAP: grids.Panel(array(of_model.on_patches()), method.is_signed)} for of_model in both)
        photos.append(grids.MappedImage(title, image, sides, (None, None)))
        first, second = (class_name(card, of_model.target) for card, of_model in zip(run.pair.cards, both, strict=True))
        classes.append((first, second))
    columns = tuple(Columns(("",), name, colour) for name, colour in zip(run.names, COLOURS, strict=True))
    row = grids.MapRow(((0, _MAP), (1, _MAP)))
    layout = grids.Layout((row,), columns, f"{method.label}, mean over each patch")
    return replace(maps.laid_out(run, photos, (), (), layout), classes=tuple(classes))


def _attributed(run: FigureRun, card: ModelCard, image: ImageInput) -> Attribution:
    target = class_index(card, run.spec.target) if run.spec.target else None
    job = AttributionJob(run.spec.method, target, settings(run.spec))
    return ask(run.pair.engine, job, [image], card.key)


def caption(spec: Spec, content: Content) -> list[str]:
    """By which method, of which class."""
    method = spec.method
    sign = "; red speaks for the class, blue against it" if method.is_signed else ""
    about = f"{'of the logit of' if method.unit else 'for'} {phrases.subject_class(spec, content)}"
    return [
        f"{escape(method.label)} {about}: {_method(spec)}; mean over the pixels of each patch{sign}; "
        f"{phrases.images(content)}.",
        phrases.scale(spec, content, where="in each image"),
        phrases.photograph(spec),
    ]


def _method(spec: Spec) -> str:
    """How a map is made, with the settings it reads."""
    nothing = _NOTHING[spec.baseline_picture]
    square = "one patch" if spec.square == 1 else f"{spec.square} by {spec.square} patches"
    return {
        Method.SALIENCY: "largest magnitude of the gradient over colour channels",
        Method.INPUT_X_GRADIENT: "pixel times gradient, summed over colour channels, pixels in $[0, 1]$",
        Method.INTEGRATED_GRADIENTS: f"gradients along the straight line from {nothing}, {spec.path_steps} steps",
        Method.GRADIENT_SHAP: f"expected gradients from four baselines, {spec.samples} samples, seed {spec.seed}",
        Method.OCCLUSION: f"fall when a square of {square}, moved by half of it, becomes {nothing}",
        Method.FEATURE_ABLATION: f"fall when one patch becomes {nothing}",
        Method.GRAD_CAM: "tokens read by the last attention (of a pooled model, behind its last norm), weighted by "
        "the mean gradient of the logit, without ReLU",
        Method.WEIGHTED_ROLLOUT: "product over layers of effective attention where the logit's gradient agrees",
    }[spec.method]


def idle(values: Mapping[str, Any]) -> Set[str]:
    """The settings of other methods."""
    method: Method = values["method"]
    return {
        *(() if method.takes_baseline else ("baseline_picture",)),
        *(() if method is Method.INTEGRATED_GRADIENTS else ("path_steps",)),
        *(() if method is Method.OCCLUSION else ("square",)),
        *(() if method is Method.GRADIENT_SHAP else ("samples", "seed")),
    }


TEMPLATE = Template(
    name="attribution",
    title="Attribution of a class",
    settings=(
        "method", "baseline_picture", "path_steps", "square", "samples", "seed", "target",
        "picture", *LOOK, *LABELS, "colour_bar",
    ),
    off_page=("labels",),
    gather=gather,
    caption=caption,
    idle=idle,
    is_grid=True,
)  # fmt: skip
