"""What attacks do to both models: made once, remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from explorer.disturb.attacks import Answers, Attacked, are_alike
from explorer.disturb.settings import Attack, Kind
from explorer.jobs.disturbances import AttackJob, TransferJob
from explorer.jobs.progress import parts
from explorer.measures.accuracy import Accuracy
from explorer.runs import measured as beside
from explorer.runs.robustness_file import Result
from explorer.serving.cache import once
from explorer.serving.engine import ask
from explorer.types import ModelCard, Progress
from explorer.ui import work
from explorer.ui.challenge.classes import Targets
from explorer.ui.shell import resources
from explorer.ui.shell.session import Photo, View

SWEEP_EPS = (0.0, 1.0, 2.0, 4.0, 6.0)
"""In 255ths."""


@dataclass(frozen=True, eq=False)
class Crossed:
    """An attack on one model, and what the other says of it; `None` where it cannot take it."""

    attacked: Attacked
    other: tuple[Answers, Answers] | None


def key(view: View, index: int, target: int, settings: Attack) -> work.Key:
    """Of one model's `Crossed`."""
    cards = view.pair.cards
    return *work.key(AttackJob(settings, (target,)), view.photo, cards[index]), cards[1 - index].key


def both(view: View, targets: Targets, settings: Attack, progress: Progress) -> tuple[Crossed, Crossed]:
    """Each model attacked with its own gradients, and the other asked."""
    tell = parts(progress, 2)

    def remembered(index: int) -> Crossed:
        return work.remembered(
            key(view, index, targets[index], settings),
            lambda: _crossed(view, index, targets[index], settings, tell(index)),
            lambda crossed: 8 * crossed.attacked.clean.numel() + 1024,
            tell(index),
        )

    return remembered(0), remembered(1)


def are_kept(view: View, targets: Targets, settings: Attack) -> bool:
    return all(work.kept(key(view, i, targets[i], settings)) is not None for i in (0, 1))


def _crossed(view: View, index: int, target: int, settings: Attack, progress: Progress) -> Crossed:
    card, other = view.pair.cards[index], view.pair.cards[1 - index]
    engine, pictures = resources.engine(), [view.photo.image]
    attacked = ask(engine, AttackJob(settings, (target,)), pictures, card.key, progress)
    if not are_alike((card, other)):
        return Crossed(attacked, None)
    return Crossed(attacked, ask(engine, TransferJob(attacked), pictures, other.key, progress))


# --- over the loaded images ---------------------------------------------------------------------------------------


def sweep_key(photo: Photo, card: ModelCard, settings: Attack) -> work.Key:
    return "attack-sweep", photo.digest, card.key, of_any_eps(settings)


def of_any_eps(settings: Attack) -> Attack:
    """The settings without their budget, and those FGSM has no use for."""
    if settings.kind is Kind.FGSM:
        return Attack(Kind.FGSM, eps=0.0, space=settings.space, label=settings.label)
    return replace(settings, eps=0.0)


def over_images(
    photos: Sequence[Photo], cards: Sequence[ModelCard], settings: Attack, progress: Progress
) -> list[list[Accuracy]]:
    """By model and budget: the share of images whose clean prediction survives."""
    tell = parts(progress, len(cards) * len(photos))

    def remembered(number: int, photo: Photo, card: ModelCard) -> tuple[bool, ...]:
        key = sweep_key(photo, card, settings)
        return work.remembered(key, lambda: _survives(photo, card, settings, tell(number)), 256, tell(number))

    accuracies = []
    for m, card in enumerate(cards):
        kept = [remembered(m * len(photos) + i, photo, card) for i, photo in enumerate(photos)]
        shares = torch.tensor(kept, dtype=torch.float64).mean(dim=0).tolist()
        accuracies.append([Accuracy(share, share, len(photos)) for share in shares])
    return accuracies


def sweep_is_kept(photos: Sequence[Photo], cards: Sequence[ModelCard], settings: Attack) -> bool:
    return all(work.kept(sweep_key(photo, card, settings)) is not None for photo in photos for card in cards)


def _survives(photo: Photo, card: ModelCard, settings: Attack, progress: Progress) -> tuple[bool, ...]:
    """By budget, whether the model's clean prediction stays; one turn of the engine for each budget."""
    tell, engine, pictures = parts(progress, len(SWEEP_EPS)), resources.engine(), [photo.image]
    survives = []
    for number, eps in enumerate(SWEEP_EPS):
        attacked = ask(engine, AttackJob(replace(settings, eps=eps / 255)), pictures, card.key, tell(number))
        survives.append(bool(attacked.after.predictions[0] == attacked.labels[0]))
    return tuple(survives)


# --- what was measured --------------------------------------------------------------------------------------------


@once
def measured() -> dict[str, Result]:
    """The sweeps that lie beside the pair that opens, by label."""
    return beside.results()


def of_pair(view: View) -> dict[Kind, Result]:
    """Those of this very pair, weights and filters."""
    return {result.attack.kind: result for result in beside.of_pair(measured(), view.pair.cards).values()}
