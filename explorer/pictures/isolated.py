"""Decoding in a process of its own: a file that breaks a decoder, or fills its memory, takes no other visitor along.

A process for every picture would cost 20 to 85 ms; one that is kept costs 1 to 7 ms, and is renewed now and then.
Bytes go in, JSON and pixels come back: nothing that comes from there is run.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pictures import images
from explorer.pictures.budget import BUDGET, PixelBudget
from explorer.pictures.images import ImageError
from explorer.types import ImageInput

PROCESSES = 2
MEMORY_MIB = 1536
"""Beyond what the process begins with; a picture of 40 megapixels takes up to 680."""
SECONDS = 15
"""Of a processor, for a picture; the slowest that is accepted, a TIFF of 40 megapixels of floats, takes about 5."""
BROKEN = (
    f"A picture that can be decoded within {SECONDS} s and {MEMORY_MIB} MiB was expected; this one broke the decoder."
)
_PICTURES = 500
"""After so many a process is renewed."""
_SERVE = "explorer.pictures.isolated:serve"
_START = """\
import json, pkgutil, sys
from multiprocessing.connection import Connection
sys.path[:] = json.loads(sys.argv[1])
pkgutil.resolve_name(sys.argv[2])(Connection(int(sys.argv[3])))
"""
"""`multiprocessing` would import the main module, which Streamlit exchanges for the page that is just running."""


class IsolatedDecoder:
    """Decodes as `images.decode` does, in as many processes as it has; they start when they are needed."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(None)

    def start(self) -> None:
        """Starts one process, which gets ready by itself."""
        worker = self._idle.get()
        try:
            with suppress(OSError):  # whoever needs it is told
                worker = worker or _Worker()
        finally:
            self._idle.put(worker)

    def decode(self, data: bytes) -> ImageInput:
        """The picture; waits for a process, and for pixels of the budget. Raises `ImageError`, and nothing else."""
        worker = self._idle.get()
        try:
            if worker is None or not worker.is_fit:
                if worker is not None:
                    worker.end()
                worker = _Worker()
            return worker.decode(data)
        except ImageError:
            raise
        except Exception as error:  # the process is gone, or says what nobody can read
            if worker is not None:
                worker.end()
                worker = None
            raise ImageError(BROKEN) from error
        finally:
            self._idle.put(worker)


class _Worker:
    """A process, as whoever waits for it sees it."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, json.dumps(sys.path), _SERVE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libtiff says thousands of lines of one damaged file
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the server, which closes the pipe and so ends this
            )
        self._pictures = 0

    @property
    def is_fit(self) -> bool:
        return self._pictures < _PICTURES and self._process.poll() is None

    def end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()

    def decode(self, data: bytes) -> ImageInput:
        self._pictures += 1
        self._pipe.send_bytes(data)
        with ExitStack() as taken:
            while "pixels" in (answer := json.loads(self._pipe.recv_bytes())):
                taken.enter_context(BUDGET.taken(answer["pixels"]))
                self._pipe.send_bytes(b"")
            if "refusal" in answer:
                raise ImageError(answer["refusal"])
            rgb = np.empty(answer["shape"], np.uint8)
            self._pipe.recv_bytes_into(rgb.data.cast("B"))
        rgb.setflags(write=False)
        return ImageInput(answer["digest"], rgb, tuple(answer["notes"]))


def serve(pipe: Connection) -> None:
    """The process: pictures one after the other, until nobody is at the other end."""
    _limit_memory()
    budget = _AskedBudget(pipe)
    with suppress(EOFError, OSError):
        while True:
            data = pipe.recv_bytes()
            _limit_time()
            try:
                image = images.decode(data, budget)
            except ImageError as error:
                _send(pipe, refusal=str(error))
                continue
            _send(pipe, digest=image.digest, shape=image.rgb.shape, notes=image.notes)
            pipe.send_bytes(image.rgb.data.cast("B"))


class _AskedBudget(PixelBudget):
    """The budget of the server: asks for pixels and waits for the answer; it takes them back with the picture."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        _send(self._pipe, pixels=pixels)
        self._pipe.recv_bytes()
        yield


def _send(pipe: Connection, **values: Any) -> None:
    pipe.send_bytes(json.dumps(values).encode())


def _limit_memory() -> None:
    """Where the system has such limits and says what is in use."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_MIB * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    """For the picture that comes next; beyond it the system ends the process."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS, resource.getrlimit(resource.RLIMIT_CPU)[1]))


DECODER = IsolatedDecoder()
"""Of this process, for files of visitors."""
