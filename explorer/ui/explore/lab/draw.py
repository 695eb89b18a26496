"""What the operator lab shows of its operators: a column for each, and charts with a line for each."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import streamlit as st
from jaxtyping import Float

from explorer.figures import maps
from explorer.figures.maps import ScreenPicture
from explorer.figures.records import Line
from explorer.figures.screen import curves, spectra
from explorer.figures.screen.maps import colour_bar, interactive
from explorer.figures.settings import Look
from explorer.figures.style import Range
from explorer.lessons import dial
from explorer.paper import operators
from explorer.paper.filters import FILTERS
from explorer.paper.kernels import KERNELS
from explorer.pictures import preprocess
from explorer.studio.latex import equation
from explorer.types import STANDARD, ModelCard, Operator
from explorer.ui.explore.lab import controls
from explorer.ui.explore.lab.compute import OperatorReading
from explorer.ui.explore.lab.controls import Candidate, Seen
from explorer.ui.shell import panels
from explorer.ui.shell.session import Photo, palette, plain

COUNTERFACTUAL = "counterfactual: operator swapped, not trained"
GFLOPS = (
    "Multiply-adds of matrix products and convolutions in one pass, as papers count FLOPs: those counted of the model, "
    "and N²d a head for every further time that A is applied. A is formed as a matrix, of linear attention, too."
)
_MOST_COLUMNS = 4
_FROM = " from "
_BARE = {"displayModeBar": False}

HeadMaps = Float[np.ndarray, "head row column"]


def columns(
    photo: Photo, card: ModelCard, chosen: Sequence[Candidate], readings: Sequence[OperatorReading], seen: Seen
) -> None:
    """A column for each operator: its maps on one scale, what it answers and costs, its equation, its sliders."""
    photograph = preprocess.sharp_view(photo.image.rgb, card.preprocessing)
    span = _span(readings, seen)
    across = min(_MOST_COLUMNS, max(2, len(chosen)))
    for start in range(0, len(chosen), across):
        slots = st.columns(across, gap="medium")
        for index, slot in enumerate(slots[: len(chosen) - start], start=start):
            with slot:
                _column(photograph, card, index, chosen[index], readings[index], seen, span)
    bar = colour_bar(span, Look().colour_map, palette(), f"Row of {seen.token} in layer {seen.layer + 1}")
    st.plotly_chart(bar, key="operators-bar", config=_BARE)


def _column(
    photograph: ScreenPicture,
    card: ModelCard,
    index: int,
    candidate: Candidate,
    reading: OperatorReading,
    seen: Seen,
    span: Range,
) -> None:
    _heading(candidate)
    own, from_first = operators.polynomials(candidate.operators[seen.layer], seen.layer)
    _map(photograph, index, "E", f"E = {own}", reading.own, seen, span)
    _answer(card, reading)
    _equations(candidate)
    controls.adjust(index, candidate)
    if reading.first is None:
        return
    words = f"E₀ = {from_first}, of the first block's values"
    if reading.first.any():
        _map(photograph, index, "E0", words, reading.first, seen, span)
    else:
        st.caption(f"{words}: this row has nothing on the patches")


def _heading(candidate: Candidate) -> None:
    note = "as trained" if candidate.is_trained else COUNTERFACTUAL
    style = "opacity:.7" if candidate.is_trained else "font-weight:600"
    st.html(
        f'<div style="color:{candidate.colour};font-size:1.1rem;font-weight:700;overflow-wrap:anywhere">'
        f"{html.escape(candidate.title)}</div>"
        f'<div style="font-size:.8rem;min-height:2.9em;{style}">{html.escape(note)}</div>'
    )


def _map(
    photograph: ScreenPicture, index: int, name: str, words: str, by_head: HeadMaps, seen: Seen, span: Range
) -> None:
    values = of_head(by_head, seen)
    picture = maps.draw(photograph, values, span, Look())
    figure = interactive(picture, maps.hover_texts(values, name), values.shape, palette())
    if seen.patch is not None:
        row, column = divmod(seen.patch, values.shape[1])
        place = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
        figure.update_layout(shapes=[{"type": "rect", **place, "line": {"color": "white", "width": 2}}])
    panels.map_chart(st.container(), figure, f"operators-{name}-{index}", f"{words}, layer {seen.layer + 1}")
    st.caption(words)


def of_head(by_head: HeadMaps, seen: Seen) -> Float[np.ndarray, "row column"]:
    """The map of the head, or of their mean."""
    values: np.ndarray = by_head.mean(axis=0) if seen.head is None else by_head[seen.head]
    return values


def _span(readings: Sequence[OperatorReading], seen: Seen) -> Range:
    """One scale for all maps, but for the query's own patch, which a multiple of `I` would let hide all others."""
    own = [of_head(reading.own, seen) for reading in readings]
    first = [of_head(reading.first, seen) for reading in readings if reading.first is not None]
    kept = np.ones(own[0].size, dtype=bool)
    if seen.patch is not None:
        kept[seen.patch] = False
    values = [np.nan_to_num(each.ravel()[kept]) for each in (*own, *first)]
    return Range.of(*values, signed=any(bool((each < 0).any()) for each in values))


