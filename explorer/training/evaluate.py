"""Top-1 and top-5 accuracy of a model on labelled images."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from explorer.measures.accuracy import Accuracy, accuracy_of
from explorer.models.pixels import normalise, resized
from explorer.training.data import Dataset
from explorer.types import Preprocessing


@torch.inference_mode()
def hits(
    model: nn.Module, data: Dataset, preprocessing: Preprocessing, batch_size: int = 250
) -> Bool[Tensor, "image 2"]:
    """Whether each image's label is the first, and among the first five, of the predictions.

    The model is in `eval` mode for the time being.
    """
    was_training = model.training
    model.eval()
    parts: list[Tensor] = []
    try:
        for start in range(0, len(data), batch_size):
            chosen = slice(start, start + batch_size)
            pixels = resized(data.images[chosen], preprocessing.input_size)
            logits: Tensor = model(normalise(pixels, preprocessing))
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices
            equal = best == data.labels[chosen, None]
            parts.append(torch.stack([equal[:, 0], equal.any(dim=1)], dim=1))
    finally:
        model.train(was_training)
    return torch.cat(parts).cpu()


def accuracy(model: nn.Module, data: Dataset, preprocessing: Preprocessing, batch_size: int = 250) -> Accuracy:
    """Shares of `hits`."""
    return accuracy_of(hits(model, data, preprocessing, batch_size))
