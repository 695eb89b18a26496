"""When the trunk of a run ends whose minutes are counted: by what its steps were measured to take.

The trunk leaves once for a short *trial* decay, early on. It says what a step takes at the last size and what the end
of a decay costs (evaluation, checkpoint, state), and that all of it works, a minute into the run and not in its last
one. The last decay gets a fixed share of the time, and as many steps as fit into what is left then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from explorer.training.recipe import Decay

SHARE = 0.39
"""Of the time between the first step and the end, for the last decay: two epochs out of fourteen, at four times the
pixels."""
MARGIN = 0.97
"""Of the time that is left, what the last decay's steps are made to fit into."""
GRACE = 20.0
"""Seconds after the end in which a last decay that took longer may still come to its own."""


@dataclass
class Paces:
    """What a step of all models takes at each size, from the moments at which steps begin."""

    skip: int
    """First steps at a size that do not count: they compile."""
    _began: dict[int, list[float]] = field(default_factory=dict)
    _size: int | None = None

    def begin(self, size: int, now: float) -> None:
        """A step at a size begins, or the last one at it has ended."""
        if size != self._size:
            self._began[size] = []
        self._size = size
        self._began[size].append(now)

    def seconds(self, size: int) -> float | None:
        """Of a step, on average since the size was last entered; `None` before enough were made."""
        counted = self._began.get(size, [])[self.skip :]
        return (counted[-1] - counted[0]) / (len(counted) - 1) if len(counted) > 1 else None

    def all(self) -> dict[int, float]:
        """Seconds at each size that is known, in the order in which they were entered."""
        return {size: pace for size in self._began if (pace := self.seconds(size)) is not None}


@dataclass
class Timetable:
    """Which decays a run makes, and when; all moments are of one clock, in seconds."""

    size: int
    """Pixels a side in both decays."""
    first: int
    """Step of the trunk at which the trial begins: after what warms up."""
    trial: int
    """Steps of the trial."""
    until: float
    """When the run has to be over, checkpoints and all."""
    steps: tuple[int, int] | None = None
    """Of the trunk and the last decay where they are counted instead of the time, for a dry run."""
    finish: float = 0.0
    """Seconds that the end of the trial took, after its last step."""
    began: float | None = None
    """When the first step did."""

    def due(self, step: int, planned: Sequence[Decay], paces: Paces, now: float) -> Decay | None:
        """The decay that begins at a step of the trunk, if one does."""
        self.began = now if self.began is None else self.began
        if any(decay.last for decay in planned):
            return None
        pace = paces.seconds(self.size)
        if pace is None:
            return Decay(step, self.trial, self.size) if step >= self.first else None
        if self.steps:
            return Decay(step, self.steps[1], self.size, last=True) if step >= self.steps[0] else None
        left = self.until - now - self.finish
        if left > SHARE * (self.until - self.began):
            return None
        return Decay(step, max(1, int(MARGIN * left / pace)), self.size, last=True)

    def is_over(self, now: float) -> bool:
        """Whether the run has to stop where it is. Counted steps have no end by the clock."""
        return self.steps is None and now > self.until + GRACE
