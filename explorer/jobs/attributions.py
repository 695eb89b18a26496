"""Maps of a class and what they are worth. Captum comes with the first one that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from explorer.attribution.result import Attribution
from explorer.attribution.settings import AttributionSettings, Method
from explorer.attribution.trust import measure
from explorer.jobs import Job, views
from explorer.models import LoadedModel
from explorer.types import ImageInput, Progress


@dataclass(frozen=True)
class AttributionJob(Job[Attribution]):
    """The map of one picture."""

    method: Method
    target: int | None
    """The class, the model's first choice for `None`."""
    settings: AttributionSettings

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> Attribution:
        from explorer.attribution.methods import attribute

        (view,) = views(model, pictures)
        return attribute(model, view, self.method, self.target, self.settings, tell)


@dataclass(frozen=True)
class TrustJob(Job[Any]):
    """One field of a map's `Trust`, by its name: each is long, so that others may come in between."""

    attribution: AttributionJob
    quantity: str
    map: Attribution = field(compare=False, repr=False)
    """What the attribution made of the same picture and model."""

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> Any:
        (view,) = views(model, pictures)
        return measure(self.quantity, model, view, self.map, tell)
