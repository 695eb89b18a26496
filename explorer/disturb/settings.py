"""What is asked of an attack; without torch, for the commands whose options these are."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.settings import Option, setting
from explorer.types import ExplorerError

MAX_EPS = 8 / 255
MAX_STEPS = 200


class Kind(Option):
    """Which attack."""

    FGSM = "fgsm", "FGSM"
    """`x + eps sign(grad)`, one step."""
    PGD = "pgd", "PGD"
    """Steps of `step_size sign(grad)`, each followed by a projection into the ball and into [0, 1]."""


@dataclass(frozen=True)
class Attack:
    """Settings of an attack; sizes in pixels of [0, 1]."""

    kind: Kind = setting(Kind.FGSM, "with each model's own gradients", flag="attack")
    eps: float = 4 / 255
    steps: int = setting(20, "of pgd")
    step_size: float | None = None
    """Of PGD; `2.5 eps / steps` by default, as Madry et al. recommend."""
    random_start: bool = setting(False, "pgd starts at a random point of the ball")
    """It depends on the seed and the image's id alone."""
    seed: int = setting(0, "of the random start")

    def __post_init__(self) -> None:
        step_is_sound = self.step_size is None or 0 < self.step_size <= 1
        if not (0 <= self.eps <= MAX_EPS + 1e-9 and 1 <= self.steps <= MAX_STEPS and step_is_sound):
            raise ExplorerError(
                f"An eps of 0 to 8/255, 1 to {MAX_STEPS} steps and a step size of 0 to 1 were expected; "
                f"{255 * self.eps:g}/255, {self.steps} and {self.step_size} came."
            )

    @property
    def step(self) -> float:
        """Length of one step."""
        return 2.5 * self.eps / self.steps if self.step_size is None else self.step_size

    def sentence(self) -> str:
        """The settings in words."""
        if self.kind is Kind.FGSM:
            return f"FGSM, eps {255 * self.eps:g}/255."
        start = f"a random start (seed {self.seed})" if self.random_start else "the image itself"
        return f"PGD, eps {255 * self.eps:g}/255, {self.steps} steps of {255 * self.step:.3g}/255 from {start}."


PAPER_FGSM = Attack(Kind.FGSM, eps=4 / 255)
"""The paper's budget (App. B.2)."""
PAPER_PGD = Attack(Kind.PGD, eps=4 / 255, steps=20, step_size=0.15 / 255)
"""The paper's: 20 steps of 0.15, for which it gives no unit; read as 0.15/255.

So read, 20 steps reach 3/255 from the image and never the border of the ball; the paper says nothing of a random start.
"""
