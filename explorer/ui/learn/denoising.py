"""Lesson 2's sliders and what they make: studies and matrices, computed once under a bar that can be stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from explorer.lessons import nonlocal_means, study
from explorer.lessons.nonlocal_means import TIMES, FloatPicture
from explorer.lessons.study import Study
from explorer.serving.cache import ByteLRU, cache_of, once
from explorer.ui.shell.session import Photo

ONCE = (1,)
_STOPPED, _SO_FAR = "lesson2-stopped", "lesson2-so-far"
_WORK_HEIGHT = 44
"""Pixels kept free for the progress bar, so that nothing below it moves."""


@dataclass(frozen=True)
class Place:
    """A square of the working picture."""

    top: int
    left: int
    side: int


def place_of(size: tuple[int, int], side: int, down: int, across: int) -> Place:
    """A square of at most `side` px, `down` and `across` percent of the way from the top left corner."""
    side = min(side, *size)
    return Place(round((size[0] - side) * down / 100), round((size[1] - side) * across / 100), side)


@dataclass(frozen=True)
class DenoisingSettings:
    """What the sliders of the lesson say; the bandwidth is `ratio` times the noise."""

    noise: float = 0.1
    ratio: float = 1.4
    patch: int = 5
    window: int = 13
    seed: int = 0

    @property
    def filter(self) -> nonlocal_means.MeansSettings:
        return nonlocal_means.MeansSettings(self.bandwidth, self.patch, self.window)

    @property
    def bandwidth(self) -> float:
        return round(self.ratio * self.noise, 6)


def controls() -> DenoisingSettings:
    """The sliders, in one row."""
    noise, ratio, patch, window, again = st.columns([3, 3, 2, 3, 2], vertical_alignment="bottom")
    seed = st.session_state.setdefault("lesson2-seed", 0)
    chosen = DenoisingSettings(
        noise=noise.slider(
            "Noise σ",
            0.02,
            0.3,
            0.1,
            0.01,
            key="lesson2-noise",
            persist_state="session",
            help="Standard deviation; black is 0 and white is 1.",
        ),
        ratio=ratio.slider(
            "Bandwidth h",
            0.4,
            3.0,
            1.4,
            0.1,
            format="%.1f σ",
            key="lesson2-ratio",
            persist_state="session",
            help="As a multiple of the noise.",
        ),
        patch=patch.select_slider("Patch, px", [3, 5, 7, 9], 5, key="lesson2-patch", persist_state="session"),
        window=window.select_slider(
            "Search window, px",
            [5, 9, 13, 17, 21],
            13,
            key="lesson2-window",
            persist_state="session",
            help="Pixels are compared with those of a window around them. Part 4 compares all pairs instead.",
        ),
        seed=seed,
    )
    again.button("New noise", key="lesson2-again", on_click=_again, width="stretch")
    return chosen


def _again() -> None:
    st.session_state["lesson2-seed"] += 1


# --- what is computed once ----------------------------------------------------------------------------------------


@once
def _studies() -> ByteLRU[tuple[object, ...], Study]:
    return cache_of("studies")


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop's dense matrix and spectrum."""

    matrix: np.ndarray
    """`A` over all pairs of pixels, float32."""
    eigenvalues: np.ndarray

    @property
    def nbytes(self) -> int:
        return int(self.matrix.nbytes + self.eigenvalues.nbytes)


@once
def _crops() -> ByteLRU[tuple[object, ...], Crop]:
    return cache_of("crops")


def noisy_of(photo: Photo, chosen: DenoisingSettings) -> tuple[FloatPicture, FloatPicture]:
    """The photograph at the size that is worked on, clean and noisy."""
    clean = nonlocal_means.working_view(photo.image.rgb)
    return clean, nonlocal_means.add_noise(clean, chosen.noise, chosen.seed)


def study_of(photo: Photo, chosen: DenoisingSettings, times: Sequence[int] = ONCE) -> Study:
    """The study of a photograph, from memory or computed without a word."""

    def compute() -> Study:
        *_, last = study.study(*noisy_of(photo, chosen), chosen.filter, times)
        assert last.result is not None
        return last.result

    return _kept(photo, chosen, times) or _studies().get_or_make((photo.digest, chosen, tuple(times)), compute)


def _kept(photo: Photo, chosen: DenoisingSettings, times: Sequence[int]) -> Study | None:
    """What is remembered and holds at least these numbers of applications."""
    longest = _studies().get((photo.digest, chosen, TIMES))
    return longest or _studies().get((photo.digest, chosen, tuple(times)))


def work(photo: Photo, chosen: DenoisingSettings, times: Sequence[int]) -> Study | None:
    """The study, computed under a progress bar that can be stopped; what was stopped is returned as far as it came."""
    key = photo.digest, chosen, tuple(times)
    with st.container(height=_WORK_HEIGHT, border=False):
        line = st.empty()
    result = _kept(photo, chosen, times)
    if result is None and st.session_state.get(_STOPPED) == key:
        with line.container(horizontal=True, vertical_alignment="center"):
            st.caption("Stopped.")
            st.button("Go on", key="lesson2-go-on", on_click=_forget_stop)
        so_far = st.session_state.get(_SO_FAR)
        return so_far[1] if so_far and so_far[0] == key else None
    if result is None:
        result = _run(key, photo, line)
    height, width = result.clean.shape[:2]
    line.caption(f"{height} × {width} px; h = {chosen.ratio:.1f} σ = {chosen.bandwidth:.3f}")
    return result


def _run(
    key: tuple[str, DenoisingSettings, tuple[int, ...]], photo: Photo, line: st.delta_generator.DeltaGenerator
) -> Study:
    """Computes under a bar; whatever the visitor clicks ends the run here and closes the generator."""
    _, chosen, times = key
    with line.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, "comparing patches")
        st.button("Stop", key="lesson2-stop", on_click=_stop, args=(key,))

    def compute() -> Study:
        result = None
        for report in study.study(*noisy_of(photo, chosen), chosen.filter, times):
            bar.progress(report.share, report.doing)
            result = report.result
            if result is not None:
                st.session_state[_SO_FAR] = key, result
        assert result is not None
        return result

    def wait(*_: int) -> None:
        bar.progress(0.0, "waiting for the same, which another visitor asked for")

    result: Study = _studies().get_or_make(key, compute, wait)
    st.session_state.pop(_SO_FAR, None)
    return result


def _stop(key: tuple[object, ...]) -> None:
    st.session_state[_STOPPED] = key


def _forget_stop() -> None:
    st.session_state.pop(_STOPPED, None)


def crop_of(photo: Photo, chosen: DenoisingSettings, place: Place) -> Crop:
    """The dense matrix of a crop of the noisy picture, and its spectrum."""
    key = photo.digest, chosen, place

    def compute() -> Crop:
        noisy = nonlocal_means.crop(noisy_of(photo, chosen)[1], place.top, place.left, place.side)
        dense = nonlocal_means.dense(noisy, chosen.filter)
        return Crop(dense.matrix.astype(np.float32), dense.eigenvalues)

    return _crops().get_or_make(key, compute)


def current() -> DenoisingSettings:
    """What the sliders say, for the handout."""
    state, start = st.session_state, DenoisingSettings()
    return DenoisingSettings(
        noise=state.get("lesson2-noise", start.noise),
        ratio=state.get("lesson2-ratio", start.ratio),
        patch=state.get("lesson2-patch", start.patch),
        window=state.get("lesson2-window", start.window),
        seed=state.get("lesson2-seed", start.seed),
    )
