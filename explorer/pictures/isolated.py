"""Decoding in a process of its own: a file that breaks a decoder, or fills its memory, takes no other visitor along.

A process for every picture would cost 20 to 85 ms; one that is kept costs 1 to 7 ms, and is renewed now and then.
Bytes go in, JSON and pixels come back: nothing that comes from there is run.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from explorer.pictures import images
from explorer.pictures.budget import BUDGET, PixelBudget
from explorer.pictures.images import ImageError
from explorer.processes import PipedProcess, limit_memory, limit_time
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


class _Worker(PipedProcess):
    """A process, as whoever waits for it sees it."""

    def __init__(self) -> None:
        super().__init__(_SERVE, is_quiet=True)  # libtiff says thousands of lines of one damaged file
        self._pictures = 0

    @property
    def is_fit(self) -> bool:
        return self._pictures < _PICTURES and self.is_running

    def decode(self, data: bytes) -> ImageInput:
        self._pictures += 1
        self.pipe.send_bytes(data)
        with ExitStack() as taken:
            while "pixels" in (answer := json.loads(self.pipe.recv_bytes())):
                taken.enter_context(BUDGET.taken(answer["pixels"]))
                self.pipe.send_bytes(b"")
            if "refusal" in answer:
                raise ImageError(answer["refusal"])
            rgb = np.empty(answer["shape"], np.uint8)
            self.pipe.recv_bytes_into(rgb.data.cast("B"))
        rgb.setflags(write=False)
        return ImageInput(answer["digest"], rgb, tuple(answer["notes"]))


def serve(pipe: Connection) -> None:
    """The process: pictures one after the other, until nobody is at the other end."""
    limit_memory(MEMORY_MIB * 2**20)
    budget = _AskedBudget(pipe)
    with suppress(EOFError, OSError):
        while True:
            data = pipe.recv_bytes()
            limit_time(SECONDS)
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


DECODER = IsolatedDecoder()
"""Of this process, for files of visitors."""
