"""Long work of several visitors on one device: one at a time, in the order they came, handing over in between.

A job hands over where it says how far it is and keeps no graph of a gradient, so that what waits costs no memory and
a long job does not make a short one wait for its end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from explorer.types import WAITING, BusyError, Progress

_LOOK_SECONDS = 0.25


class Turns:
    """A queue of at most `limit` jobs, the first of which runs."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Jobs that run or wait."""
        return len(self._queue)

    @contextmanager
    def taken(self, progress: Progress | None = None) -> Iterator[Progress]:
        """Waits for a turn; yields the progress to give to the job. Raises `BusyError` when the queue is full."""
        me = object()
        with self._changed:
            if len(self._queue) >= self._limit:
                raise BusyError(
                    f"The explorer is busy: {self._limit} computations are waiting; please try again in a moment."
                )
            self._queue.append(me)
        try:
            self._wait(me, progress)
            yield lambda done, total: self._tell(me, progress, done, total)
        finally:
            with self._changed:
                self._queue.remove(me)
                self._changed.notify_all()

    def _wait(self, me: object, progress: Progress | None) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._queue[0] is me, _LOOK_SECONDS):
                    return
            if progress:
                progress(*WAITING)

    def _tell(self, me: object, progress: Progress | None, done: int, total: int) -> None:
        if progress:
            progress(done, total)
        if torch.is_grad_enabled():  # between a pass and its gradient the graph is in memory
            return
        with self._changed:
            if len(self._queue) == 1:
                return
            self._queue.rotate(-1)
            self._changed.notify_all()
        self._wait(me, progress)
