"""What a model card says of a model beyond its accuracy: measures over labelled images, and what a forward pass costs.

Images stream through in small batches and only curves and counts are kept, so memory does not grow with traces.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from explorer.measures import residual, similarity, spectrum
from explorer.measures.similarity import Band
from explorer.models.checkpoints import LoadedModel
from explorer.models.pixels import normalise, resized
from explorer.models.trace import trace
from explorer.traces import Trace
from explorer.training.data import Dataset
from explorer.types import ExplorerError

ROUNDS = 30
"""Timed passes of each model, after a few that are not."""
_WARM_UP = 3


@dataclass(frozen=True)
class Eigenvalues:
    """Counts over the eigenvalues of `A` in all layers and heads of some images; `2 lambda - lambda^2` maps them."""

    count: int
    vanishing: int
    """No larger than their noise, so not to be told from 0 (`Spectrum.vanishing`)."""
    on_curve: int
    """Of the others, real and not negative up to noise (`Spectrum.on_curve`)."""
    leaving: int
    """Mapped out of the unit disc."""
    largest: float
    """Largest modulus of the mapped ones."""

    @property
    def real_share(self) -> float:
        """Real and not negative among those that can be told from 0."""
        return self.on_curve / max(1, self.count - self.vanishing)

    def __add__(self, other: Eigenvalues) -> Eigenvalues:
        return Eigenvalues(
            self.count + other.count,
            self.vanishing + other.vanishing,
            self.on_curve + other.on_curve,
            self.leaving + other.leaving,
            max(self.largest, other.largest),
        )


@dataclass(frozen=True, eq=False)
class Measures:
    """Of one model over images: mean and standard deviation between images by layer, and its eigenvalues."""

    similarity: Band
    """Mean signed cosine over pairs of patch tokens, after the embedding and after every block."""
    outputs: Band
    """The same of the attention outputs, heads joined, before the projection, by layer."""
    ratio: Band
    """`||A(V - AV)||_F / ||AV||_F`, mean over heads, by layer."""
    eigenvalues: Eigenvalues


def measure(model: LoadedModel, data: Dataset, chosen: Int64[Tensor, " image"], batch_size: int = 8) -> Measures:
    """Traces the chosen images batch by batch."""
    curves: list[Tensor] = []
    outputs: list[Tensor] = []
    ratios: list[Tensor] = []
    counts = Eigenvalues(0, 0, 0, 0, 0.0)
    pre = model.card.preprocessing
    for part in chosen.split(batch_size):
        pixels = normalise(resized(data.images[part.to(data.images.device)], pre.input_size), pre)
        for traced in trace(model.module, pixels):
            curves.append(similarity.token_similarity(traced).double().cpu())
            outputs.append(similarity.of_outputs(traced).double().cpu())
            ratios.append(residual.magnitudes(traced).ratio.mean(dim=-1).double().cpu())
            counts += eigenvalues(traced)
    return Measures(similarity.band(curves), similarity.band(outputs), similarity.band(ratios), counts)


def eigenvalues(traced: Trace) -> Eigenvalues:
    """Counts over all layers and heads of an image."""
    counts = Eigenvalues(0, 0, 0, 0, 0.0)
    for layer in spectrum.spectra([(traced, layer) for layer in range(traced.depth)]):
        counts += Eigenvalues(
            layer.eigenvalues.numel(),
            int(layer.vanishing().sum()),
            int(layer.on_curve().sum()),
            layer.leaving_unit_disc(),
            float(layer.mapped().abs().max()),
        )
    return counts


@torch.inference_mode()
def forward_times(models: Sequence[LoadedModel], batch: int, rounds: int = ROUNDS) -> list[float]:
    """Median seconds per image of each model's plain fused forward pass on random pixels, interleaved by rounds."""
    if batch < 1:
        raise ExplorerError(f"A batch of at least 1 image was expected; {batch} came.")
    taken: list[list[float]] = [[] for _ in models]
    inputs = []
    for model in models:
        device = next(model.module.parameters()).device
        inputs.append(torch.randn(batch, 3, *model.card.preprocessing.input_size, device=device))
    for number in range(_WARM_UP + rounds):
        for model, x, seconds in zip(models, inputs, taken, strict=True):
            _wait(x.device)
            started = time.perf_counter()
            model.module(x)
            _wait(x.device)
            if number >= _WARM_UP:
                seconds.append(time.perf_counter() - started)
    return [statistics.median(seconds) / batch for seconds in taken]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
