"""What a corrupted picture changes in a model: its answer, and how far its inside has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from explorer.disturb.corruptions import SEVERITIES, Corruption, corrupt
from explorer.measures import similarity
from explorer.measures.drift import drift
from explorer.measures.settings import Queries
from explorer.models import LoadedModel
from explorer.models.trace import trace
from explorer.pictures import preprocess
from explorer.settings import Option
from explorer.traces import Trace
from explorer.types import ExplorerError, Picture, Progress

ALL_STRENGTHS = (0.0, *(float(severity) for severity in SEVERITIES))


@dataclass(frozen=True)
class Choice:
    """A disturbance."""

    kind: Corruption
    strength: float
    seed: int = 0
    queries: Queries = Queries.ALL
    final_jpeg: bool = False


@dataclass(frozen=True, eq=False)
class Effect:
    """What a model says of the disturbed picture, and how far its inside has moved; on the CPU, float32."""

    strength: float
    logits: Float[Tensor, " class"]
    attention: Float[Tensor, " layer"]
    """Jensen-Shannon divergence by layer, nats."""
    tokens: Float[Tensor, " state"]
    """Cosine by state."""
    similarity: Float[Tensor, " state"]
    """Token similarity by state."""


def effects(
    model: LoadedModel, seen: Picture, choice: Choice, strengths: Sequence[float], progress: Progress | None = None
) -> list[Effect]:
    """The clean picture first, then one for each strength; `seen` is what the model sees, the choice's own strength
    does not count."""
    clean = traced(model, seen)
    by_strength = [effect(0.0, clean, clean, choice.queries)]
    for number, strength in enumerate(strengths):
        if progress:
            progress(number, len(strengths))
        disturbed = corrupt(seen, choice.kind, strength, choice.seed, final_jpeg=choice.final_jpeg).rgb
        by_strength.append(effect(strength, clean, traced(model, disturbed), choice.queries))
    return by_strength


def margin(logits: Float[Tensor, " class"], index: int) -> float:
    """Probability of a class minus that of the strongest other one; negative when another wins."""
    probabilities = logits.softmax(dim=0)
    return float(probabilities[index] - np.delete(probabilities.numpy(), index).max())


class Outcome(Option):
    """One number of a disturbed picture."""

    KEPT = "kept", "Still the clean answer"
    PROBABILITY = "probability", "Probability of the clean answer"
    MARGIN = "margin", "Margin"
    ATTENTION = "attention", "Attention drift"
    TOKENS = "tokens", "Token cosine, last layer"
    SIMILARITY = "similarity", "Token similarity, last layer"


def value(of: Effect, clean: Effect, quantity: Outcome) -> float:
    """One number of one image; of the clean answer, of the attention's mean over layers, or of the last layer."""
    answer = int(clean.logits.argmax())
    if quantity is Outcome.KEPT:
        return float(int(of.logits.argmax()) == answer)
    if quantity is Outcome.PROBABILITY:
        return float(of.logits.softmax(dim=0)[answer])
    if quantity is Outcome.MARGIN:
        return margin(of.logits, answer)
    if quantity is Outcome.ATTENTION:
        return float(of.attention.mean())
    return float(getattr(of, quantity)[-1])


def traced(model: LoadedModel, seen: Picture) -> Trace:
    """The trace of what a model sees, on the model's device. Raises `ExplorerError` for a model that cannot answer."""
    if (classes := model.module.num_classes) < 2:  # timm's models without a classifier have 0
        raise ExplorerError(f"A classifier of at least 2 classes was expected; {model.card.name} has {classes}.")
    device = next(model.module.parameters()).device
    with torch.inference_mode():
        return trace(model.module, preprocess.batch([seen], model.card.preprocessing).to(device), rows=False)[0]


def effect(strength: float, clean: Trace, disturbed: Trace, queries: Queries = Queries.ALL) -> Effect:
    """Compares two traces of one model; raises `ExplorerError` where their shapes differ."""
    moved = drift(clean, disturbed, queries)
    curve = similarity.token_similarity(disturbed)
    parts = (disturbed.logits, moved.attention, moved.tokens, curve)
    return Effect(strength, *(part.detach().float().cpu().clone() for part in parts))
