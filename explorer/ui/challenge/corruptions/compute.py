"""What a corruption does to a model: made once, remembered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.disturb.corruptions import corrupt, severities, source
from explorer.disturb.effects import ALL_STRENGTHS, Choice, Effect, Outcome, value
from explorer.jobs.disturbances import CorruptionJob
from explorer.jobs.progress import parts
from explorer.pictures import preprocess
from explorer.types import ModelCard, Progress
from explorer.ui import work
from explorer.ui.shell.session import Photo, array


def before_and_after(photo: Photo, card: ModelCard, choice: Choice) -> tuple[np.ndarray, np.ndarray, str]:
    """What the model sees of the photograph, of the disturbed one, and the disturbance in words."""
    seen = preprocess.model_view(photo.image.rgb, card.preprocessing)
    disturbed = corrupt(seen, choice.kind, choice.strength, choice.seed, final_jpeg=choice.final_jpeg)
    return seen, disturbed.rgb, disturbed.sentence()


def about(cards: Sequence[ModelCard], choice: Choice) -> str:
    """What the severities are and whose, once for each size that the models see."""
    sides = dict.fromkeys(min(card.preprocessing.input_size) for card in cards)
    lines = [f"{severities(choice.kind, side)} {source(choice.kind, side)}." for side in sides]
    if len(lines) == 1:
        return lines[0]
    return " ".join(f"At {side} px: {line}" for side, line in zip(sides, lines, strict=True))


def job(choice: Choice, strengths: Sequence[float]) -> CorruptionJob:
    """The choice's own strength does not count."""
    return CorruptionJob(choice.kind, tuple(strengths), choice.seed, choice.queries, choice.final_jpeg)


def effects(
    photo: Photo, card: ModelCard, choice: Choice, strengths: Sequence[float], progress: Progress | None = None
) -> list[Effect]:
    """The clean picture first, then one for each strength."""
    return work.ask(
        job(choice, strengths),
        photo,
        card,
        lambda series: sum(4 * (e.logits.numel() + 3 * e.tokens.numel()) + 256 for e in series),
        progress,
    )


DEFINITIONS = """
- **Clean answer**: the class a model puts first on the clean picture; **still the clean answer**: share of images for
  which it stays first.
- **Margin**: probability of the clean answer minus that of the strongest other class; below 0 another class has won.
- **Attention drift**: Jensen-Shannon divergence in nats (0 to ln 2 ≈ 0.69) between the rows of A of the clean and of
  the disturbed picture, mean over heads and queries (in the sweep, over layers too). On A, because rows of the
  effective matrix need not be distributions.
- **Token cosine**: cosine of each patch token with itself in the other picture, mean over patches; 1 has not turned.
- **Token similarity**: mean cosine between different patch tokens of one picture, as on its own page.
"""


def sweep(
    photos: Sequence[Photo], cards: Sequence[ModelCard], choice: Choice, progress: Progress
) -> list[list[list[Effect]]]:
    """By model, image and severity."""
    part = parts(progress, len(cards) * len(photos))
    return [
        [effects(photo, card, choice, ALL_STRENGTHS[1:], part(m * len(photos) + i)) for i, photo in enumerate(photos)]
        for m, card in enumerate(cards)
    ]


def sweep_is_kept(photos: Sequence[Photo], cards: Sequence[ModelCard], choice: Choice) -> bool:
    whole = job(choice, ALL_STRENGTHS[1:])
    return all(work.kept(work.key(whole, photo, card)) is not None for photo in photos for card in cards)


def curve(of_model: Sequence[Sequence[Effect]], quantity: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Mean over images by strength, and their standard deviation."""
    values = np.array([[value(effect, effects[0], quantity) for effect in effects] for effects in of_model])
    return values.mean(axis=0), values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])


def clean_and_disturbed(series: Sequence[Effect]) -> tuple[np.ndarray, np.ndarray]:
    """Token similarity by layer of both."""
    return array(series[0].similarity), array(series[1].similarity)
