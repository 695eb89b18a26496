"""How an explorer is served, as `twicing-explorer serve` asks for it; without Ray and torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from explorer.settings import check, setting
from explorer.types import ExplorerError

APPLICATION = "twicing-explorer"
"""What Ray calls the application, and its namespace."""


@dataclass(frozen=True)
class Fleet:
    """The replicas, each a process with an engine of its own, and what may wait for them."""

    replicas: int = setting(0, "processes that compute; 0: as many as there are cores for", (0, 512))
    most: int = setting(
        0, "up to so many replicas while many wait; 0: as many as --replicas", (0, 512), flag="most-replicas"
    )
    threads: int = setting(1, "of torch and of Ray's cores for each replica", (1, 512))
    gpus: float = setting(0.0, "share of a GPU for each replica, such as 1 or 0.5", (0.0, 64.0))
    queue: int = setting(64, "requests of one app that may wait; who comes then is told for how long", (1, 10_000))
    silent: int = setting(
        120, "seconds after which work that says nothing counts as hung, and its replica goes", (5, 3600)
    )
    store_mib: int = setting(256, "MiB of shared memory for what travels", (80, 1_000_000), flag="store")

    def __post_init__(self) -> None:
        check(self)
        if self.most and self.most < self.count:
            raise ExplorerError(
                f"most-replicas: at least {self.count}, the number of replicas, was expected; {self.most} came."
            )

    @property
    def count(self) -> int:
        """Replicas at the start."""
        if self.replicas:
            return self.replicas
        return max(1, _cores() // self.threads)

    @property
    def processors(self) -> int:
        """Cores that Ray is told of, where it is started here: replicas ask for them, nothing else does."""
        return max(_cores(), max(self.count, self.most) * self.threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
