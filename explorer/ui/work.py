"""Long work on a page: remembered for everybody, with a bar, a button that cancels it, and its own room.

A rerun ends what runs, because showing progress is where Streamlit stops a script; what was cancelled stays so until it
is asked for again or something else is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.jobs import Job
from explorer.serving import engine as serving
from explorer.serving.cache import ByteLRU, SingleFlight, cache_of, once
from explorer.types import WAITING, BusyError, ExplorerError, ModelCard, Progress
from explorer.ui.shell import resources
from explorer.ui.shell.session import Photo, plain

T = TypeVar("T")
Key = tuple[Hashable, ...]
"""Of what is remembered."""

_NUMBER = 1024
_EVERY_SECONDS = 0.1
_LINE = 68
"""Pixels of the line that holds the bar, a button or nothing."""


_flights: SingleFlight[Key, Any] = SingleFlight()


@dataclass(frozen=True, eq=False)
class Kept:
    """A result and how many bytes it counts as."""

    value: Any
    nbytes: int


@once
def results() -> ByteLRU[Key, Kept]:
    """Maps and pictures of long work, by everything they depend on."""
    return cache_of("results")


@once
def numbers() -> ByteLRU[Key, Kept]:
    """Results of at most `_NUMBER` bytes, which hours of work may lie in: no picture pushes them out."""
    return cache_of("numbers")


def kept(key: Key) -> Any:
    """What is remembered under the key, or `None`."""
    entry = numbers().get(key) or results().get(key)
    return None if entry is None else entry.value


def keep(key: Key, value: T, nbytes: int = _NUMBER) -> T:
    """Remembers a result."""
    (numbers() if nbytes <= _NUMBER else results()).put(key, Kept(value, nbytes))
    return value


def remembered(
    key: Key, make: Callable[[], T], nbytes: int | Callable[[T], int] = _NUMBER, progress: Progress | None = None
) -> T:
    """What is remembered under the key, made when it is not, once for all visitors who ask meanwhile."""

    def keep_new() -> T:
        value = make()
        return keep(key, value, nbytes(value) if callable(nbytes) else nbytes)

    value: T = _flights.do(key, lambda: kept(key), keep_new, progress)
    return value


def key(job: Job[Any], photo: Photo, card: ModelCard) -> Key:
    """Everything that decides what a job makes of a photograph."""
    return job, photo.digest, card.key


def ask(
    job: Job[T], photo: Photo, card: ModelCard, nbytes: int | Callable[[T], int], progress: Progress | None = None
) -> T:
    """What a job makes of a photograph, remembered."""
    return remembered(
        key(job, photo, card),
        lambda: serving.ask(resources.engine(), job, [photo.image], card.key, progress),
        nbytes,
        progress,
    )


def line(column: DeltaGenerator) -> DeltaGenerator:
    """A place of constant height for a bar or a button beside controls, so that nothing moves."""
    return column.container(height=_LINE, border=False, gap=None, vertical_alignment="bottom").empty()


def offered(
    name: str, key: Key, slot: DeltaGenerator, words: str, make: Callable[[Progress], T], ready: bool, start: str = ""
) -> T | None:
    """Runs `make` under a bar that can be cancelled, and returns what it made.

    With `start`, only when the button of that name was pressed for this key, unless everything is `ready`, that is
    remembered; without, at once. `None` where it is not asked for, was cancelled or failed, which is then said.
    """
    if ready:
        return make(lambda done, total: None)
    stopped, wanted = f"{name}-stopped", f"{name}-wanted"
    cancelled = st.session_state.get(stopped) == key
    if cancelled or (start and st.session_state.get(wanted) != key):
        with slot.container(horizontal=True, vertical_alignment="center"):
            st.button(start or "Compute", key=f"{name}-work", on_click=_start, args=(name, key))
            if cancelled:
                st.caption("Cancelled.")
        return None
    with slot.container(horizontal=True, vertical_alignment="center"):
        # First, where the bar cannot move it: a button that moves under the pointer is not clicked. By the same key
        # as the one that started it, or that one would stay on screen beside it.
        st.button("Cancel", key=f"{name}-work", on_click=_stop, args=(name, key))
        bar = st.progress(0.0, words, width="stretch")
    try:
        result = make(_Bar(bar, words))
    except BusyError:
        raise  # the page tries again
    except ExplorerError as error:
        slot.error(plain(str(error), 300))
        return None
    slot.empty()
    return result


class _Bar:
    """Draws progress ten times a second; every drawing is where a rerun ends the work."""

    def __init__(self, bar: DeltaGenerator, words: str) -> None:
        self._bar, self._words = bar, words
        self._drawn = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._drawn < _EVERY_SECONDS:
            return
        self._drawn = now
        if (done, total) == WAITING:
            self._bar.progress(0.0, "Waiting: others are being served …")
        else:
            self._bar.progress(min(1.0, done / max(1, total)), f"{self._words} {100 * done // max(1, total)}%")


def _start(name: str, key: Key) -> None:
    st.session_state.pop(f"{name}-stopped", None)
    st.session_state[f"{name}-wanted"] = key


def _stop(name: str, key: Key) -> None:
    st.session_state.pop(f"{name}-wanted", None)
    st.session_state[f"{name}-stopped"] = key
