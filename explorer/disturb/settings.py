"""What an attack may do: its budget and steps, what they are measured in, and which class it leads away from.

Without torch, for the commands whose options these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from explorer.settings import Option, setting
from explorer.types import ExplorerError, ModelCard

MAX_EPS = 8 / 255
MAX_STEPS = 200


class Kind(Option):
    """Which attack."""

    FGSM = "fgsm", "FGSM"
    """`x + eps sign(grad)`, one step."""
    PGD = "pgd", "PGD"
    """Steps of `step sign(grad)`, each followed by a projection into the ball (and into [0, 1] in pixels)."""


class Space(Option):
    """What a budget and its steps are measured in."""

    PIXELS = "pixels"
    """Pixels of [0, 1], which no step leaves."""
    NORMALISED = "normalised"
    """`(pixels - mean) / std`, which the model's module takes. Nothing is clipped: pixels may leave [0, 1]."""


class Label(Option):
    """Which class an attack leads away from."""

    GIVEN = "given", "class of the image"
    PREDICTED = "predicted", "own prediction"
    """What the attacked model says of the clean image, right or wrong."""


@dataclass(frozen=True)
class Attack:
    """Settings of an attack; sizes in shares of 1, of the range of pixels or of units of the normalised input."""

    kind: Kind = setting(Kind.FGSM, "with each model's own gradients", flag="attack")
    eps: float = 4 / 255
    steps: int = setting(20, "of pgd")
    step_size: float | None = None
    """Of PGD; without it and a share `2.5 eps / steps`, as Madry et al. recommend."""
    random_start: bool = setting(False, "pgd starts at a random point of the ball")
    """It depends on the seed and the image's id alone."""
    seed: int = setting(0, "of the random start")
    step_share: float | None = setting(None, "step of pgd as a share of eps, such as 0.15, instead of a step size")
    space: Space = setting(
        Space.PIXELS,
        "what eps and steps are 255ths of: a pixel's range, or a unit of the normalised input, not clipped",
    )
    label: Label = setting(Label.GIVEN, "class that is attacked: the image's, or the model's own prediction")

    def __post_init__(self) -> None:
        step_is_sound = all(step is None or 0 < step <= 1 for step in (self.step_size, self.step_share))
        if not (0 <= self.eps <= MAX_EPS + 1e-9 and 1 <= self.steps <= MAX_STEPS and step_is_sound):
            raise ExplorerError(
                f"An eps of 0 to 8/255, 1 to {MAX_STEPS} steps and a step size or share of 0 to 1 were expected; "
                f"{255 * self.eps:g}/255, {self.steps}, {self.step_size} and {self.step_share} came."
            )
        if self.step_size is not None and self.step_share is not None:
            raise ExplorerError("A step size or a step share was expected; both came.")

    @property
    def step(self) -> float:
        """Length of one step."""
        if self.step_share is not None:
            return self.step_share * self.eps
        return 2.5 * self.eps / self.steps if self.step_size is None else self.step_size

    @property
    def unit(self) -> str:
        """Of budgets and steps, on an axis."""
        return "255ths" if self.space is Space.PIXELS else "255ths of normalised units"

    def sentence(self) -> str:
        """The settings in words."""
        length = f"{255 * self.step:.3g}/255"
        step = length if self.step_share is None else f"{self.step_share:g} eps ({length})"
        return f"{self._words(f', eps {255 * self.eps:g}/255', step)}."

    def rule(self) -> str:
        """The settings without their budget, in words."""
        if self.step_size is not None:
            return self._words("", f"{255 * self.step_size:.3g}/255")
        return self._words("", "2.5 eps over their number" if self.step_share is None else f"{self.step_share:g} eps")

    def _words(self, budget: str, step: str) -> str:
        parts = [f"{self.kind.label}{budget}"]
        if self.kind is Kind.PGD:
            start = f"a random start (seed {self.seed})" if self.random_start else "the image itself"
            parts.append(f"{self.steps} steps of {step} from {start}")
        if self.space is Space.NORMALISED:
            parts.append("on the normalised input, not clipped")
        if self.label is Label.PREDICTED:
            parts.append("away from the model's own prediction")
        return ", ".join(parts)

    def in_pixels(self, card: ModelCard) -> tuple[float, ...]:
        """The budget by channel in pixels of [0, 1], for a model of this normalisation."""
        return tuple(self.eps * (std if self.space is Space.NORMALISED else 1.0) for std in card.preprocessing.std)


FGSM_PIXELS = Attack(Kind.FGSM, eps=4 / 255)
"""The paper's budget (App. B.2), in pixels."""
PGD_PIXELS = Attack(Kind.PGD, eps=4 / 255, steps=20, step_share=0.15, random_start=True)
"""The paper's "20 steps with step size of 0.15", the step read as a share of eps; a random start is Madry et al.'s."""
FGSM_HAN = replace(FGSM_PIXELS, space=Space.NORMALISED, label=Label.PREDICTED)
PGD_HAN = replace(PGD_PIXELS, space=Space.NORMALISED, label=Label.PREDICTED)
"""The call in code of the paper's group: Han et al. 2023 (aaronhan223/robust_transformer, imagenet/engine.py) and
Elliptical Attention (Elliptical_ImAttack/engine.py, with these very steps).

It gives cleverhans normalised images and neither labels nor bounds, which then takes the model's own predictions,
starts at random and clips nothing. What the paper did is said nowhere; the code released with it holds no attack.
"""


def units(settings: Attack, cards: Sequence[ModelCard]) -> str:
    """The budget in pixels and on the normalised input, on average over channels and by channel, in 255ths.

    `4/255 of the normalised input = 0.90/255 in pixels on average (0.92, 0.90, 0.90)`; of each model where they differ.
    """
    ours, other = "in pixels", "of the normalised input"
    if settings.space is Space.NORMALISED:
        ours, other = other, ours
    by_std = {card.preprocessing.std: card for card in cards}
    conversions = []
    for std, card in by_std.items():
        there = [
            255 * (of_pixels if settings.space is Space.NORMALISED else settings.eps / scale)
            for of_pixels, scale in zip(settings.in_pixels(card), std, strict=True)
        ]
        channels = ", ".join(f"{eps:.2f}" for eps in there)
        name = f" for {card.title}" if len(by_std) > 1 else ""
        conversions.append(f"{sum(there) / len(there):.2f}/255 {other} on average ({channels}){name}")
    return f"{255 * settings.eps:g}/255 {ours} = {'; '.join(conversions)}"
