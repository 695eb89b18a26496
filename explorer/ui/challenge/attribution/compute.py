"""Maps of a class and what they are worth, for both models: made once, remembered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.attribution.result import Attribution
from explorer.attribution.settings import AttributionSettings, Method
from explorer.attribution.trust import QUANTITIES, Trust, agreement
from explorer.jobs.attributions import AttributionJob, TrustJob
from explorer.jobs.progress import parts
from explorer.serving.engine import ask
from explorer.types import Progress
from explorer.ui import work
from explorer.ui.challenge.classes import Targets
from explorer.ui.shell import resources
from explorer.ui.shell.session import View


def maps(
    view: View, method: Method, targets: Targets, settings: AttributionSettings, progress: Progress
) -> tuple[Attribution, Attribution]:
    """Both models' maps."""
    tell = parts(progress, 2)
    first, second = (
        work.ask(
            AttributionJob(method, targets[index], settings),
            view.photo,
            view.pair.cards[index],
            lambda attribution: 4 * attribution.values.numel() + 512,
            tell(index),
        )
        for index in (0, 1)
    )
    return first, second


def within(values: np.ndarray) -> np.ndarray:
    """Values up to the 99th percentile of their magnitudes, where a few pixels would make the others invisible."""
    end = float(np.quantile(np.abs(values), 0.99))
    return values.clip(-end, end) if end else values


def _keys(view: View, method: Method, targets: Targets, settings: AttributionSettings) -> list[work.Key]:
    """Of both models' maps."""
    jobs = [AttributionJob(method, target, settings) for target in targets]
    return [work.key(job, view.photo, card) for job, card in zip(jobs, view.pair.cards, strict=True)]


def are_kept(view: View, method: Method, targets: Targets, settings: AttributionSettings) -> bool:
    """Whether both maps are remembered."""
    return all(work.kept(key) is not None for key in _keys(view, method, targets, settings))


def trust_keys(view: View, attributions: Sequence[Attribution]) -> tuple[work.Key, ...]:
    """Of what both models' maps are worth."""
    return tuple(
        ("trust", *work.key(_job_of(map), view.photo, card))
        for map, card in zip(attributions, view.pair.cards, strict=True)
    )


def trust(view: View, attributions: Sequence[Attribution], progress: Progress) -> tuple[Trust, Trust]:
    """Of both models' maps."""
    tell, keys = parts(progress, 2), trust_keys(view, attributions)

    def remembered(index: int) -> Trust:
        return work.remembered(
            keys[index], lambda: _trust(view, index, attributions[index], tell(index)), 4096, tell(index)
        )

    return remembered(0), remembered(1)


def _trust(view: View, index: int, map: Attribution, progress: Progress) -> Trust:
    part = parts(progress, len(QUANTITIES))
    engine, picture, key = resources.engine(), view.photo.image, view.pair.cards[index].key
    jobs = [TrustJob(_job_of(map), quantity, map) for quantity in QUANTITIES]
    return Trust(*(ask(engine, job, [picture], key, part(number)) for number, job in enumerate(jobs)))


def _job_of(map: Attribution) -> AttributionJob:
    return AttributionJob(map.method, map.target, map.settings)


def every_method(view: View, targets: Targets, chosen: Attribution, progress: Progress) -> None:
    """Makes the maps of all methods that are not there yet, with their default settings but for the chosen one's."""
    missing = list(Method)
    tell = parts(progress, len(missing))
    for index, method in enumerate(missing):
        maps(view, method, targets, settings_of(method, chosen), tell(index))


def settings_of(method: Method, chosen: Attribution) -> AttributionSettings:
    """The chosen settings for the chosen method, else the default ones."""
    return chosen.settings if method is chosen.method else AttributionSettings()


def table(view: View, targets: Targets, chosen: Attribution) -> tuple[list[Method], list[np.ndarray], np.ndarray]:
    """The methods there are maps of, their rank correlations within each model, and between the models."""
    methods = [method for method in Method if are_kept(view, method, targets, settings_of(method, chosen))]
    attributions: list[list[Attribution]] = [
        [work.kept(_keys(view, method, targets, settings_of(method, chosen))[i]) for method in methods] for i in (0, 1)
    ]
    within, between = agreement(attributions)
    return methods, within, between
