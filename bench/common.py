"""What every benchmark shares: one row of results, and timing side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One line of `bench/results.json`, or of the soak's.

    Without a value it was not measured, and the note says why. Where a goal is missed, what follows `MISSED` in the
    note is the reason: written by hand, kept from run to run, and printed in the README.
    """

    name: str
    value: float | None
    unit: str
    goal: float | None
    better: str = "lower"
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the goal is kept, as far as it was measured."""
        if self.goal is None or self.value is None:
            return True
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal

    @property
    def reason(self) -> str:
        """Why the goal is missed."""
        return self.note.partition(MISSED)[2]


MISSED = "; missed: "


def explained(row: Row, before: Iterable[Mapping[str, Any]]) -> Row:
    """The row with the reason that it had among these, where it misses its goal again; says where there is none."""
    if row.holds or row.reason:
        return row
    reasons = {old["name"]: old["note"].partition(MISSED)[2] for old in before}
    if reason := reasons.get(row.name):
        return replace(row, note=f"{row.note}{MISSED}{reason}")
    print(f"{row.name} misses its goal: its note in results.json needs '{MISSED}' and a reason, then make the tables.")
    return row


def medians(
    tasks: Mapping[str, Callable[[T], object]], inputs: Sequence[T], rounds: int, keep: int = 40
) -> dict[str, float]:
    """Median seconds of each task, interleaved round by round on distinct inputs; two rounds warm up.

    The last `keep` results are kept alive, as a cache would keep them, so that memory is not simply used again.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    kept: list[object] = []
    for number in range(rounds + 2):
        x = inputs[number % len(inputs)]
        for name, task in tasks.items():
            started = time.perf_counter()
            kept.append(task(x))
            if number >= 2:
                times[name].append(time.perf_counter() - started)
        kept = kept[-keep:]
    return {name: statistics.median(values) for name, values in times.items()}
