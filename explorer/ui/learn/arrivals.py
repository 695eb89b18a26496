"""Readings of the dial as they arrive: one pass after the other, for as long as a browser asks for more.

A pass takes a third of a second and the dial has 61 places, so that nobody waits for all of them: the page opens with
one, a run that was asked for more takes the next from the engine and is back at once, and what came stays for
everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import streamlit as st

from explorer.figures.sliding import Slider
from explorer.jobs.passes import DialReadingJob
from explorer.lessons import dial
from explorer.lessons.dial import DialReading
from explorer.serving.engine import ask
from explorer.types import ExplorerError, Filter, ModelCard
from explorer.ui import work
from explorer.ui.learn import sliding
from explorer.ui.shell import resources
from explorer.ui.shell.session import View

_SECONDS = 0.4
"""That a run waits for a pass; a longer one is taken by a later run."""
_UNDER_WAY = "dial-under-way"
_COARSE = 5
"""Every so many places come first, so that what is near is soon there."""


def readings(
    chosen: View, standard: ModelCard, blocks: Sequence[int], slider: Slider, left: Mapping[str, float], is_asked: bool
) -> list[DialReading | None]:
    """What is there by the slider's positions: that where it was left at least, unless the browser asks anyway."""
    filters = [dial.dialled(standard.filter, blocks, a) for a in slider.values]
    here = slider.nearest(sliding.value_of(slider, left))
    if not is_asked or not any(is_there(chosen, standard, filter) for filter in filters):
        reading(chosen, standard, filters[here])
    else:
        _take(chosen, standard, filters, here)
    return [work.kept(_key(chosen, standard, filter)) for filter in filters]


def reading(chosen: View, standard: ModelCard, filter: Filter) -> DialReading:
    """Of one filter, remembered."""
    job = DialReadingJob(filter)
    return work.remembered(
        _key(chosen, standard, filter),
        lambda: ask(resources.engine(), job, [chosen.photo.image], standard.key)[0],
        lambda result: result.nbytes,
    )


def is_there(chosen: View, standard: ModelCard, filter: Filter) -> bool:
    """Whether nothing has to be computed for it."""
    return work.kept(_key(chosen, standard, filter)) is not None


def _key(chosen: View, standard: ModelCard, filter: Filter) -> work.Key:
    return "dial", chosen.photo.digest, standard.key, filter


def _take(chosen: View, standard: ModelCard, filters: Sequence[Filter], here: int) -> None:
    """Waits a little for the next place, which is under way already if it was asked for before."""
    missing = [i for i, filter in enumerate(filters) if not is_there(chosen, standard, filter)]
    if not missing:
        return
    place = min(missing, key=lambda i: (i != here, i % _COARSE != 0, abs(i - here)))
    key = _key(chosen, standard, filters[place])
    under_way: dict[work.Key, Future[list[DialReading]]] = st.session_state.setdefault(_UNDER_WAY, {})
    if key not in under_way:
        under_way.clear()
        job = DialReadingJob(filters[place])
        under_way[key] = resources.engine().submit(job, [chosen.photo.image], standard.key)
    try:
        (result,) = under_way[key].result(_SECONDS)
    except TimeoutError:
        return
    except ExplorerError:  # the queue may be full: the browser asks again
        under_way.clear()
        return
    under_way.clear()
    work.keep(key, result, result.nbytes)
