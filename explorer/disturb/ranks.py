"""What attacks leave of an answer: the rank of the label among the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from explorer.disturb.attacks import perturb
from explorer.disturb.settings import Attack, Label
from explorer.models.checkpoints import LoadedModel
from explorer.models.pixels import Batch, ModelView, as_batch, from_pixels
from explorer.types import Progress


@torch.no_grad()
@torch.inference_mode(False)
def adversaries(
    model: LoadedModel,
    views: Sequence[ModelView],
    labels: Sequence[int],
    budgets: Sequence[Attack],
    ids: Sequence[str],
    progress: Callable[[int], Progress] | None = None,
) -> list[Batch]:
    """What the model's gradients make of a batch of images under each budget; `progress` is that of each budget."""
    behind = from_pixels(model)
    pixels = torch.cat([as_batch(view, model) for view in views])
    known = {Label.GIVEN: torch.tensor(labels, device=pixels.device)}
    if any(budget.label is Label.PREDICTED for budget in budgets):
        known[Label.PREDICTED] = behind(pixels).argmax(dim=1)
    return [
        perturb(behind, pixels, known[budget.label], budget, ids, progress and progress(i))
        for i, budget in enumerate(budgets)
    ]


@torch.no_grad()
@torch.inference_mode(False)
def ranks_of(model: LoadedModel, batches: Sequence[Batch], labels: Sequence[int]) -> list[tuple[int, ...]]:
    """By image, the ranks of its label in each of the batches, which are the same images disturbed."""
    behind = from_pixels(model)
    logits = [behind(torch.cat([as_batch(image, model, is_bounded=False) for image in batch])) for batch in batches]
    known = torch.tensor(labels, device=logits[0].device)
    return [
        tuple(ranks) for ranks in torch.stack([label_ranks(of_batch, known) for of_batch in logits], dim=1).tolist()
    ]


def label_ranks(logits: Float[Tensor, "image class"], labels: Int64[Tensor, " image"]) -> Int64[Tensor, " image"]:
    """1 for the label with the largest logit; a logit that is not a number never counts as a hit."""
    own = logits.gather(1, labels[:, None])
    others = ~(logits <= own)
    others.scatter_(1, labels[:, None], False)
    # An image whose own logit is NaN is behind every other class.
    return 1 + others.sum(dim=1)
