"""Lesson 5: the filter as a dial on a model that was trained without it, a counterfactual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
import torch

from explorer.figures import maps
from explorer.figures.records import Line
from explorer.figures.screen import curves
from explorer.figures.screen import lessons as figures
from explorer.figures.settings import Look
from explorer.figures.style import Palette, Range
from explorer.jobs.passes import DialJob, TraceJob
from explorer.lessons import dial
from explorer.measures import attention, similarity
from explorer.measures.attention import Heads
from explorer.measures.settings import Matrix
from explorer.pictures import preprocess
from explorer.serving.engine import ask
from explorer.traces import Trace
from explorer.types import TWICING, Filter, ModelCard, Progress
from explorer.ui import learn, view, work
from explorer.ui.learn import HandoutPicture
from explorer.ui.shell import resources
from explorer.ui.shell.session import View, array, palette, plain

TITLE = "The filter as a dial"
WORDS = (
    "A standard model, its weights untouched, with aA + (1 − a)A² in place of A in some of its blocks: a = 1 is the "
    "model as it was trained, a = 2 twicing. It was never trained so: a counterfactual, not DeiT-Twicing.",
)
ASKED = "How far can you turn the dial before the prediction changes, and in which blocks does it matter most?"
_SOME = "some"
_ALIKE = "similarity after the last block"


@dataclass(frozen=True)
class DialSetting:
    """Where the dial stands."""

    a: float
    blocks: tuple[int, ...]
    """From 0."""


def standard_of(chosen: View) -> ModelCard | None:
    """The standard model on the screen, as it was trained."""
    return next((card for card in chosen.pair.cards if card.is_standard and not card.is_counterfactual), None)


def trained_of(chosen: View, standard: ModelCard) -> ModelCard | None:
    """Its partner that was trained with twicing, as the reference."""
    return next(
        (card for card in chosen.pair.cards if not card.is_counterfactual and not card.is_standard
         and card.wnids == standard.wnids),
        None,
    )  # fmt: skip


@learn.fragment
def lesson() -> None:
    """The dial, and what it does to the chosen photograph."""
    chosen = view()
    standard = standard_of(chosen)
    if standard is None:
        st.info("The dial turns a standard model, as it was trained: choose one in the sidebar.")
        return
    setting = _controls(len(standard.filter))
    st.warning(
        f"**Operator swapped, not trained.** {plain(standard.name)} was trained with a = 1; "
        "any other a is a counterfactual."
    )
    traces, trained = _traces(chosen, standard, setting)
    _maps(chosen, standard, traces[0], traces[1], setting)
    left, right = st.columns(2, gap="large")
    with left:
        learn.chart(_similarity(standard, trained, traces, palette()), "dial-similarity", "Token similarity")
    with right:
        _predictions(standard, traces)
    learn.handout("dial", TITLE, WORDS, ASKED, partial(pictures, chosen, standard, setting))


Traces = tuple[Trace, Trace, Trace | None]
"""The standard model as trained and where the dial stands, and its partner that was trained with twicing."""


def _traces(chosen: View, standard: ModelCard, setting: DialSetting) -> tuple[Traces, ModelCard | None]:
    engine, image = resources.engine(), chosen.photo.image
    trained = trained_of(chosen, standard)
    (now,) = ask(engine, DialJob(dial.dialled(standard.filter, setting.blocks, setting.a)), [image], standard.key)
    reference = _trace(chosen, trained) if trained else None
    return (_trace(chosen, standard), now, reference), trained


def _trace(chosen: View, card: ModelCard) -> Trace:
    return ask(resources.engine(), TraceJob(), [chosen.photo.image], card.key)[0]


def _controls(depth: int) -> DialSetting:
    value, which, some = st.columns([3, 3, 3], gap="medium")
    a = value.slider(
        "a in aA + (1 − a)A²", dial.LOWEST, dial.HIGHEST, 2.0, 0.05, key="dial-a", persist_state="session",
        help="0 is A², 1 the model as trained, 2 twicing; between 1 and 2 enhancement and 0-1 boundedness both hold.",
    )  # fmt: skip
    presets = dial.presets(depth)
    name = which.segmented_control(
        "Blocks", [*presets, _SOME], default=next(iter(presets)), key="dial-blocks", required=True,
        persist_state="session",
    )  # fmt: skip
    if name in presets:
        return DialSetting(float(a), tuple(presets[str(name)]))
    picked = some.multiselect(
        "Which blocks", range(1, depth + 1), default=[depth], key="dial-some", persist_state="session"
    )
    return DialSetting(float(a), tuple(block - 1 for block in picked))


def _maps(chosen: View, card: ModelCard, before: Trace, now: Trace, setting: DialSetting) -> None:
    """CLS in the last layer, as trained and with the dial where it stands, on one scale."""
    rows = [_last_map(trace) for trace in (before, now)]
    signed = any(attention.is_signed(Matrix.EFFECTIVE, trace, trace.depth - 1) for trace in (before, now))
    span = Range.of(*rows, signed=signed)
    colours = palette()
    picture = preprocess.sharp_view(chosen.photo.image.rgb, card.preprocessing, side=300)  # quick to send
    headings = ("as trained, a = 1", f"a = {setting.a:g} in {len(setting.blocks)} blocks")
    for column, values, heading, key in zip(st.columns(2, gap="medium"), rows, headings, "ab", strict=True):
        with column:
            st.markdown(f"**{heading}**")
            drawn = maps.interactive(
                maps.draw(picture, values, span, Look()),
                maps.hover_texts(values, "effective attention"),
                values.shape,
                colours,
                height=340,
            )
            learn.chart(drawn, f"dial-map-{key}", f"Attention of CLS in the last layer, {heading}")
    st.caption(
        "Row of the effective attention pₐ(A) in the last layer, query "
        f"{'CLS' if before.has_class_token else 'the mean patch'}, mean over heads; both maps on one scale, "
        f"colours end at {maps.number(span.high)}."
    )


def _last_map(trace: Trace) -> np.ndarray:
    query = 0 if trace.has_class_token else None
    row = attention.maps(trace, query, Matrix.EFFECTIVE, Heads.MEAN)[-1]
    return array(attention.patch_maps(row, trace))


def _similarity(standard: ModelCard, trained: ModelCard | None, traces: Traces, colours: Palette) -> Any:
    """Curves of the model as trained, with the dial, and of its trained partner."""
    before, now, reference = traces
    named_traces = [
        (f"{standard.name}, as trained", before, colours.baseline, "solid"),
        ("operator swapped, not trained", now, colours.baseline, "dash"),
    ]
    if trained and reference:
        named_traces.append((f"{trained.name}, as trained", reference, colours.twicing, "solid"))
    lines = [
        Line(name, array(similarity.token_similarity(trace)), colour, dash=dash)
        for name, trace, colour, dash in named_traces
    ]
    return curves.by_layer(lines, colours, y="Token similarity", first_layer=0)


def _predictions(standard: ModelCard, traces: Traces) -> None:
    if len(standard.classes) < 2:
        st.info("No classes are named for this model, so there is no prediction to name.")
        return
    rows = []
    for words, trace in zip(("as trained", "dial", "trained with twicing"), traces, strict=True):
        if trace is None or not bool(torch.isfinite(trace.logits).all()):
            continue
        prediction = dial.prediction(trace.logits)
        rows.append(
            {
                "model": words,
                "predicts": standard.classes[prediction.label],
                "probability": f"{prediction.probability:.1%}",
                "margin": round(prediction.margin, 3),
            }
        )
    st.dataframe(rows, hide_index=True)
    st.caption("Margin: logit of the preferred class minus the next best.")


Numbers = tuple[float, float]
"""Margin for a class (not a number where there is none), and token similarity after the last block."""


def sweep() -> None:
    """Both numbers over the whole dial, and over the number of blocks; no fragment, so that a click ends the work."""
    chosen = view()
    standard = standard_of(chosen)
    if standard is None:
        return
    presets = dial.presets(len(standard.filter))
    name = st.segmented_control(
        "Blocks", list(presets), default=next(iter(presets)), key="dial-sweep-blocks", required=True,
        persist_state="session",
    )  # fmt: skip
    over_a = dial.over_a(standard.filter, presets[str(name)])
    over_depth = [(float(k), filter) for k, filter in dial.over_depth(standard.filter, TWICING)]
    label = _label(chosen, standard)
    wanted = [filter for _, filter in (*over_a, *over_depth)]
    all_numbers = work.offered(
        "dial",
        ("dial", chosen.photo.digest, standard.key, name),
        work.line(st.container()),
        "Turning the dial …",
        lambda tell: _all_numbers(chosen, standard, wanted, label, tell),
        all(work.kept(_key(chosen, standard, filter, label)) is not None for filter in wanted),
        start="Turn the dial from 0 to 3",
    )
    if all_numbers is None:
        return
    trained = trained_of(chosen, standard)
    reference = None if trained is None else _read(_trace(chosen, trained), label)
    parts = (
        (over_a, all_numbers[: len(over_a)], "a"),
        (over_depth, all_numbers[len(over_a) :], "last k blocks with a = 2"),
    )
    for column, (places, numbers, x) in zip(st.columns(2, gap="large"), parts, strict=True):
        with column:
            for which, y in enumerate(("margin", _ALIKE)):
                if which == 0 and label is None:
                    continue
                learn.chart(
                    _swept([place for place, _ in places], numbers, which, x, y, reference, palette()),
                    f"dial-{x[0]}-{which}",
                    f"{y} against {x}",
                )
    words = f" of “{plain(standard.classes[label])}”, which it predicts as trained" if label is not None else ""
    st.caption(
        f"{plain(standard.name)} under other filters. Margin{words}: the logit minus the best of the others; below "
        f"0 the prediction has left it. Left: a in blocks {name}. Right: twicing in the last k blocks."
        + (f" Solid line: {plain(trained.name)}, trained so, for reference." if trained else "")
    )


def _swept(
    places: Sequence[float],
    numbers: Sequence[Numbers],
    which: int,
    x: str,
    y: str,
    reference: Numbers | None,
    colours: Palette,
) -> Any:
    values = [both[which] for both in numbers]
    return figures.dial(places, values, colours, x=x, y=y, trained=reference[which] if reference else None)


def _label(chosen: View, standard: ModelCard) -> int | None:
    """The class the model predicts as trained."""
    if len(standard.classes) < 2:
        return None
    return int(_trace(chosen, standard).logits.argmax())


def _key(chosen: View, standard: ModelCard, filter: Filter, label: int | None) -> work.Key:
    return "dial", chosen.photo.digest, standard.key, filter, label


def _numbers(chosen: View, standard: ModelCard, filter: Filter, label: int | None) -> Numbers:
    """Remembered: two numbers for each place of the dial."""
    return work.remembered(
        _key(chosen, standard, filter, label),
        lambda: _read(ask(resources.engine(), DialJob(filter), [chosen.photo.image], standard.key)[0], label),
    )


def _all_numbers(
    chosen: View, standard: ModelCard, filters: Sequence[Filter], label: int | None, tell: Progress
) -> list[Numbers]:
    all_numbers = []
    for number, filter in enumerate(filters):
        tell(number, len(filters))
        all_numbers.append(_numbers(chosen, standard, filter, label))
    return all_numbers


def _read(trace: Trace, label: int | None) -> Numbers:
    finite = label is not None and bool(torch.isfinite(trace.logits).all())
    margin = dial.margin_for(trace.logits, label) if finite and label is not None else math.nan
    return margin, float(similarity.token_similarity(trace)[-1])


def pictures(chosen: View, standard: ModelCard, setting: DialSetting) -> Sequence[HandoutPicture]:
    """The similarity curves where the dial stands, and the margin over the dial; made outside a visit."""
    colours = learn.PAPER
    a, blocks = setting.a, setting.blocks
    traces, trained = _traces(chosen, standard, setting)
    label = _label(chosen, standard)
    over_a = dial.over_a(standard.filter, blocks)
    numbers = [_numbers(chosen, standard, filter, label) for _, filter in over_a]
    which, y = (1, _ALIKE) if label is None else (0, "margin")
    reference = None if traces[2] is None else _read(traces[2], label)
    return (
        (f"Token similarity, a = {a:g} in {len(blocks)} blocks.", _similarity(standard, trained, traces, colours)),
        (
            f"{y.capitalize()} over the dial, in the same blocks.",
            _swept([place for place, _ in over_a], numbers, which, "a", y, reference, colours),
        ),
    )
