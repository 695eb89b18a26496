"""Controls of the operator lab: the weights, the operators on them, and whose rows are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.figures.style import Palette, operator_strokes
from explorer.measures.attention import Query
from explorer.paper import operators
from explorer.paper.filters import FILTERS, Parameter
from explorer.paper.kernels import KERNELS
from explorer.paper.placed import Placed, placed
from explorer.traces import Trace
from explorer.types import ROLES, STANDARD, ExplorerError, ModelCard, Operator, Operators
from explorer.ui.shell.session import View, plain

OPERATORS = "operators"
"""In addresses and the session."""
_OPENS_WITH = ("standard", "twicing", "neutreno")
_STEP = 0.05
_MOST = 1e6
"""Beyond, a number has no slider."""
_MODELS = tuple(f"{role} model" for role in ROLES)


@dataclass(frozen=True)
class Candidate:
    """An operator put on the weights, by block, and how it is drawn."""

    text: str
    """As the visitor wrote it, which is what the control holds."""
    operators: Operators
    placed: Placed | None
    """Where it is a single operator in a run of blocks."""
    is_trained: bool
    colour: str
    dash: str

    @property
    def title(self) -> str:
        return str(self.placed or self.text)

    @property
    def is_linear(self) -> bool:
        return any(not KERNELS[each.kernel].sums_to_one for each in self.operators)


@dataclass(frozen=True)
class Seen:
    """Which maps are drawn: a layer, from 0, a head or their mean, and a token."""

    layer: int
    head: int | None
    query: Query
    token: str
    """What the query is called."""
    patch: int | None
    """Which patch the query is, where it is one."""

    @property
    def heads(self) -> str:
        return "mean over heads" if self.head is None else f"head {self.head + 1}"


def weights(chosen: View, place: DeltaGenerator) -> int:
    """One of the pair's sets of weights, by its place in the pair."""
    first, second = chosen.pair.cards
    if first.digest == second.digest:
        return 0
    model = place.segmented_control(
        "Weights of the",
        _MODELS,
        default=_MODELS[0],
        key="weights",
        required=True,
        bind="query-params",  # which has words as they are on the screen
        help="All operators are put on these weights, which were trained with one of them.",
    )
    return _MODELS.index(str(model))


def candidates(card: ModelCard, colours: Palette, place: DeltaGenerator) -> list[Candidate]:
    """The operators chosen; says below the control what cannot be read, and goes on without it."""
    depth = len(card.filter)
    chosen = place.multiselect(
        "Operators",
        list(dict.fromkeys([*operators.words(), *st.session_state.get(OPERATORS, ())])),
        default=_OPENS_WITH,
        key=OPERATORS,
        accept_new_options=True,
        select_all=False,  # what is typed chooses one
        bind="query-params",
        placeholder="Choose operators, or write one such as neutreno=0.4 or twicing@10-12",
        help=f"Choose any, or write one: `neutreno=0.4`, `linear-twicing`, `twicing@{max(1, depth - 2)}-{depth}` (in "
        "those blocks, the standard operator elsewhere).",
    )
    by_text: dict[str, Placed | None] = {}
    for text in chosen:
        try:
            by_text[text] = placed(text, depth)
        except ExplorerError as error:
            place.error(plain(str(error), 400))
    return _drawn(card, by_text, colours)


def _drawn(card: ModelCard, by_text: Mapping[str, Placed | None], colours: Palette) -> list[Candidate]:
    filters = {text: operators.in_blocks(text, len(card.filter)) for text in by_text}
    trained = {
        str(single or text): operators.are_same(filters[text], card.trained_filter) for text, single in by_text.items()
    }
    strokes = dict(zip(trained, operator_strokes(trained, colours), strict=True))
    return [
        Candidate(text, filters[text], single, trained[title], *strokes[title])
        for text, single in by_text.items()
        for title in [str(single or text)]
    ]


def adjust(index: int, candidate: Candidate) -> None:
    """The parameter under a slider, and the blocks under another, both of which rewrite the operator's text."""
    placed = candidate.placed
    if placed is None or placed.operator == STANDARD:
        return
    operator = placed.operator
    if (parameter := FILTERS[operator.filter].parameter) and abs(_value(operator)) <= _MOST:
        key = f"operator-{index}-{operator.kernel}-{operator.filter}"
        low, high = _ends(parameter, operator)
        kind = int if parameter.is_whole else float
        st.session_state[key] = kind(_value(operator))
        st.slider(
            parameter.symbol,
            kind(low),
            kind(high),
            step=1 if parameter.is_whole else _STEP,
            key=key,
            on_change=_turn,
            args=(candidate.text, placed, key),
        )
    if placed.depth > 1:
        key = f"operator-{index}-blocks"
        st.session_state[key] = placed.first, placed.last
        st.slider(
            "in blocks",
            1,
            placed.depth,
            key=key,
            on_change=_move,
            args=(candidate.text, placed, key),
            help="Standard attention in the others.",
        )


def _value(operator: Operator) -> float:
    return 0.0 if operator.parameter is None else operator.parameter


def _ends(parameter: Parameter, operator: Operator) -> tuple[float, float]:
    """What the slider offers, and as far as what was written."""
    return min(parameter.low, _value(operator)), max(parameter.high, _value(operator))


def _turn(text: str, placed: Placed, key: str) -> None:
    value = float(round(st.session_state[key], 9))
    _rewrite(text, replace(placed, operator=replace(placed.operator, parameter=value)))


def _move(text: str, placed: Placed, key: str) -> None:
    first, last = st.session_state[key]
    _rewrite(text, replace(placed, first=first, last=last))


def _rewrite(text: str, placed: Placed) -> None:
    """Puts what a slider says into the list of operators, where the text was."""
    chosen = [str(placed) if each == text else each for each in st.session_state[OPERATORS]]
    st.session_state[OPERATORS] = list(dict.fromkeys(chosen))


def seen(trace: Trace, places: Sequence[DeltaGenerator]) -> Seen:
    """Which layer, head and token, of those that a trace of the weights has."""
    layer_column, head_column, query_column = places
    layer = layer_column.slider("Layer", 1, trace.depth, trace.depth, key="layer", bind="query-params") - 1
    names = ["mean", *map(str, range(1, trace.heads + 1))]
    head = head_column.segmented_control("Head", names, default="mean", key="head", required=True, bind="query-params")
    tokens = _tokens(trace)
    token = query_column.selectbox(
        "Query",
        list(tokens),
        key="token",
        bind="query-params",
        help="The token whose row is drawn; patches by row and column, from the top left.",
    )
    query = tokens[str(token)]
    patch = query - trace.prefix if query is not None and query >= trace.prefix else None
    return Seen(layer, None if head == "mean" else int(str(head)) - 1, query, str(token), patch)


def _tokens(trace: Trace) -> dict[str, Query]:
    """Tokens by what they are called: the prefix, or the mean over patches; then the patches."""
    prefix: dict[str, Query] = {name: index for index, name in enumerate(trace.prefix_names)}
    rows, columns = trace.grid
    patches = {
        f"patch {row + 1}, {column + 1}": trace.prefix + row * columns + column
        for row in range(rows)
        for column in range(columns)
    }
    return {**(prefix or {"the mean patch": None}), **patches}
