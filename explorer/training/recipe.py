"""What decides the outcome of a training run besides the data, and its schedule: numbers by step, nothing else.

A run is a *trunk*, which has a constant rate after its warm-up and no end of its own, and *decays* that branch off it:
the trunk goes on from before each, so that a finished pair can be had at any time without ending the run (warm-up,
constant, decay: https://arxiv.org/abs/2405.18392).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from explorer.settings import MANY, SIDES, check, check_number, setting
from explorer.types import ExplorerError, Filter, Interpolation

_SHARE = (0.0, 1.0)
_STEPS = (0, MANY)
_LARGEST_BATCH = 65_536


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random transforms, see `augment`."""

    scale: tuple[float, float] = (0.5, 1.0)
    """Area of the crop as a share of the image."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    rotation: float = setting(5.0, "largest rotation in degrees, either way", (0.0, 180.0))
    colour: float = setting(0.2, "largest change of brightness, contrast and saturation, as a share", _SHARE)
    erase: float = setting(0.0, "probability of erasing a rectangle", _SHARE)
    interpolation: Interpolation = Interpolation.BILINEAR
    """Bicubic where the views are larger than the images, as validation images are enlarged."""

    def __post_init__(self) -> None:
        check(self)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ExplorerError(f"A scale of the crop above 0 and up to 1 was expected; {self.scale[0]:g} came.")


@dataclass(frozen=True)
class Recipe:
    """Settings that every model of a run shares."""

    architecture: str
    start: str | None = None
    """SHA-256 of the weights that training starts from; random ones where there are none."""
    sizes: tuple[tuple[float, int], ...] = ((0.0, 112),)
    """From so many epochs on, pixels a side; the position embedding is resampled on the fly."""
    batch_size: int = setting(32, "images a step, an even number")
    lr: float = setting(8e-5, "learning rate of the head", (0.0, 10.0))
    layer_decay: float = setting(0.85, "each block's rate as a share of the next one's", _SHARE)
    weight_decay: float = 0.05
    warmup_steps: int = setting(30, "in which the rate rises", _STEPS)
    operator_warmup: int = setting(
        0, "steps in which a of aA + (1 - a)A² goes from 1 to what the model declares", _STEPS
    )
    label_smoothing: float = 0.1
    mixup: float = setting(0.0, "alpha of Mixup", (0.0, 100.0))
    cutmix: float = setting(0.0, "alpha of CutMix", (0.0, 100.0))
    mix_probability: float = setting(0.0, "that a batch is mixed", _SHARE)
    drop_path: float = setting(0.0, "stochastic depth of the last block", _SHARE)
    ema_decay: float = setting(0.995, "decay of the moving average", _SHARE, flag="ema")
    clip: float = 1.0
    probe: int = setting(25, "images a class that the head is fitted on before training, with --init", (1, 10_000))
    seed: int = setting(0, "of batches, augmentation and what is random in the weights", (0, 10**9))
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check(self)
        epochs = [epoch for epoch, _ in self.sizes]
        if not epochs or epochs[0] != 0.0 or epochs != sorted(set(epochs)):
            raise ExplorerError(f"Sizes from epoch 0 on, each from a later one, were expected; {self.sizes} came.")
        for _, size in self.sizes:
            check_number("sizes", size, SIDES)
        if not 2 <= self.batch_size <= _LARGEST_BATCH or self.batch_size % 2:
            raise ExplorerError(
                f"Mixup pairs images up: an even batch of up to {_LARGEST_BATCH} was expected; {self.batch_size} came."
            )

    def size(self, step: int, images: int) -> int:
        """Pixels a side at a step of the trunk, with so many images in an epoch."""
        epoch = step * self.batch_size / images
        return [size for first, size in self.sizes if first <= epoch][-1]

    def operator(self, filter: Filter, step: int) -> Filter:
        """What the blocks apply at a step: `1 + (a - 1) t`, `t` from 0 to 1 over the operator's warm-up.

        Of NeuTRENO `alpha t`, of AttnScale `lambda t`; other operators have no way there from the standard one.
        """
        from explorer.paper import operators  # torch comes with it, and this module with the help of `train`

        share = min(1.0, step / self.operator_warmup) if self.operator_warmup else 1.0
        return tuple(operators.towards(operator, share) for operator in filter)

    def rate(self, step: int, decay: Decay | None = None, since: int = 0, warmup: int | None = None) -> float:
        """The learning rate of the head: a linear rise from `since`, a constant, and in a decay a line towards 0."""
        steps = self.warmup_steps if warmup is None else warmup
        rise = min(1.0, (step - since + 1) / steps) if steps else 1.0
        return self.lr * rise * (1.0 if decay is None else (decay.end - step) / decay.steps)

    def average(self, decay: Decay | None = None) -> float:
        """Decay of the moving average; within a decay of the rate it forgets in a fifth of the steps at most."""
        return self.ema_decay if decay is None else min(self.ema_decay, max(0.0, 1.0 - 5.0 / decay.steps))


@dataclass(frozen=True)
class Decay:
    """A branch off the trunk in which the rate goes to 0; the trunk goes on from before it."""

    at: int
    """The step of the trunk that it leaves."""
    steps: int
    size: int
    """Pixels a side."""
    last: bool = False
    """Whether the run ends with it."""

    def __post_init__(self) -> None:
        check_number("steps", self.steps, (1, MANY))
        check_number("size", self.size, SIDES)

    @property
    def end(self) -> int:
        return self.at + self.steps

    @property
    def name(self) -> str:
        return f"decay-{self.at}"


def operators(text: str, depth: int) -> dict[str, Filter]:
    """`standard,twicing,twicing@10-12,neutreno=0.4` as the operators of each model of a run by its name.

    Raises `ExplorerError` for other words, blocks that are not there, and one operator given twice.
    """
    from explorer.paper.operators import in_blocks

    chosen: dict[str, Filter] = {}
    for word in text.split(","):
        filter = in_blocks(word, depth)
        if filter in chosen.values() or word.startswith("standard@"):
            raise ExplorerError(f"Operators such as standard,twicing,twicing@10-12 were expected; {text[:80]!r} came.")
        chosen[variant_name(word)] = filter
    return chosen


def variant_name(operator: str) -> str:
    """The operator as part of a file's name: `twicing@10-12` is `twicing-10-12`."""
    return re.sub(r"[@=]", "-", operator)
