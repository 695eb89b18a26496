"""Lesson 5: the filter as a dial on a model that was trained without it, a counterfactual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
import torch

from explorer.figures import maps
from explorer.figures.screen import lessons as figures
from explorer.figures.screen import sliding as sliding_figure
from explorer.figures.sliding import (
    Amount,
    AxisScale,
    Mark,
    Role,
    Series,
    Slider,
    SlidingChart,
    SlidingMap,
    SlidingPart,
    SlidingTable,
    SlidingWords,
    Slot,
    steps,
)
from explorer.figures.style import Palette, Range
from explorer.jobs.passes import TraceJob, reading_of
from explorer.lessons import dial
from explorer.lessons.dial import DialReading
from explorer.pictures import preprocess
from explorer.serving.engine import ask
from explorer.types import Filter, ModelCard, Progress
from explorer.ui import learn, view, work
from explorer.ui.learn import HandoutPicture, arrivals, sliding
from explorer.ui.shell import resources
from explorer.ui.shell.session import View, palette, plain
from explorer.viewer import lesson as payload
from explorer.viewer import payload as viewer

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


DIAL = Slider(
    "dial-a",
    "a in aA + (1 − a)A²",
    steps(dial.LOWEST, dial.HIGHEST, 0.05),
    2.0,
    help="0 is A², 1 the model as trained, 2 twicing; between 1 and 2 enhancement and 0-1 boundedness both hold.",
)


@learn.fragment
def lesson() -> None:
    """The dial, and what it does to the chosen photograph."""
    chosen = view()
    standard = standard_of(chosen)
    if standard is None:
        st.info("The dial turns a standard model, as it was trained: choose one in the sidebar.")
        return
    blocks, left = _blocks(len(standard.filter)), sliding.values()
    st.warning(
        f"**Operator swapped, not trained.** {plain(standard.name)} was trained with a = 1; "
        "any other a is a counterfactual."
    )
    arrived = arrivals.readings(chosen, standard, blocks, DIAL, left, is_asked=sliding.is_asked("dial"))
    trained = trained_of(chosen, standard)
    sliding.show("dial", (DIAL,), payload.pack(dial_part(chosen, standard, trained, blocks, arrived)))
    learn.handout(
        "dial",
        TITLE,
        WORDS,
        ASKED,
        lambda: pictures(chosen, standard, DialSetting(sliding.value_of(DIAL, left), blocks)),
    )


def _reading(chosen: View, card: ModelCard) -> DialReading:
    """As trained, of the trace that other pages have, too."""
    return reading_of(ask(resources.engine(), TraceJob(), [chosen.photo.image], card.key)[0])


def _blocks(depth: int) -> tuple[int, ...]:
    which, some = st.columns([3, 6], gap="medium")
    presets = dial.presets(depth)
    name = which.segmented_control(
        "Blocks", [*presets, _SOME], default=next(iter(presets)), key="dial-blocks", required=True,
        persist_state="session",
    )  # fmt: skip
    if name in presets:
        return tuple(presets[str(name)])
    picked = some.multiselect(
        "Which blocks", range(1, depth + 1), default=[depth], key="dial-some", persist_state="session"
    )
    return tuple(block - 1 for block in picked)


def dial_part(
    chosen: View,
    standard: ModelCard,
    trained: ModelCard | None,
    blocks: tuple[int, ...],
    arrived: Sequence[DialReading | None],
) -> SlidingPart:
    """Maps, curves and predictions at every place of the dial that is there."""
    before = _reading(chosen, standard)
    reference = None if trained is None else _reading(chosen, trained)
    counts = f"{len(blocks)} block" + ("" if len(blocks) == 1 else "s")
    return SlidingPart(
        (DIAL,),
        [_similarity(standard, trained, before, arrived, reference)],
        [
            SlidingWords(
                "Row of the effective attention pₐ(A) in the last layer, query "
                f"{before.query}, mean over heads; both maps on one scale, "
                "colours end at {0}. Margin: logit of the preferred class minus the next best.",
                [Slot.of([_end(before, reading) for reading in arrived], DIAL)],
            )
        ],
        _predictions(standard, before, arrived, reference),
        _maps(chosen, standard, before, arrived, counts),
        [reading is not None for reading in arrived],
    )


def _maps(
    chosen: View, standard: ModelCard, before: DialReading, arrived: Sequence[DialReading | None], counts: str
) -> list[SlidingMap]:
    """The query at rest in the last layer, as trained and with the dial where it stands, on one scale."""
    photograph = viewer.jpeg(preprocess.sharp_view(chosen.photo.image.rgb, standard.preprocessing, side=300))
    spans = [_span(before, reading or before) for reading in arrived]
    ends = Amount.of([[span.low, span.high] for span in spans], DIAL)
    grid = before.row.shape[0], before.row.shape[1]
    rows = Amount.of(np.stack([(reading or before).row.ravel() for reading in arrived]), DIAL)
    alt = f"Attention of {before.query} in the last layer"
    return [
        SlidingMap("dial-map-a", "as trained, a = 1", f"{alt}, as trained", Amount.of(before.row.ravel()), grid, ends,
                   photograph),
        SlidingMap("dial-map-b", f"a = {{{DIAL.key}}} in {counts}", f"{alt}, with the dial", rows, grid, ends,
                   photograph),
    ]  # fmt: skip


def _span(*readings: DialReading) -> Range:
    return Range.of(*(each.row for each in readings), signed=any(each.is_signed for each in readings))


def _end(before: DialReading, reading: DialReading | None) -> str:
    return "" if reading is None else maps.number(_span(before, reading).high)


def _similarity(
    standard: ModelCard,
    trained: ModelCard | None,
    before: DialReading,
    arrived: Sequence[DialReading | None],
    reference: DialReading | None,
) -> SlidingChart:
    """Curves of the model as trained, with the dial, and of its trained partner."""
    states = len(before.similarity)
    layers, missing = Amount.of(np.arange(states)), np.full(states, np.nan)
    curves = np.stack([missing if reading is None else reading.similarity for reading in arrived])
    series = [
        Series(f"{standard.name}, as trained", layers, Amount.of(before.similarity), Role.BASELINE, Mark.BOTH),
        Series("operator swapped, not trained", layers, Amount.of(curves, DIAL), Role.BASELINE, Mark.BOTH, "dash"),
    ]
    if trained is not None and reference is not None:
        of_trained = Amount.of(np.arange(len(reference.similarity))), Amount.of(reference.similarity)
        series.append(Series(f"{trained.name}, as trained", *of_trained, Role.TWICING, Mark.BOTH))
    lowest = min(0.0, *(float(np.nanmin(term.stack.values)) for each in series for term in each.y.terms))
    ticks = tuple(range(states)) if states <= 17 else ()
    return SlidingChart(
        "dial-similarity",
        "Token similarity",
        AxisScale("Layer", Amount.of([0, states - 1]), ticks=ticks),
        AxisScale("Token similarity", Amount.of([lowest, 1.0])),
        series,
    )


def _predictions(
    standard: ModelCard, before: DialReading, arrived: Sequence[DialReading | None], reference: DialReading | None
) -> list[SlidingTable]:
    """What is predicted as trained, by the dial and by the model that was trained with twicing."""
    if len(standard.classes) < 2:
        return []
    rows = [[SlidingWords.literally(text) for text in ("as trained", *_prediction(standard, before))]]
    by_place = zip(*(_prediction(standard, reading) for reading in arrived), strict=True)
    rows.append([SlidingWords("dial"), *(SlidingWords("{0}", [Slot.of(texts, DIAL)]) for texts in by_place)])
    if reference is not None:
        texts = "trained with twicing", *_prediction(standard, reference)
        rows.append([SlidingWords.literally(text) for text in texts])
    return [SlidingTable(("model", "predicts", "probability", "margin"), rows)]


def _prediction(standard: ModelCard, reading: DialReading | None) -> tuple[str, str, str]:
    """Class, probability and margin; nothing where they are no numbers."""
    if reading is None or not bool(torch.isfinite(reading.logits).all()):
        return "", "", ""
    best = dial.prediction(reading.logits)
    return standard.classes[best.label], f"{best.probability:.1%}", f"{best.margin:.3f}"


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
    over_depth = [(float(k), filter) for k, filter in dial.over_depth(standard.filter, 2.0)]
    label = _label(chosen, standard)
    wanted = [filter for _, filter in (*over_a, *over_depth)]
    all_numbers = work.offered(
        "dial",
        ("dial", chosen.photo.digest, standard.key, name),
        work.line(st.container()),
        "Turning the dial …",
        lambda tell: _all_numbers(chosen, standard, wanted, label, tell),
        all(arrivals.is_there(chosen, standard, filter) for filter in wanted),
        start="Turn the dial from 0 to 3",
    )
    if all_numbers is None:
        return
    trained = trained_of(chosen, standard)
    reference = None if trained is None else _read(_reading(chosen, trained), label)
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
    return int(_reading(chosen, standard).logits.argmax())


def _all_numbers(
    chosen: View, standard: ModelCard, filters: Sequence[Filter], label: int | None, tell: Progress
) -> list[Numbers]:
    all_numbers = []
    for number, filter in enumerate(filters):
        tell(number, len(filters))
        all_numbers.append(_read(arrivals.reading(chosen, standard, filter), label))
    return all_numbers


def _read(reading: DialReading, label: int | None) -> Numbers:
    finite = label is not None and bool(torch.isfinite(reading.logits).all())
    margin = dial.margin_for(reading.logits, label) if finite and label is not None else math.nan
    return margin, float(reading.similarity[-1])


def pictures(chosen: View, standard: ModelCard, setting: DialSetting) -> Sequence[HandoutPicture]:
    """The similarity curves where the dial stands, and the margin over the dial; made outside a visit."""
    colours = learn.PAPER
    a, blocks = setting.a, setting.blocks
    trained, label = trained_of(chosen, standard), _label(chosen, standard)
    before, reference = _reading(chosen, standard), None if trained is None else _reading(chosen, trained)
    now = arrivals.reading(chosen, standard, dial.dialled(standard.filter, blocks, a))
    over_a = dial.over_a(standard.filter, blocks)
    numbers = [_read(arrivals.reading(chosen, standard, filter), label) for _, filter in over_a]
    which, y = (1, _ALIKE) if label is None else (0, "margin")
    worth = None if reference is None else _read(reference, label)
    chart = _similarity(standard, trained, before, [now if value == a else None for value in DIAL.values], reference)
    return (
        (
            f"Token similarity, a = {a:g} in {len(blocks)} blocks.",
            sliding_figure.draw(chart, colours, {DIAL.key: DIAL.values.index(a)}),
        ),
        (
            f"{y.capitalize()} over the dial, in the same blocks.",
            _swept([place for place, _ in over_a], numbers, which, "a", y, worth, colours),
        ),
    )
