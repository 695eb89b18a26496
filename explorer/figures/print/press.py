"""Draws in processes of their own: there alone a figure that takes too long, or is wanted no more, can be ended, and
matplotlib's settings are a process's.

Such a process has imported matplotlib and nothing else of weight. It waits for the next figure, and is ended when its
figure is not wanted any more, failed, or takes too long. `multiprocessing` is no help here: its processes run the main
module again, and while a page runs, Streamlit says that the page is that.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from explorer.figures.print.plates import Plate, Print
from explorer.types import ExplorerError

PATIENCE = 60.0
"""Seconds that a figure may take."""
ROOM = 3 * 2**30
"""Bytes that drawing may take."""
_MOST_IDLE = 2
_LOOK_SECONDS = 0.1
_NAME = "explorer.figures.print.press"


@dataclass(frozen=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection

    @classmethod
    def started(cls) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        with theirs:
            # In a session of its own: Ctrl-C is for the server, and with the server's end the connection's comes.
            process = subprocess.Popen(
                [sys.executable, "-m", _NAME, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        return cls(process, ours)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


_idle: list[_Worker] = []
_changing = threading.Lock()


def pressed(plate: Plate, look: Callable[[float], None] | None = None, patience: float = PATIENCE) -> Print:
    """What `plate.print()` returns, from another process; the bytes are the same.

    `look` is told the seconds it has taken, ten times a second; what it raises ends the process and comes out here.
    Raises `ExplorerError` when there is no room on the page or in memory, or after `patience` seconds.
    """
    with _changing:
        worker = _idle.pop() if _idle else _Worker.started()
    begun = time.monotonic()
    try:
        worker.connection.send(plate)
        while not worker.connection.poll(_LOOK_SECONDS):
            taken = time.monotonic() - begun
            if taken > patience:
                raise ExplorerError(
                    f"A figure that is drawn within {patience:g} s was expected; this one takes longer, so choose "
                    "fewer pixels or fewer maps, or make it with the command."
                )
            if look:
                look(taken)
        answer: Print | ExplorerError = worker.connection.recv()
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
            _idle.append(_Worker.started())


def _keep(worker: _Worker) -> None:
    with _changing:
        if len(_idle) < _MOST_IDLE:
            _idle.append(worker)
            return
    worker.end()


def _work(connection: Connection, room: int) -> None:
    """In the other process: figures one after the other, until nobody can ask for more."""
    _limit(room)
    with suppress(EOFError, OSError):
        while True:
            connection.send(_answer(connection.recv(), room))


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


def _limit(room: int) -> None:
    """Takes at most `room` bytes more, where the system knows how."""
    if sys.platform.startswith("linux"):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + room
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    _work(Connection(int(sys.argv[1])), ROOM)
