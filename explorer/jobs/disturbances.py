"""What corruptions and attacks do to a model's answers. Captum comes with the first attack that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from explorer.disturb import effects, ranks
from explorer.disturb.attacks import Answers, Attacked, attack, transfer
from explorer.disturb.corruptions import Corruption, corrupt
from explorer.disturb.effects import Choice, Effect
from explorer.disturb.settings import Attack
from explorer.jobs import Job, views
from explorer.jobs.progress import parts
from explorer.measures.settings import Queries
from explorer.models import LoadedModel
from explorer.models.pixels import Batch
from explorer.traces import Trace
from explorer.types import ImageInput, Progress


@dataclass(frozen=True)
class CorruptionJob(Job[list[Effect]]):
    """The clean picture first, then one effect for each strength."""

    kind: Corruption
    strengths: tuple[float, ...]
    seed: int = 0
    queries: Queries = Queries.ALL
    final_jpeg: bool = False

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> list[Effect]:
        (view,) = views(model, pictures)
        choice = Choice(self.kind, 0.0, self.seed, self.queries, self.final_jpeg)
        return effects.effects(model, view, choice, self.strengths, tell)


@dataclass(frozen=True)
class CorruptedTraceJob(Job[Trace]):
    """The trace of the disturbed picture, for a model that can answer; it is large and not remembered."""

    kind: Corruption
    strength: float
    seed: int = 0
    final_jpeg: bool = False

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> Trace:
        (view,) = views(model, pictures)
        disturbed = corrupt(view, self.kind, self.strength, self.seed, final_jpeg=self.final_jpeg)
        return effects.traced(model, disturbed.rgb)


@dataclass(frozen=True)
class AttackJob(Job[Attacked]):
    """All pictures in one batch; the digests name them for a random start."""

    attack: Attack
    labels: tuple[int, ...] | None = None
    """A class for each picture, the model's own predictions for `None`."""

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> Attacked:
        names = [picture.digest for picture in pictures]
        return attack(model, views(model, pictures), self.labels, self.attack, ids=names, progress=tell)


@dataclass(frozen=True, eq=False)
class TransferJob(Job[tuple[Answers, Answers]]):
    """What another model says of the clean and of the adversarial pixels, which are all it needs."""

    attacked: Attacked

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> tuple[Answers, Answers]:
        return transfer(model, self.attacked)


@dataclass(frozen=True)
class AdversariesJob(Job[tuple[list[Batch], list[tuple[int, ...]]]]):
    """What each budget makes of labelled pictures, and by picture the ranks of its label under each."""

    budgets: tuple[Attack, ...]
    labels: tuple[int, ...]
    names: tuple[str, ...]
    """Of the pictures, for a random start."""

    def run(
        self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress
    ) -> tuple[list[Batch], list[tuple[int, ...]]]:
        each = parts(tell, len(self.budgets))
        adversarial = ranks.adversaries(model, views(model, pictures), self.labels, self.budgets, self.names, each)
        return adversarial, ranks.ranks_of(model, adversarial, self.labels)


@dataclass(frozen=True, eq=False)
class RanksJob(Job[list[tuple[int, ...]]]):
    """By picture the ranks of its label in another model, shown pixels that were made to fool the first."""

    batches: Sequence[Batch]
    labels: tuple[int, ...]

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> list[tuple[int, ...]]:
        return ranks.ranks_of(model, self.batches, self.labels)
