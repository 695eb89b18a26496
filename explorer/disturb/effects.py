"""What a disturbed picture does to one model: its answer, and how far its inside has moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from explorer import images
from explorer.disturb.drift import Queries, drift
from explorer.measures import similarity
from explorer.models import LoadedModel
from explorer.trace import trace
from explorer.types import Trace


@dataclass(frozen=True, eq=False)
class Effect:
    """What a model says of the disturbed picture, and how far its inside has moved; on the CPU, float32."""

    strength: float
    logits: Float[Tensor, " class"]
    attention: Float[Tensor, " layer"]
    """Jensen-Shannon divergence from the clean picture, nats."""
    tokens: Float[Tensor, " state"]
    """Cosine with the clean picture's tokens."""
    similarity: Float[Tensor, " state"]
    """Token similarity."""


def traced(model: LoadedModel, seen: UInt8[np.ndarray, "height width 3"]) -> Trace:
    """The trace of what a model sees, on the model's device."""
    device = next(model.module.parameters()).device
    with torch.inference_mode():
        return trace(model.module, images.batch([seen], model.card.preprocessing).to(device))[0]


def effect(strength: float, clean: Trace, disturbed: Trace, queries: Queries = Queries.ALL) -> Effect:
    """Compares two traces of one model; raises `ExplorerError` where their shapes differ."""
    moved = drift(clean, disturbed, queries)
    curve = similarity.token_similarity(disturbed)
    parts = (disturbed.logits, moved.attention, moved.tokens, curve)
    return Effect(strength, *(part.detach().float().cpu().clone() for part in parts))


def margin(logits: Float[Tensor, " class"], index: int) -> float:
    """Probability of a class minus that of the strongest other one; negative when another wins."""
    probabilities = logits.softmax(dim=0)
    return float(probabilities[index] - np.delete(probabilities.numpy(), index).max())
