"""Lesson 2: a photograph smoothed by nonlocal means, what that takes from it, and what twicing gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import streamlit as st

from explorer.figures.screen import denoising as figures
from explorer.figures.screen.chart import Chart
from explorer.figures.screen.maps import colour_bar
from explorer.figures.settings import ColourMap
from explorer.figures.style import Range
from explorer.lessons.nonlocal_means import TIMES, FloatPicture
from explorer.lessons.quality import Lost, Quality
from explorer.lessons.study import Study
from explorer.settings import Option
from explorer.types import Picture
from explorer.ui import learn, view
from explorer.ui.learn import weight_matrix
from explorer.ui.learn.denoising import ONCE, DenoisingSettings, controls, current, study_of, work
from explorer.ui.learn.pictures import NamedPicture, picture_row, wipe
from explorer.ui.shell import choices, panels
from explorer.ui.shell.session import Photo, palette

TITLE = "Smoothing an image"
WORDS = (
    "Nonlocal means replaces each pixel by a weighted mean of the pixels whose surroundings look alike, AV. What it "
    "takes away, V − AV, the method noise, should be noise alone; edges that can be seen in it are structure lost.",
    "Twicing smooths what was taken away with the same weights and adds it: AV + A(V − AV) = (2A − A²)V.",
)
ASKED = "From which bandwidth h on is twicing closer to the clean picture than smoothing once, and why not below it?"
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(base: str, n: int) -> str:
    """`AV`, `A⁶V`."""
    return f"{base}V" if n == 1 else f"{base}{str(n).translate(_SUPERSCRIPTS)}V"


def _named(done: Study) -> Mapping[str, tuple[FloatPicture, Quality | None]]:
    """The pictures of smoothing and twicing once by name, and how close they come."""
    return {
        "noisy V": (done.denoised.noisy, done.noisy),
        "once AV": (done.denoised.smoothed, done.standard[1]),
        "twiced (2A − A²)V": (done.denoised.twiced, done.twicing[1]),
        "clean": (done.clean, None),
    }


def _colours() -> Mapping[str, str]:
    return {"once AV": palette().baseline, "twiced (2A − A²)V": palette().twicing}


def _once(photo: Photo, chosen: DenoisingSettings) -> None:
    """Smoothed and twiced beside the noisy picture; any two of them under a wipe."""
    done = work(photo, chosen, ONCE)
    if done is not None:
        _compared(photo, chosen)


@learn.fragment
def _compared(photo: Photo, chosen: DenoisingSettings) -> None:
    done = study_of(photo, chosen)  # a fragment's arguments stay with the session: no pictures among them
    named, colours = _named(done), _colours()
    picture_row(
        [
            NamedPicture(
                figures.as_picture(picture), name, f"The photograph, {name}", _scores(quality), colours.get(name)
            )
            for name, (picture, quality) in named.items()
            if quality is not None
        ],
        260,
    )
    st.markdown(verdict(done, chosen))
    left, right = st.columns([3, 2], gap="large")
    with right:
        left_name = st.selectbox("Left of the line", list(named), index=1, key="lesson2-left", persist_state="session")
        right_name = st.selectbox(
            "Right of the line", list(named), index=2, key="lesson2-right", persist_state="session"
        )
        st.table(
            [
                {"picture": name, "PSNR, dB": f"{quality.psnr:.2f}", "SSIM": f"{quality.ssim:.3f}"}
                for name, (_, quality) in named.items()
                if quality is not None
            ],
            hide_index=True,
        )
        st.caption(
            "Drag the line, or move it with the arrow keys. Numbers are against the clean picture, nothing clipped: "
            "PSNR for a range of 1, SSIM after Wang et al. 2004, mean over the channels. Weights come from the noisy "
            "picture once and stay as they are; no noise variance is taken off the distances."
        )
    with left:
        before, after = (
            NamedPicture(figures.as_picture(named[name][0]), name, f"The photograph, {name}")
            for name in (str(left_name), str(right_name))
        )
        wipe(before, after, key="lesson2-wipe")


def _scores(quality: Quality) -> str:
    return f"PSNR {quality.psnr:.1f} dB, SSIM {quality.ssim:.2f}"


def verdict(done: Study, chosen: DenoisingSettings) -> str:
    """Which of both is closer to the clean picture, said as it is."""
    at = f"At h = {chosen.ratio:.1f} σ"
    if done.gain >= 0:
        return f"{at} twicing comes **{done.gain:.1f} dB** closer to the clean picture than smoothing once."
    return (
        f"{at} smoothing once is **{-done.gain:.1f} dB better** than twicing: what so narrow a filter takes away is "
        "mostly noise, and twicing brings some of it back."
    )


class LostPart(Option):
    """What of the method noise is drawn."""

    ALL = "all of it"
    STRUCTURE = "only structure"
    NOISE = "only noise"


def _lost(photo: Photo, chosen: DenoisingSettings) -> None:
    """Method noise of both filters on one scale, whole or in its two parts."""
    done = work(photo, chosen, ONCE)
    if done is not None:
        _taken(photo, chosen)


@learn.fragment
def _taken(photo: Photo, chosen: DenoisingSettings) -> None:
    done = study_of(photo, chosen)
    which = choices.segments(
        "Show",
        LostPart.ALL,
        key="lesson2-lost",
        help="The filters are linear, and here the clean picture is known: what they take is the sum of both parts.",
    )
    names = {
        LostPart.ALL: ("V − AV", "V − (2A − A²)V"),
        LostPart.STRUCTURE: ("f − Af", "f − (2A − A²)f"),
        LostPart.NOISE: ("ε − Aε", "ε − (2A − A²)ε"),
    }[which]
    span = _span(done)
    picture_row(
        [
            NamedPicture(
                figures.residual(_part(lost, which), span),
                name,
                f"What is taken from the photograph, {name}: {which}",
                f"{100 * lost.structure_share:.0f}% of what is taken is structure",
                colour,
            )
            for lost, name, colour in zip(done.lost, names, palette().models, strict=True)
        ],
        300,
    )
    bar = colour_bar(span, ColourMap.CIVIDIS, palette(), "intensity taken away, mean over the channels")
    learn.chart(bar, "lesson2-bar", "Colour scale of what is taken away")
    st.caption(
        "V = f + ε: f is the clean picture, ε the noise. Both pictures and all three choices share one scale, which "
        "ends where 1 pixel in 200 of V − AV lies beyond it. Share of structure in what a filter M takes: "
        "|f − Mf|² of |f − Mf|² + |ε − Mε|²."
    )


def _part(lost: Lost, which: LostPart) -> FloatPicture:
    parts = {LostPart.STRUCTURE: lost.structure, LostPart.NOISE: lost.noise}
    return parts[which] if which in parts else np.asarray(lost.structure + lost.noise)


def _span(done: Study) -> Range:
    """Around 0, to where nearly all of the method noise lies: single pixels would leave the rest pale."""
    largest = float(np.quantile(np.abs(done.denoised.residual.mean(axis=-1)), 0.995)) or 1e-12
    return Range(-largest, largest)


def _again_and_again(photo: Photo, chosen: DenoisingSettings) -> None:
    """Both filters iterated with the same weights."""
    done = work(photo, chosen, TIMES)
    if done is None:
        return
    for base, images, numbers, colour in (
        ("A", done.denoised.standard, done.standard, palette().baseline),
        ("(2A − A²)", done.denoised.twicing, done.twicing, palette().twicing),
    ):
        picture_row(
            [
                NamedPicture(
                    figures.as_picture(images[n]),
                    power(base, n),
                    f"The photograph, {power(base, n)}",
                    _scores(numbers[n]),
                    colour,
                )
                for n in sorted(numbers)
                if n in TIMES
            ],
            160,
        )
    left, right = st.columns(2, gap="large")
    for slot, measure, name in ((left, "psnr", "PSNR"), (right, "ssim", "SSIM")):
        with slot:
            figure = figures.quality_by_times(done.standard, done.twicing, done.noisy, palette(), measure=measure)
            learn.chart(figure, f"lesson2-{measure}", f"{name} against the number of applications")
    best = [max(qualities, key=lambda n: qualities[n].psnr) for qualities in (done.standard, done.twicing)]
    st.caption(
        f"Highest PSNR of those shown: A at n = {best[0]}, 2A − A² at n = {best[1]}. Every application pulls like "
        "pixels together, as depth does with tokens; twicing takes more of them to get as far."
    )


PARTS = {
    "Smooth, lose, give back": learn.Part(
        r"AV + A(V - AV)",
        "**Pixels whose patches look alike are averaged**, wherever they lie: A = D⁻¹W with weights "
        "exp(−|Pᵢ − Pⱼ|²/h²). Twicing smooths what was taken away and adds it. Compare skin, edges and flat ground.",
        _once,
    ),
    "What was lost": learn.Part(
        r"V - (2A - A^2)V = (I - A)^2 V",
        "**A good filter takes only noise**: whatever can be recognised below was part of the picture. Twicing leaves "
        "the residual of the residual, with less of the picture in it.",
        _lost,
    ),
    "Again and again": learn.Part(
        r"A^n V \quad\text{and}\quad (2A - A^2)^n V",
        "**The same filter n times**, as in layer after layer: details fade, then a few flat regions are left for "
        "long, and in the limit one colour. Twicing fades more slowly (paper Prop. 1).",
        _again_and_again,
    ),
    "The weight matrix": learn.Part(
        r"\lambda \mapsto \lambda^n \quad\text{and}\quad (2\lambda - \lambda^2)^n",
        "**Why it fades**: each application multiplies what lies along an eigenvector by λ, or by 2λ − λ² ≥ λ. The "
        "matrix of a small crop can be looked at whole.",
        weight_matrix.of_crop,
    ),
}


def lesson() -> None:
    """The sliders and one part at a time: what is not looked at is not computed.

    No fragment: a run of a fragment is not interrupted by another, and a click must end what is being computed. What
    is drawn of a result is a fragment of its own.
    """
    chosen = controls()
    part = learn.choose_part("lesson2-part", PARTS)
    with panels.refusals():
        part.draw(view().photo, chosen)


def pictures() -> Callable[[], Sequence[learn.HandoutPicture]]:
    """For the handout; what is chosen is read now, because a download is made outside any visit."""
    return partial(pictures_of, view().photo, current())


def pictures_of(photo: Photo, chosen: DenoisingSettings) -> Sequence[learn.HandoutPicture]:
    """The photograph's pictures and numbers under these settings, on paper."""
    done, colours = study_of(photo, chosen, TIMES), learn.PAPER
    span = _span(done)
    once = [
        (f"{name}: {_scores(quality)}", figures.as_picture(picture))
        for name, (picture, quality) in _named(done).items()
        if quality is not None
    ]
    residuals = [figures.residual(_part(lost, LostPart.ALL), span) for lost in done.lost]
    shares = [f"{100 * lost.structure_share:.0f}%" for lost in done.lost]
    again = [
        [figures.as_picture(pictures[n]) for n in TIMES] for pictures in (done.denoised.standard, done.denoised.twicing)
    ]
    settings = f"σ = {chosen.noise:g}, h = {chosen.ratio:.1f} σ, patch {chosen.patch} px, window {chosen.window} px"
    return (
        (f"The photograph, and {once[0][0]} ({settings}).", _pair(figures.as_picture(done.clean), once[0][1])),
        (f"{once[1][0]}; {once[2][0]}.", _pair(once[1][1], once[2][1])),
        (
            f"V − AV and V − (2A − A²)V, {' and '.join(shares)} of it structure; colours end at ±{span.high:.2f}.",
            _pair(*residuals),
        ),
        (
            "AⁿV above, (2A − A²)ⁿV below, for n = " + ", ".join(map(str, TIMES)) + ".",
            figures.panels(again, colours),
        ),
        (
            "PSNR of both filters applied n times; dashed: noisy.",
            figures.quality_by_times(done.standard, done.twicing, done.noisy, colours),
        ),
        (
            "What n applications leave of the eigenvalues of the crop in the middle, at most 32 px a side.",
            figures.spectrum(weight_matrix.in_the_middle(photo, chosen).eigenvalues, TIMES[::2], colours),
        ),
    )


def _pair(left: Picture, right: Picture) -> Chart:
    return figures.panels([[left, right]], learn.PAPER)
