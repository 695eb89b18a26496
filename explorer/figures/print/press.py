"""Draws in processes of their own: there alone a figure that takes too long, or is wanted no more, can be ended, and
matplotlib's settings are a process's.

Such a process has imported matplotlib and nothing else of weight. It waits for the next figure, and is ended when its
figure is not wanted any more, failed, or takes too long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from explorer.figures.print.plates import Plate, Print
from explorer.processes import PipedProcess, limit_memory
from explorer.types import ExplorerError

PATIENCE = 60.0
"""Seconds that a figure may take."""
ROOM = 3 * 2**30
"""Bytes that drawing may take."""
_MOST_IDLE = 2
_LOOK_SECONDS = 0.1
_SERVE = "explorer.figures.print.press:serve"


_idle: list[PipedProcess] = []
_changing = threading.Lock()


def pressed(plate: Plate, look: Callable[[float], None] | None = None, patience: float = PATIENCE) -> Print:
    """What `plate.print()` returns, from another process; the bytes are the same.

    `look` is told the seconds it has taken, ten times a second; what it raises ends the process and comes out here.
    Raises `ExplorerError` when there is no room on the page or in memory, or after `patience` seconds.
    """
    worker = _ready()
    begun = time.monotonic()
    try:
        worker.pipe.send(plate)
        while not worker.pipe.poll(_LOOK_SECONDS):
            taken = time.monotonic() - begun
            if taken > patience:
                raise ExplorerError(
                    f"A figure that is drawn within {patience:g} s was expected; this one takes longer, so choose "
                    "fewer pixels or fewer maps, or make it with the command."
                )
            if look:
                look(taken)
        answer: Print | ExplorerError = worker.pipe.recv()
    except (EOFError, OSError):
        worker.end()
        raise ExplorerError("This figure could not be drawn: its process ended before it was done.") from None
    except BaseException:
        worker.end()
        raise
    _keep(worker)
    if isinstance(answer, ExplorerError):
        raise answer
    return answer


def begin() -> None:
    """Starts a process for the next figure where none waits, and does not wait for it."""
    with _changing:
        if not _idle:
            _idle.append(PipedProcess(_SERVE))


def _ready() -> PipedProcess:
    """One that waits and has not been ended meanwhile, or a new one."""
    with _changing:
        while _idle:
            if (worker := _idle.pop()).is_running:
                return worker
            worker.end()
        return PipedProcess(_SERVE)


def _keep(worker: PipedProcess) -> None:
    with _changing:
        if len(_idle) < _MOST_IDLE:
            _idle.append(worker)
            return
    worker.end()


def serve(pipe: Connection, room: int = ROOM) -> None:
    """In the other process: figures one after the other, until nobody can ask for more."""
    limit_memory(room)
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_answer(pipe.recv(), room))


def _answer(plate: Plate, room: int) -> Print | ExplorerError:
    try:
        return plate.print()
    except ExplorerError as error:
        return error
    except MemoryError:
        return ExplorerError(
            f"A figure that is drawn in {room / 2**30:g} GiB was expected; this one takes more, so choose fewer "
            "pixels or fewer maps, or make it with the command."
        )