def _answer(card: ModelCard, reading: OperatorReading) -> None:
    """Prediction and margin, and the cost of the pass."""
    if not bool(reading.logits.isfinite().all()):
        st.markdown("No answer: its logits are not finite.")
    elif len(card.classes) > 1:
        best = dial.prediction(reading.logits)
        st.markdown(
            f"**{plain(card.classes[best.label])}** {best.probability:.1%}, margin {best.margin:.2f}",
            help="The class it prefers and its probability. Margin: the logit of that class minus the next best.",
        )
    st.caption(f"{reading.multiply_adds / 1e9:.3g} GFLOPs a pass", help=GFLOPS)


def _equations(candidate: Candidate) -> None:
    """What each kind of block does, by its equation and its source."""
    kinds = dict.fromkeys(each for each in candidate.operators if each != STANDARD) or {STANDARD: None}
    lines = [line for operator in kinds for line in _of_operator(operator)]
    if len(set(candidate.operators)) > 1:
        lines.append("in the other blocks $U = AV$" if candidate.placed else "by block")
    st.markdown("  \n".join(lines))


def _of_operator(operator: Operator) -> list[str]:
    filter, kernel = FILTERS[operator.filter], KERNELS[operator.kernel]
    lines = [_rendered("U", filter.equation)]
    if operator.kernel != "softmax":
        lines.append(_rendered("A", kernel.equation))
    sources = [filter.source] + [kernel.source] * (operator.kernel != "softmax")
    return [*lines, f":small[{plain('; '.join(sources), 200)}]"]


def _rendered(symbol: str, text: str) -> str:
    """With its words outside, where they can go on in the next line."""
    formula, _, words = text.partition(_FROM)
    parts = [f"${equation(part)}$" for part in f"{symbol} = {formula.rstrip(',')}".split(", ")]
    return ", ".join(parts) + (f"{_FROM}{words}" if words else "")


def similarity_chart(chosen: Sequence[Candidate], readings: Sequence[OperatorReading]) -> None:
    """Token similarity by block, a line for each operator."""
    lines = [
        Line(candidate.title, reading.similarity, candidate.colour, dash=candidate.dash)
        for candidate, reading in zip(chosen, readings, strict=True)
    ]
    low = min(0.0, *(float(np.nan_to_num(line.values).min()) for line in lines))
    figure = curves.by_layer(
        lines, palette(), y="Token similarity", first_layer=0, y_range=(low, 1.02), height=_height(lines)
    )
    st.plotly_chart(
        figure, key="operators-similarity", config=_BARE, alt="Token similarity by layer, operator by operator"
    )


def _height(lines: Sequence[Line]) -> int:
    """Pixels of a chart whose legend has a name for each line."""
    return max(380, 320 + 12 * len(lines))


def spectrum_chart(chosen: Sequence[Candidate], readings: Sequence[OperatorReading], seen: Seen) -> None:
    """Moduli of the eigenvalues of `E`, sorted in each head."""
    lines = [
        Line(candidate.title, moduli(reading, seen), candidate.colour, dash=candidate.dash)
        for candidate, reading in zip(chosen, readings, strict=True)
        if reading.eigenvalues.size
    ]
    figure = spectra.ranked(lines, palette(), y="|λ| of E", height=_height(lines))
    st.plotly_chart(figure, key="operators-spectrum", config=_BARE, alt="Moduli of the eigenvalues of E by rank")


def moduli(reading: OperatorReading, seen: Seen) -> Float[np.ndarray, " token"]:
    """Of the head, or their mean over heads at each rank."""
    by_head = np.abs(reading.eigenvalues)
    values: np.ndarray = by_head.mean(axis=0) if seen.head is None else by_head[seen.head]
    return values
