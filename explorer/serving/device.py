"""Where models run: CUDA, then MPS, then CPU, unless EXPLORER_DEVICE says otherwise; and its memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from explorer.types import ExplorerError

VARIABLE = "EXPLORER_DEVICE"


class _Sharing:
    """How many passes run at the moment, and how many threads there are for all of them."""

    lock = threading.Lock()
    passes = 0
    threads = 0


_processors = threading.Semaphore(
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)


def device_called(wanted: str | None = None) -> torch.device:
    """The device to serve from: `wanted`, else the environment's, else the best there is.

    Raises `ExplorerError` for a device this machine does not have.
    """
    name = (wanted or os.environ.get(VARIABLE, "") or "auto").strip().lower()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ExplorerError(f"Expected auto, cpu, mps or a cuda device this machine has; {name!r} came.") from error
    return device


def describe(device: torch.device) -> str:
    """The device in words, for the screen."""
    if device.type == "cuda":
        return f"GPU ({torch.cuda.get_device_name(device)})" if torch.cuda.is_available() else "GPU (elsewhere)"
    return {"mps": "GPU (Apple)", "cpu": "CPU"}.get(device.type, device.type)


def is_out_of_memory(error: Exception) -> bool:
    """CUDA has a type for it; the CPU's allocator and MPS raise a plain RuntimeError."""
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def free_memory(device: torch.device) -> None:
    """Gives back what torch keeps of a CUDA device for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def share_of_threads() -> Iterator[None]:
    """Torch's threads are divided among the passes inside of this; after the last of them they are as before.

    A pass that has begun keeps its threads outside of the matrix products, where the number is the process's.
    """
    _share(1)
    try:
        yield
    finally:
        _share(-1)


@contextmanager
def computing() -> Iterator[None]:
    """Measures of one visitor's, made in the visitor's own thread; as many visitors at once as there are processors.

    More of them, each on all of torch's threads, would wait for each other after every operation.
    """
    with _processors, share_of_threads():
        yield


def set_threads(number: int) -> None:
    """Torch's threads from now on; where passes run, they are what the passes share, and what stays after them.

    For this thread and those that begin later: a thread that has begun does not hear of a number set elsewhere.
    """
    with _Sharing.lock:
        _Sharing.threads = number
        _divide()


def _share(more: int) -> None:
    """Divides for so many more passes. What torch itself was told is asked for when the first of them begins."""
    with _Sharing.lock:
        if not _Sharing.passes:
            _Sharing.threads = _threads_to_come()
        _Sharing.passes += more
        _divide()


def _divide() -> None:
    torch.set_num_threads(max(1, _Sharing.threads // max(1, _Sharing.passes)))


def _threads_to_come() -> int:
    """Torch's number for a thread that begins now; where many threads are busy, that takes tenths of a second."""
    number: list[int] = []
    fresh = threading.Thread(target=lambda: number.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    return number[0]
