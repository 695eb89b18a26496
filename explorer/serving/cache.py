"""What a server remembers: a table of its caches, which share one budget in bytes, and the cache itself.

Whatever grows with visitors and pictures has a line here, and takes its limit from it. What is not kept is computed
again. The figures of the table are those of a pair of DeiT-Small at 197 tokens: 19 MB a trace.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from concurrent import futures
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from cachetools import LRUCache, cached

from explorer.types import WAITING, ExplorerError, Progress

VARIABLE = "EXPLORER_CACHE_MIB"
TOTAL_MIB = 384
"""Of all caches of a server together, unless the environment says otherwise."""
LEAST_MIB = 64
_LOOK_SECONDS = 0.1

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Given = ParamSpec("Given")


def _nbytes(value: Any) -> int:
    return int(value.nbytes)


def _small(value: Any) -> int:
    """Of a tensor of a few numbers, which weighs more than they do, and its key."""
    return int(value.nbytes) + 1024


def _spectra(values: Any) -> int:
    return sum(value.eigenvalues.nbytes + value.noise.nbytes + value.singular_values.nbytes for value in values)


@dataclass(frozen=True)
class CacheShare:
    """One cache: what its values are, its part of the budget, and how many bytes a value counts."""

    holds: str
    mib: int
    """Of `TOTAL_MIB`; another budget is divided alike."""
    size: Callable[[Any], int] = _nbytes


SHARES = {
    "traces": CacheShare("a trace of a picture in a model, eight of DeiT-Small, or a curve of it", 144),
    "payloads": CacheShare("what the viewer opens with, 0.25 MB of DeiT-Small, and a model's rollouts, 0.9 MB", 48),
    "photographs": CacheShare("decoded pixels, 0.5 to 5 MB", 30),
    "results": CacheShare("a map or a picture that long work on a page came to", 30),
    "figures": CacheShare("the arrays of a figure, for the files asked for after its preview", 24),
    "studies": CacheShare("a photograph of lesson 2, denoised, 5 to 10 MB", 36),
    "numbers": CacheShare("a result of at most 1 KiB that hours of work may lie in", 12),
    "thumbnails": CacheShare("a small picture as a data URI, 4 KB; one that is cropped by hand, 40", 18, len),
    "crops": CacheShare("the dense matrix of a crop of lesson 2, 4 MB", 18),
    "curves": CacheShare("similarity of a picture in a model by layer", 12, _small),
    "spectra": CacheShare("both models' eigenvalues and singular values of one layer, 80 KB", 6, _spectra),
    "previews": CacheShare("a figure as a small PNG", 6),
}


class SingleFlight(Generic[K, V]):
    """Makes what several threads ask for at the same time once, for all of them; after Go's package of that name."""

    def __init__(self) -> None:
        self._flights: dict[K, Future[V]] = {}
        self._lock = threading.Lock()

    def do(self, key: K, kept: Callable[[], V | None], make: Callable[[], V], progress: Progress | None = None) -> V:
        """What is kept under the key, or what `make` gives, which has to keep it.

        Who waits for another thread says so to `progress`, which may raise, and makes it when that one fails.
        """
        while True:
            with self._lock:
                value = kept()
                if value is not None:
                    return value
                flight = self._flights.get(key)
                if flight is None:
                    own = self._flights[key] = Future[V]()
                    break
            while not flight.done():
                futures.wait([flight], _LOOK_SECONDS)
                if progress:
                    progress(*WAITING)
            if flight.exception() is None:
                return flight.result()
        try:
            value = make()
            own.set_result(value)
            return value
        except BaseException as error:
            own.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._flights[key]


class ByteLRU(Generic[K, V]):
    """Keeps the most recently used values whose bytes together stay within `capacity`; for any number of threads.

    A value larger than the whole capacity is not kept at all.
    """

    def __init__(self, capacity: int, size: Callable[[V], int] = _nbytes) -> None:
        self._values: LRUCache[K, V] = LRUCache(capacity, size)
        self._lock = threading.Lock()
        self._flights: SingleFlight[K, V] = SingleFlight()

    @property
    def capacity(self) -> int:
        return int(self._values.maxsize)

    @property
    def nbytes(self) -> int:
        return int(self._values.currsize)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        with self._lock:
            return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._values.pop(key, None)
            with suppress(ValueError):  # too large
                self._values[key] = value

    def get_or_make(self, key: K, make: Callable[[], V], progress: Progress | None = None) -> V:
        """What is kept under the key, or what `make` gives; made once for all threads that ask meanwhile."""

        def keep() -> V:
            value = make()
            self.put(key, value)
            return value

        return self._flights.do(key, lambda: self.get(key), keep, progress)


def once(make: Callable[Given, V]) -> Callable[Given, V]:
    """Makes a value when it is first asked for, and never again in this process; what fails is tried again.

    Streamlit's own cache of resources will not do: any visitor can have it emptied, for everybody.
    """
    making_once: Callable[Given, V] = cached({}, condition=threading.Condition())(make)
    return making_once


def cache_of(name: str) -> ByteLRU[Any, Any]:
    """An empty cache with the share of this name in `SHARES`. Raises `ExplorerError` as `limit` does."""
    return ByteLRU(limit(name), SHARES[name].size)


def limit(name: str) -> int:
    """Bytes of this share. Raises `ExplorerError` when the environment names no budget that can be divided."""
    return total_mib() * 2**20 * SHARES[name].mib // TOTAL_MIB


def total_mib() -> int:
    """What all caches share. Raises `ExplorerError` when the environment names no budget that can be divided."""
    given = os.environ.get(VARIABLE, "").strip() or str(TOTAL_MIB)
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given) >= LEAST_MIB):
        raise ExplorerError(
            f"{VARIABLE} was expected to be a whole number of MiB from {LEAST_MIB} on; {given[:40]!r} came."
        )
    return int(given)
