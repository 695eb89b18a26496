"""A least-recently-used cache bounded in bytes, safe to share between threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Sized(Protocol):
    """Anything that knows how many bytes it holds."""

    @property
    def nbytes(self) -> int: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)


class ByteLRU(Generic[K, V]):
    """Keeps the most recently used values whose bytes together stay within `capacity`.

    A value larger than the whole capacity is not kept at all.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._values: OrderedDict[K, V] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: K, value: V) -> None:
        with self._lock:
            replaced = self._values.pop(key, None)
            if replaced is not None:
                self._nbytes -= replaced.nbytes
            if value.nbytes > self.capacity:
                return
            self._values[key] = value
            self._nbytes += value.nbytes
            while self._nbytes > self.capacity:
                _, oldest = self._values.popitem(last=False)
                self._nbytes -= oldest.nbytes
