"""Maps of a class on the patches, for both models."""

from __future__ import annotations

from explorer.arrays import array
from explorer.attribution.result import Attribution, AttributionSettings, Baseline, method_called
from explorer.jobs.attributions import AttributionJob
from explorer.models.classes import class_index, class_name
from explorer.serving.engine import ask
from explorer.studio import grids
from explorer.studio.content import Content
from explorer.studio.run import Run
from explorer.studio.spec import Spec
from explorer.types import ImageInput, ModelCard


def settings(spec: Spec) -> AttributionSettings:
    """What the methods read."""
    return AttributionSettings(
        seed=spec.seed,
        baseline=Baseline(spec.baseline_picture),
        steps=spec.path_steps,
        samples=spec.samples,
        square=spec.square,
    )


def gather(run: Run, layers: tuple[int, ...]) -> Content:
    """A row for each image."""
    method = method_called(run.spec.method)
    photos, classes = [], []
    for shown in run.images():
        found = [_attributed(run, card, shown.image) for card in run.pair.cards]
        sides = tuple({grids.ATTRIBUTION: grids.Panel(array(one.on_patches()), method.is_signed)} for one in found)
        photos.append(grids.Photo(shown.title, shown.image, sides, (None, None)))
        first, second = (class_name(card, one.target) for card, one in zip(run.pair.cards, found, strict=True))
        classes.append((first, second))
    grid, ranges = grids.arrange(run.spec, photos, run.pair.cards, run.names, (), ())
    return Content(
        grid, tuple(run.digests), arrays=grids.arrays(photos, run.files), ranges=ranges, classes=tuple(classes)
    )


def _attributed(run: Run, card: ModelCard, image: ImageInput) -> Attribution:
    target = class_index(card, run.spec.target) if run.spec.target else None
    job = AttributionJob(method_called(run.spec.method), target, settings(run.spec))
    return ask(run.pair.engine, job, [image], card.key)
