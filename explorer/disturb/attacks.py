"""Adversarial images: FGSM and PGD within an l-infinity ball around what the model sees.

FGSM: Goodfellow et al. 2014, https://arxiv.org/abs/1412.6572. PGD: Madry et al. 2017, https://arxiv.org/abs/1706.06083.
Captum's, with what it leaves open fixed here. The loss is cross-entropy of logits (its own takes probabilities). Pixels
are in [0, 1] with the normalisation inside the model, at its input size: after resize and crop, and after the resize
from a `source_size`; in `Space.NORMALISED` the ball is around the normalised input instead, and what comes back is in
pixels all the same. Every gradient counts (Captum's drop those below 1e-6, as small as a sure model's are).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from explorer import startup
from explorer.disturb.settings import Attack, Kind, Label, Space
from explorer.models.checkpoints import LoadedModel
from explorer.models.pixels import Batch, FromPixels, ModelView, as_batch, from_pixels
from explorer.types import ExplorerError, ModelCard, Progress

startup.captum_without_drawing()

ImageLabels = Int64[Tensor, " image"]
Forward = Callable[[Batch], Tensor]
Bounds = tuple[float, float]
"""The least and the most that disturbed values may be."""
_UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of images with known classes."""

    logits: Float[Tensor, "image class"]
    predictions: Int64[Tensor, " image"]
    loss: Float[Tensor, " image"]
    """Cross-entropy in nats."""

    def probability(self, labels: ImageLabels) -> Float[Tensor, " image"]:
        """Softmax probability of each image's label."""
        return self.logits.softmax(dim=1).gather(1, labels[:, None])[:, 0]


@dataclass(frozen=True, eq=False)
class Attacked:
    """Adversarial images and what their model says before and after; on the CPU."""

    clean: Batch
    adversarial: Batch
    labels: ImageLabels
    before: Answers
    after: Answers
    attack: Attack
    model: str
    """`ModelCard.key` of the attacked model."""

    @property
    def perturbation(self) -> Batch:
        """`adversarial - clean`, within +- `Attack.in_pixels`."""
        return self.adversarial - self.clean


