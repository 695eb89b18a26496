"""Draws in a process of its own, where others draw too: what matplotlib sets is its process's, and what takes too long,
or is wanted no more, can only be ended there.

The process is a copy of one that has imported matplotlib and nothing else of weight, so that it is there within
milliseconds; it goes with the figure, and so does its memory.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

from explorer.figures.print.plates import Plate, Print
from explorer.types import ExplorerError

PATIENCE = 60.0
"""Seconds that a figure may take."""
ROOM = 3 * 2**30
"""Bytes that drawing may take."""
_LOOK_SECONDS = 0.1


def pressed(plate: Plate, look: Callable[[float], None] | None = None, patience: float = PATIENCE) -> Print:
    """What `plate.print()` returns, from another process; the bytes are the same.

    `look` is told the seconds it has taken, ten times a second; what it raises ends the process and comes out here.
    Raises `ExplorerError` when there is no room on the page or in memory, or after `patience` seconds.
    """
    context = _context()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, plate, ROOM), name="explorer-press", daemon=True)
    begun = time.monotonic()
    try:
        process.start()
        theirs.close()
        while not ours.poll(_LOOK_SECONDS):
            taken = time.monotonic() - begun
            if taken > patience:
                raise ExplorerError(
                    f"A figure that is drawn within {patience:g} s was expected; this one takes longer, so choose "
                    "fewer pixels or fewer maps, or make it with the command."
                )
            if look:
                look(taken)
        answer: Print | ExplorerError = ours.recv()
    except (EOFError, BrokenPipeError):
        raise ExplorerError("This figure could not be drawn: its process ended before it was done.") from None
    finally:
        theirs.close()
        ours.close()
        if process.pid is not None:
            process.kill()
            process.join()
    if isinstance(answer, ExplorerError):
        raise answer
    return answer


def begin() -> None:
    """Starts the process of which others are copies, where there is such a thing, and does not wait for it."""
    if isinstance(_context(), ForkServerContext):
        forkserver.ensure_running()


@cache
def _context() -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _work(connection: Connection, plate: Plate, room: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    _limit(room)
    answer: Print | ExplorerError
    try:
        answer = plate.print()
    except ExplorerError as error:
        answer = error
    except MemoryError:
        answer = ExplorerError(
            f"A figure that is drawn in {room / 2**30:g} GiB was expected; this one takes more, so choose fewer "
            "pixels or fewer maps, or make it with the command."
        )
    connection.send(answer)


def _limit(room: int) -> None:
    """Takes at most `room` bytes more, and ends by itself should the server be gone; as far as the system knows how."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (int(2 * PATIENCE), int(2 * PATIENCE)))
        if sys.platform.startswith("linux"):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * os.sysconf("SC_PAGE_SIZE") + room
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
