"""What attacks do to both models: made once, remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
import torch

from explorer.disturb.attacks import Answers, Attack, Attacked, Kind, are_alike
from explorer.measures.accuracy import Accuracy
from explorer.models import LoadedModel
from explorer.pictures import preprocess
from explorer.runs import measured as beside
from explorer.runs.robustness_file import Result
from explorer.types import ModelCard, Progress
from explorer.ui import work
from explorer.ui.challenge.classes import Targets
from explorer.ui.shell import resources
from explorer.ui.shell.session import Photo, View

PAPER_TOP1 = (("clean", 72.00, 72.60), ("FGSM", 29.88, 32.28), ("PGD", 8.16, 9.15))
"""ImageNet top-1 of DeiT and DeiT-Twicing as the paper reports them, in percent."""
SWEEP_EPS = (0.0, 1.0, 2.0, 4.0, 6.0)
"""In 255ths."""


@dataclass(frozen=True, eq=False)
class Crossed:
    """An attack on one model, and what the other says of it; `None` where it cannot take it."""

    attacked: Attacked
    other: tuple[Answers, Answers] | None


def _seen(photo: Photo, card: ModelCard) -> np.ndarray:
    return preprocess.model_view(photo.image.rgb, card.preprocessing)


def key(view: View, index: int, target: int, settings: Attack) -> work.Key:
    cards = view.pair.cards
    return "attack", view.photo.digest, cards[index].key, cards[1 - index].key, target, settings


def both(view: View, targets: Targets, settings: Attack, progress: Progress) -> tuple[Crossed, Crossed]:
    """Each model attacked with its own gradients, and the other asked."""
    tell = work.parts(progress, 2)
    first, second = (
        work.remembered(
            key(view, i, targets[i], settings),
            lambda i=i: _crossed(view, i, targets[i], settings, tell(i)),  # type: ignore[misc]
            lambda made: 8 * made.attacked.clean.numel() + 1024,
        )
        for i in (0, 1)
    )
    return first, second


def are_kept(view: View, targets: Targets, settings: Attack) -> bool:
    return all(work.kept(key(view, i, targets[i], settings)) is not None for i in (0, 1))


def _crossed(view: View, index: int, target: int, settings: Attack, progress: Progress) -> Crossed:
    card, other = view.pair.cards[index], view.pair.cards[1 - index]

    def task(model: LoadedModel, tell: Progress) -> Attacked:
        from explorer.disturb.attacks import attack

        return attack(model, [_seen(view.photo, card)], [target], settings, ids=[view.photo.digest], progress=tell)

    def asked(model: LoadedModel, tell: Progress) -> tuple[Answers, Answers] | None:
        from explorer.disturb.attacks import transfer

        counts = attacked.before.logits.shape[1], model.module.num_classes
        return transfer(model, attacked) if are_alike((card, other), counts) else None

    attacked = resources.engine().run(card.key, task, progress)
    return Crossed(attacked, resources.engine().run(other.key, asked, progress))


# --- over the loaded images ---------------------------------------------------------------------------------------


def sweep_key(photo: Photo, card: ModelCard, settings: Attack) -> work.Key:
    return "attack-sweep", photo.digest, card.key, of_any_eps(settings)


def of_any_eps(settings: Attack) -> Attack:
    """The settings without their budget, and those FGSM has no use for."""
    return Attack(Kind.FGSM, eps=0.0) if settings.kind is Kind.FGSM else replace(settings, eps=0.0)


def over_images(
    photos: Sequence[Photo], cards: Sequence[ModelCard], settings: Attack, progress: Progress
) -> list[list[Accuracy]]:
    """By model and budget: the share of images whose clean prediction survives."""
    tell = work.parts(progress, len(cards) * len(photos))
    found = []
    for m, card in enumerate(cards):
        kept = [
            work.remembered(
                sweep_key(photo, card, settings),
                lambda photo=photo, card=card, part=tell(m * len(photos) + i): _survives(photo, card, settings, part),  # type: ignore[misc]
                256,
            )
            for i, photo in enumerate(photos)
        ]
        shares = torch.tensor(kept, dtype=torch.float64).mean(dim=0).tolist()
        found.append([Accuracy(share, share, len(photos)) for share in shares])
    return found


def sweep_is_kept(photos: Sequence[Photo], cards: Sequence[ModelCard], settings: Attack) -> bool:
    return all(work.kept(sweep_key(photo, card, settings)) is not None for photo in photos for card in cards)


def _survives(photo: Photo, card: ModelCard, settings: Attack, progress: Progress) -> tuple[bool, ...]:
    """By budget, whether the model's clean prediction stays; one turn of the engine for each budget."""
    tell = work.parts(progress, len(SWEEP_EPS))
    found = []
    for number, eps in enumerate(SWEEP_EPS):

        def task(model: LoadedModel, part: Progress, eps: float = eps) -> bool:
            from explorer.disturb.attacks import attack

            budget = replace(settings, eps=eps / 255)
            one = attack(model, [_seen(photo, card)], None, budget, ids=[photo.digest], progress=part)
            return bool(one.after.predictions[0] == one.labels[0])

        found.append(resources.engine().run(card.key, task, tell(number)))
    return tuple(found)


# --- what was measured --------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def measured() -> dict[str, Result]:
    """The sweeps that lie beside the pair that opens, by label."""
    return beside.results()


def of_pair(view: View) -> dict[Kind, Result]:
    """Those of this very pair, weights and filters."""
    return {beside.kind(result): result for result in beside.of_pair(measured(), view.pair.cards).values()}