def attack(
    model: LoadedModel,
    views: Sequence[ModelView],
    labels: Sequence[int] | None,
    settings: Attack,
    *,
    ids: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Attacked:
    """Attacks the images in one batch, away from their labels (the model's own predictions for `None`, or where the
    settings say so).

    `ids` name the images for the random start; their positions do by default. `progress` is told of passes of one image
    and cancels by raising. Raises `ExplorerError` for views or labels that do not fit.
    """
    if not views:
        raise ExplorerError("At least one view was expected; none came.")
    with torch.inference_mode(False), torch.no_grad():
        behind = from_pixels(model)
        pixels = torch.cat([as_batch(view, model) for view in views])
        logits = behind(pixels)
        known = _labels(None if settings.label is Label.PREDICTED else labels, logits)
        named = [str(i) for i in range(len(views))] if ids is None else ids
        adversarial = perturb(behind, pixels, known, settings, named, progress)
        before, after = answers(logits, known), answers(behind(adversarial), known)
    return Attacked(pixels.cpu(), adversarial.cpu(), known.cpu(), before, after, settings, model.card.key)


def are_alike(cards: Sequence[ModelCard]) -> bool:
    """Whether models take the same pixels and answer with the same classes, so that attacks transfer between them."""
    return len({(card.wnids, card.outputs, card.preprocessing.input_size) for card in cards}) == 1


def transfer(model: LoadedModel, attacked: Attacked) -> tuple[Answers, Answers]:
    """What another model says of the clean and of the adversarial images.

    Raises `ExplorerError` where it takes pixels of another size or has other classes.
    """
    with torch.inference_mode(False), torch.no_grad():
        behind = from_pixels(model)
        clean, disturbed = (
            behind(torch.cat([as_batch(image, model, is_bounded=False) for image in pixels]))
            for pixels in (attacked.clean, attacked.adversarial)
        )
        if clean.shape[1] != attacked.before.logits.shape[1]:
            raise ExplorerError(
                f"A model with {attacked.before.logits.shape[1]} classes was expected; {model.card.name} has "
                f"{clean.shape[1]}."
            )
        labels = _labels(attacked.labels.tolist(), clean)
        return answers(clean, labels), answers(disturbed, labels)


def perturb(
    model: FromPixels,
    pixels: Batch,
    labels: ImageLabels,
    settings: Attack,
    ids: Sequence[str],
    progress: Progress | None = None,
) -> Batch:
    """The adversarial pixels: within `eps` of the input in the settings' space, whatever the rounding.

    In pixels they are within [0, 1] as well. Raises `ExplorerError` when there is not one id for each image.
    """
    if len(ids) != pixels.shape[0]:
        raise ExplorerError(f"An id for each of {pixels.shape[0]} images was expected; {len(ids)} came.")
    if settings.eps == 0:
        return pixels.clone()
    if settings.space is Space.PIXELS:
        return _perturb(model, pixels, (0.0, 1.0), labels, settings, ids, progress)
    inputs = model.normalised(pixels)
    return model.denormalised(_perturb(model.module, inputs, _UNBOUNDED, labels, settings, ids, progress))


def _perturb(
    model: Forward,
    inputs: Batch,
    bounds: Bounds,
    labels: ImageLabels,
    settings: Attack,
    ids: Sequence[str],
    progress: Progress | None,
) -> Batch:
    """Within `eps` of the inputs and within the bounds."""
    steps = 1 if settings.kind is Kind.FGSM else settings.steps
    tell = progress or (lambda done, total: None)
    done, total = 0, steps * inputs.shape[0]
    tell(done, total)

    def forward(x: Batch) -> Tensor:
        nonlocal done
        logits = model(x)
        done += x.shape[0]
        tell(done, total)
        return logits

    with torch.no_grad():  # Captum switches gradients on where it takes them
        disturb = _fgsm if settings.kind is Kind.FGSM else _pgd
        adversarial = disturb(forward, inputs, bounds, labels, settings, ids)
        # `x + eps - x` is not eps in floating point.
        return torch.minimum(torch.maximum(adversarial, inputs - settings.eps), inputs + settings.eps).clamp(*bounds)


def _fgsm(
    forward: Forward, inputs: Batch, bounds: Bounds, labels: ImageLabels, settings: Attack, ids: Sequence[str]
) -> Batch:
    from captum.robust import FGSM

    fgsm = FGSM(forward, losses, *bounds)
    fgsm.zero_thresh = 0.0
    # Captum warns when it has to ask for the gradient itself.
    adversarial: Batch = fgsm.perturb(inputs.clone().requires_grad_(), settings.eps, labels)
    return adversarial.detach()


def _pgd(
    forward: Forward, inputs: Batch, bounds: Bounds, labels: ImageLabels, settings: Attack, ids: Sequence[str]
) -> Batch:
    from captum.robust import FGSM, PGD

    class Step(FGSM):  # type: ignore[misc]
        """Asks for the gradient before Captum warns that it has to."""

        def perturb(self, inputs: tuple[Batch, ...], *options: Any) -> Any:
            return super().perturb(tuple(x.requires_grad_() for x in inputs), *options)

    class Seeded(PGD):  # type: ignore[misc]
        """Starts where the ids say instead of where the global generator does."""

        def _random_point(self, center: Batch, radius: float, norm: str, mask: object) -> Batch:
            return center + radius * unit_noise(ids, settings.seed, center)

    pgd = Seeded(forward, losses, *bounds)
    pgd.fgsm = Step(forward, losses)
    pgd.fgsm.zero_thresh = 0.0
    adversarial: Batch = pgd.perturb(
        inputs.clone(), settings.eps, settings.step, settings.steps, labels, random_start=settings.random_start
    )
    return adversarial.detach()


def losses(logits: Float[Tensor, "image class"], labels: ImageLabels) -> Float[Tensor, " image"]:
    """Cross-entropy of each image by itself, so that no image's gradient depends on the batch it is in."""
    return F.cross_entropy(logits, labels, reduction="none")


def answers(logits: Float[Tensor, "image class"], labels: ImageLabels) -> Answers:
    """What the logits say, on the CPU in float32."""
    on_cpu, known = logits.detach().float().cpu(), labels.cpu()
    return Answers(on_cpu, on_cpu.argmax(dim=1), losses(on_cpu, known))


def unit_noise(ids: Sequence[str], seed: int, like: Batch) -> Batch:
    """Uniform noise in [-1, 1] for each image, from the seed and the image's id alone; the same at every eps."""
    drawn = []
    for name in ids:
        key = f"{seed}:{name}".encode("utf-8", "surrogateescape")  # names of files need not be Unicode
        of_image = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1
        generator = torch.Generator().manual_seed(of_image)
        drawn.append(torch.rand(like.shape[1:], generator=generator, dtype=torch.float64) * 2 - 1)
    return torch.stack(drawn).to(like)


def _labels(labels: Sequence[int] | None, logits: Float[Tensor, "image class"]) -> ImageLabels:
    if labels is None:
        return logits.argmax(dim=1)
    count, classes = logits.shape
    if len(labels) != count or not all(0 <= label < classes for label in labels):
        raise ExplorerError(
            f"A label from 0 to {classes - 1} for each of {count} images was expected; {list(labels)[:8]} came."
        )
    return torch.tensor(list(labels), dtype=torch.int64, device=logits.device)
