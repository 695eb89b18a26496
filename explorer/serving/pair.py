"""Two models of an engine side by side, for whoever has no screen: the shell and Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from explorer.models import LoadedModel, hub, load, sources, uniform_filter
from explorer.photographs import Photograph, photograph
from explorer.serving import device as devices
from explorer.serving.engine import Engine, LocalEngine
from explorer.types import Comparison, ExplorerError, Filter, ImageInput, ModelCard

HUB = "hub:"
"""`hub:deit_tiny_patch16_224.fb_in1k` names a model of timm's hub wherever a file can be named."""
_CACHE = 64 * 2**20

ModelSource = LoadedModel | str | Path | None
"""A model that was loaded, its file, its name on timm's hub, or the bundled one."""


@dataclass(frozen=True, eq=False)
class ModelPair:
    """A baseline and a twicing model of one engine."""

    engine: Engine
    baseline: ModelCard
    twicing: ModelCard

    @property
    def cards(self) -> tuple[ModelCard, ModelCard]:
        return self.baseline, self.twicing

    def compare(self, image: ImageInput | Photograph | str | Path | bytes) -> Comparison:
        """Both models' traces of an image. Raises `ExplorerError` when it cannot be read."""
        decoded = image if isinstance(image, ImageInput) else photograph(image).open()
        return self.engine.compare(decoded, self.baseline.key, self.twicing.key)


def load_pair(
    baseline: ModelSource = None,
    twicing: ModelSource = None,
    *,
    baseline_filter: Filter | float | None = None,
    twicing_filter: Filter | float | None = None,
    device: str | None = None,
) -> ModelPair:
    """Loads two models, by default the bundled pair, each under its trained filter unless another is given.

    A filter is one coefficient for all blocks or one for each: 1 is standard, 2 twicing; another than the trained one
    makes a counterfactual. Raises `ExplorerError` for what cannot be loaded.
    """
    where = devices.choose(device)
    first, second = _load(baseline, "standard", where), _load(twicing, "twicing", where)
    engine = LocalEngine([first, second], where, cache_bytes=_CACHE)
    cards = [
        one.card if filter is None else engine.swapped(one.card.key, _filter(filter, one))
        for one, filter in ((first, baseline_filter), (second, twicing_filter))
    ]
    return ModelPair(engine, *cards)


def _load(source: ModelSource, bundled: str, device: object) -> LoadedModel:
    if isinstance(source, LoadedModel):
        return source
    if source is None:
        source = sources.bundled(bundled)
    if str(source).startswith(HUB):
        return hub.load(str(source).removeprefix(HUB), str(device))
    # The label by which a record names a file of the known folders names it here, too, wherever it is read.
    path = Path(source) if Path(source).exists() else sources.files().get(str(source), Path(source))
    return load(path, str(device))


def _filter(given: Filter | float, model: LoadedModel) -> Filter:
    depth = len(model.card.filter)
    filter = uniform_filter(depth, given) if isinstance(given, int | float) else tuple(map(float, given))
    if not all(map(math.isfinite, filter)):
        raise ExplorerError(f"A filter of finite numbers was expected; {', '.join(map(str, filter))[:60]} came.")
    return filter
