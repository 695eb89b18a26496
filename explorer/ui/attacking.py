"""Controls of the attacks page, and what attacks do to both models: made once, remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
import torch

from explorer.disturb.attacks import PAPER_FGSM, PAPER_PGD, Answers, Attack, Attacked, Kind, are_alike
from explorer.measures.accuracy import Accuracy
from explorer.models import LoadedModel
from explorer.pictures import preprocess
from explorer.runs import measured as beside
from explorer.runs.robustness_file import Result
from explorer.types import ModelCard, Progress
from explorer.ui import resources, work
from explorer.ui.classes import Targets
from explorer.ui.session import Photo, View

PRESETS = {"paper FGSM": PAPER_FGSM, "paper PGD": PAPER_PGD, "custom": None}
PAPER_TOP1 = (("clean", 72.00, 72.60), ("FGSM", 29.88, 32.28), ("PGD", 8.16, 9.15))
"""ImageNet top-1 of DeiT and DeiT-Twicing as the paper reports them, in percent."""
SWEEP_EPS = (0.0, 1.0, 2.0, 4.0, 6.0)
"""In 255ths."""


@dataclass(frozen=True, eq=False)
class Crossed:
    """An attack on one model, and what the other says of it; `None` where it cannot take it."""

    attacked: Attacked
    other: tuple[Answers, Answers] | None


def choose() -> Attack:
    """The attack's settings: the paper's, or any."""
    preset_column, kind_column, eps_column, steps_column, size_column = st.columns([9, 5, 6, 4, 4], gap="medium")
    preset = preset_column.segmented_control(
        "Settings",
        list(PRESETS),
        default="paper FGSM",
        key="attack-preset",
        required=True,
        persist_state="session",
        help="The paper's (App. B.2): eps 4/255, PGD with 20 steps of 0.15. It gives no unit for the step; we read "
        "0.15/255, so that 20 steps reach 3/255 and never the border of the ball.",
    )
    paper = PRESETS[str(preset)]
    if paper is not None:
        return paper
    kind = kind_column.segmented_control(
        "Attack",
        list(Kind),
        default=Kind.PGD,
        format_func=str,
        key="attack-kind",
        required=True,
        persist_state="session",
    )
    eps = eps_column.slider(
        "eps, 255ths",
        0.0,
        8.0,
        4.0,
        0.5,
        key="attack-eps",
        persist_state="session",
        help="The most any pixel's channel may change, in 255ths of its range, at the model's input.",
    )
    if kind == Kind.FGSM:
        return Attack(Kind.FGSM, eps=eps / 255)
    steps = steps_column.number_input("Steps", 1, 100, 20, key="attack-steps", persist_state="session")
    size = size_column.number_input(
        "Step, 255ths",
        0.0,
        8.0,
        0.0,
        0.05,
        key="attack-step",
        persist_state="session",
        help="0: 2.5 eps / steps, as Madry et al. recommend.",
    )
    start = steps_column.toggle("Random start", key="attack-start", persist_state="session")
    seed = size_column.number_input("Seed", 0, 9999, 0, key="attack-seed", persist_state="session") if start else 0
    return Attack(Kind.PGD, eps / 255, int(steps), size / 255 if size else None, start, int(seed))


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
