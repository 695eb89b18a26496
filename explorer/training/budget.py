"""How many epochs fit into a given time, from a pace measured before training."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.types import ExplorerError

MARGIN = 0.95
"""Share of the time that is planned for: the rest is for what was not measured."""


@dataclass(frozen=True)
class Pace:
    """Seconds that both models take together."""

    small: float
    """For a step at the small size."""
    full: float
    """For a step at the full size."""
    after: float
    """For the evaluation and the state after each epoch."""


def seconds(epochs: int, small_epochs: int, steps: int, pace: Pace) -> float:
    """What so many epochs take, the first `small_epochs` of them at the small size."""
    return steps * (small_epochs * pace.small + (epochs - small_epochs) * pace.full) + epochs * pace.after


def fitting(left: float, steps: int, pace: Pace, small_share: float) -> tuple[int, int]:
    """The most epochs that fit into the seconds left, and how many of them run at the small size.

    Raises `ExplorerError` where not even one fits.
    """

    def taken(epochs: int) -> float:
        return seconds(epochs, round(small_share * epochs), steps, pace)

    epochs = 0
    while taken(epochs + 1) <= MARGIN * left:
        epochs += 1
    if not epochs:
        raise ExplorerError(
            f"Time for an epoch of {taken(1) / 60:.1f} minutes was expected; {max(left, 0) / 60:.1f} minutes are left."
        )
    return epochs, round(small_share * epochs)
