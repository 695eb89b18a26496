"""Labelled images under attack: the ranks of their labels, remembered one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from explorer.disturb.settings import Attack
from explorer.jobs.disturbances import AdversariesJob, RanksJob
from explorer.jobs.progress import parts
from explorer.pictures import isolated
from explorer.pictures.labelled import Item, Listing
from explorer.runs.robustness_file import Result, header, trials
from explorer.serving.engine import ask
from explorer.types import ExplorerError, ImageInput, ModelCard, Progress
from explorer.ui import work
from explorer.ui.challenge.attacks import compute
from explorer.ui.shell import resources


@dataclass(frozen=True, eq=False)
class LabelledAttack:
    """Labelled images under one kind of attack on two models."""

    title: str
    listing: Listing
    cards: tuple[ModelCard, ModelCard]
    alike: bool
    """Whether either model takes what was made to fool the other."""
    attack: Attack
    """Without its budget."""

    @property
    def budgets(self) -> list[Attack]:
        return [replace(self.attack, eps=eps / 255) for eps in compute.SWEEP_EPS]

    @property
    def key(self) -> work.Key:
        return "labelled", self.listing.digest, *(card.key for card in self.cards), self.attack

    def key_of(self, item: Item, source: int) -> work.Key:
        """Of one image's `_Ranks` by the gradients of one model."""
        keys = self.cards[source].key, self.cards[1 - source].key
        return "labelled-attack", item.digest, item.name, item.labels, *keys, source, self.attack


@dataclass(frozen=True, eq=False)
class SoFar:
    """What is known of a task."""

    result: Result
    labels: dict[str, int]
    """Of the result's images, in the first model."""
    broken: dict[str, str]
    """By image, why it is left out."""
    is_done: bool


def so_far(task: LabelledAttack) -> SoFar:
    """The images that are done, out of what is remembered."""
    eps = [budget.eps for budget in task.budgets]
    settings = header(task.cards, task.attack, eps, 1, f"{task.title}, {task.listing.digest}", task.alike)
    pairs = trials(2, task.alike)
    result, labels, broken = {}, {}, {}
    for item in task.listing.items:
        why = work.kept(_broken_key(item))
        if why is not None:
            broken[item.name] = why
            continue
        of_source: list[_Ranks] = [work.kept(task.key_of(item, source)) for source in (0, 1)]
        if None in of_source:
            continue
        result[item.name] = tuple(of_source[source][source != target] for source, target in pairs)
        labels[item.name] = item.labels[0]
    return SoFar(Result(settings, result), labels, broken, len(result) + len(broken) == len(task.listing.items))


def attack_all(task: LabelledAttack, progress: Progress) -> SoFar:
    """Attacks what is not remembered; each image and model is kept as soon as it is done."""
    tell = parts(progress, len(task.listing.items))
    for number, item in enumerate(task.listing.items):
        part = tell(number)
        part(0, 1)
        if work.kept(_broken_key(item)) is None:
            try:
                _attack(task, item, part)
            except _BrokenError as error:
                work.keep(_broken_key(item), str(error))
    return so_far(task)


_Ranks = tuple[tuple[int, ...], tuple[int, ...]]
"""By budget, the label's rank in the attacked model and, shown the same pixels, in the other."""


class _BrokenError(Exception):
    """Why an image is left out."""


def _attack(task: LabelledAttack, item: Item, progress: Progress) -> None:
    missing = [source for source in (0, 1) if work.kept(task.key_of(item, source)) is None]
    if not missing:
        return
    image = _decoded(item)
    tell = parts(progress, len(missing))
    for number, source in enumerate(missing):
        work.keep(task.key_of(item, source), _ranks(task, item, image, source, tell(number)))


def _decoded(item: Item) -> ImageInput:
    try:
        return isolated.DECODER.decode(item.read())
    except ExplorerError as error:
        raise _BrokenError(str(error)) from error


def _ranks(task: LabelledAttack, item: Item, image: ImageInput, source: int, progress: Progress) -> _Ranks:
    card, other = task.cards[source], task.cards[1 - source]
    labels, engine = (item.labels[source],), resources.engine()
    job = AdversariesJob(tuple(task.budgets), labels, (item.name,))
    adversaries, own = ask(engine, job, [image], card.key, progress)
    if not task.alike:
        return own[0], ()
    return own[0], ask(engine, RanksJob(adversaries, labels), [image], other.key, progress)[0]


def _broken_key(item: Item) -> work.Key:
    return "labelled-broken", item.digest, item.name
