"""Maps of a class and what they are worth, for both models: made once, remembered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.attribution import trust as trusting
from explorer.attribution.result import Attribution, Method, Settings
from explorer.attribution.trust import Trust
from explorer.models import LoadedModel
from explorer.pictures import preprocess
from explorer.types import ModelCard, Progress
from explorer.ui import work
from explorer.ui.challenge.classes import Targets
from explorer.ui.shell import resources
from explorer.ui.shell.session import View


def key(view: View, index: int, method: Method, target: int, settings: Settings) -> work.Key:
    """Everything a map depends on."""
    return "attribution", view.photo.digest, view.pair.cards[index].key, method, target, settings


def pixels(view: View, card: ModelCard) -> np.ndarray:
    """What a model sees of the photograph."""
    return preprocess.model_view(view.photo.image.rgb, card.preprocessing)


def maps(
    view: View, method: Method, targets: Targets, settings: Settings, progress: Progress
) -> tuple[Attribution, Attribution]:
    """Both models' maps."""
    tell = work.parts(progress, 2)
    first, second = (_map(view, index, method, targets[index], settings, tell(index)) for index in (0, 1))
    return first, second


def _map(view: View, index: int, method: Method, target: int, settings: Settings, progress: Progress) -> Attribution:
    card = view.pair.cards[index]
    seen = pixels(view, card)

    def task(model: LoadedModel, tell: Progress) -> Attribution:
        from explorer.attribution.methods import attribute

        return attribute(model, seen, method, target, settings, tell)

    return work.remembered(
        key(view, index, method, target, settings),
        lambda: resources.engine().run(card.key, task, progress),
        lambda found: 4 * found.values.numel() + 512,
    )


def within(values: np.ndarray) -> np.ndarray:
    """Values up to the 99th percentile of their magnitudes, where a few pixels would make the others invisible."""
    end = float(np.quantile(np.abs(values), 0.99))
    return values.clip(-end, end) if end else values


def are_kept(view: View, method: Method, targets: Targets, settings: Settings) -> bool:
    """Whether both maps are remembered."""
    return all(work.kept(key(view, i, method, targets[i], settings)) is not None for i in (0, 1))


def trust_key(view: View, index: int, attribution: Attribution) -> work.Key:
    return "trust", *key(view, index, attribution.method, attribution.target, attribution.settings)


def trust(view: View, found: Sequence[Attribution], progress: Progress) -> tuple[Trust, Trust]:
    """Of both models' maps."""
    tell = work.parts(progress, 2)
    first, second = (
        work.remembered(trust_key(view, i, found[i]), lambda i=i: _trust(view, i, found[i], tell(i)), 4096)  # type: ignore[misc]
        for i in (0, 1)
    )
    return first, second


def _trust(view: View, index: int, found: Attribution, progress: Progress) -> Trust:
    card = view.pair.cards[index]
    tasks = trusting.tasks(pixels(view, card), found)
    part = work.parts(progress, len(tasks))
    run = resources.engine().run
    return Trust(**{name: run(card.key, task, part(i)) for i, (name, task) in enumerate(tasks.items())})


def every_method(view: View, targets: Targets, chosen: Attribution, progress: Progress) -> None:
    """Makes the maps of all methods that are not there yet, with their default settings but for the chosen one's."""
    missing = list(Method)
    tell = work.parts(progress, len(missing))
    for index, method in enumerate(missing):
        maps(view, method, targets, settings_of(method, chosen), tell(index))


def settings_of(method: Method, chosen: Attribution) -> Settings:
    """The chosen settings for the chosen method, else the default ones."""
    return chosen.settings if method is chosen.method else Settings()


def table(view: View, targets: Targets, chosen: Attribution) -> tuple[list[Method], list[np.ndarray], np.ndarray]:
    """The methods there are maps of, their rank correlations within each model, and between the models."""
    methods = [method for method in Method if are_kept(view, method, targets, settings_of(method, chosen))]
    found: list[list[Attribution]] = [
        [work.kept(key(view, i, method, targets[i], settings_of(method, chosen))) for method in methods] for i in (0, 1)
    ]
    within, between = trusting.agreement(found)
    return methods, within, between
