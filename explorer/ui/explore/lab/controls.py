"""Controls of the operator lab: the weights, the operators on them, and whose rows are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import streamlit as st

from explorer.figures.style import Palette
from explorer.measures.attention import Query, in_links
from explorer.paper import operators
from explorer.paper.filters import FILTERS, Parameter
from explorer.paper.kernels import KERNELS
from explorer.traces import Trace
from explorer.types import ROLES, STANDARD, TWICING, ExplorerError, ModelCard, Operator, Operators
from explorer.ui.shell.session import View, plain

OPERATORS = "operators"
"""In addresses and the session."""
_OPENS_WITH = ("standard", "twicing", "neutreno")
_DASHES = ("dash", "dot", "dashdot", "longdash")
_STEP = 0.05


@dataclass(frozen=True)
class Candidate:
    """An operator put on the weights, by block, and how it is drawn."""

    text: str
    """As the visitor wrote it, which is what the control holds."""
    operators: Operators
    is_trained: bool
    colour: str
    dash: str

    @property
    def is_linear(self) -> bool:
        return any(not KERNELS[each.kernel].sums_to_one for each in self.operators)

    @property
    def title(self) -> str:
        return operators.spelled(self.operators)

    @property
    def single(self) -> tuple[Operator, int, int] | None:
        """The operator, and its first and last block from 1, where it is a single one; elsewhere is the standard."""
        others = {each for each in self.operators if each != STANDARD} or {STANDARD}
        operator = next(iter(others))
        blocks = [number for number, each in enumerate(self.operators, start=1) if each == operator]
        if len(others) > 1 or blocks != list(range(blocks[0], blocks[-1] + 1)):
            return None
        return operator, blocks[0], blocks[-1]


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


def words() -> list[str]:
    """Every filter on every kernel, as `operators.named` reads them."""
    return [
        str(replace(operators.named(name), parameter=None, kernel=kernel)) for kernel in KERNELS for name in FILTERS
    ]


def weights(chosen: View) -> int:
    """One of the pair's sets of weights, by its place in the pair."""
    first, second = chosen.pair.cards
    if first.digest == second.digest:
        return 0
    role = st.segmented_control(
        "Weights",
        ROLES,
        default=ROLES[0],
        format_func=lambda role: plain(chosen.pair.cards[ROLES.index(role)].name),
        key="weights",
        required=True,
        bind="query-params",
        help="All operators below are put on these weights, which were trained with one of them.",
    )
    return ROLES.index(str(role))


def candidates(card: ModelCard, colours: Palette) -> list[Candidate]:
    """The operators chosen; says below the control what cannot be read, and goes on without it."""
    depth = len(card.filter)
    chosen = st.multiselect(
        "Operators",
        list(dict.fromkeys([*words(), *st.session_state.get(OPERATORS, ())])),
        default=_OPENS_WITH,
        key=OPERATORS,
        accept_new_options=True,
        bind="query-params",
        placeholder="Choose operators, or write one such as neutreno=0.4 or twicing@10-12",
        help=f"Choose any, or write one: `neutreno=0.4`, `linear-twicing`, `twicing@{max(1, depth - 2)}-{depth}` (in "
        "those blocks, the standard operator elsewhere).",
    )
    by_text: dict[str, Operators] = {}
    for text in chosen:
        try:
            by_text[text] = operators.in_blocks(text, depth)
        except ExplorerError as error:
            st.error(plain(str(error), 400))
    return _drawn(card, by_text, colours)


def _drawn(card: ModelCard, by_text: Mapping[str, Operators], colours: Palette) -> list[Candidate]:
    """Standard and twicing in the colours of the models, others in their order; dashed but for the trained one."""
    known = {STANDARD: colours.baseline, TWICING: colours.twicing}
    others = 0
    results = []
    for text, filter in by_text.items():
        is_trained = operators.are_same(filter, card.trained_filter)
        kinds = set(filter)
        if len(kinds) == 1 and (operator := next(iter(kinds))) in known:
            colour, dash = known[operator], _DASHES[0]
        else:
            colour = colours.others[others % len(colours.others)]
            dash = _DASHES[others // len(colours.others) % len(_DASHES)]
            others += 1
        results.append(Candidate(text, filter, is_trained, colour, "solid" if is_trained else dash))
    return results


def adjust(index: int, candidate: Candidate) -> None:
    """The parameter under a slider, and the blocks under another, both of which rewrite the operator's text."""
    if candidate.single is None or candidate.single[0] == STANDARD:
        return
    operator, first, last = candidate.single
    depth = len(candidate.operators)
    if parameter := FILTERS[operator.filter].parameter:
        key = f"operator-{index}-{operator.kernel}-{operator.filter}"
        low, high = _ends(parameter, operator)
        st.session_state[key] = int(_value(operator)) if parameter.is_whole else _value(operator)
        kind = int if parameter.is_whole else float
        st.slider(
            parameter.symbol,
            kind(low),
            kind(high),
            step=1 if parameter.is_whole else _STEP,
            key=key,
            on_change=_rewrite,
            args=(candidate, key, None),
        )
    if depth > 1:
        key = f"operator-{index}-blocks"
        st.session_state[key] = (first, last)
        st.slider(
            "in blocks", 1, depth, key=key, on_change=_rewrite, args=(candidate, None, key),
            help="Standard attention in the others.",
        )  # fmt: skip


def _value(operator: Operator) -> float:
    return 0.0 if operator.parameter is None else operator.parameter


def _ends(parameter: Parameter, operator: Operator) -> tuple[float, float]:
    """What the slider offers, and as far as what was written."""
    low, high = parameter.usual or (parameter.low, parameter.high)
    return min(low, _value(operator)), max(high, _value(operator))


def _rewrite(candidate: Candidate, parameter: str | None, blocks: str | None) -> None:
    """Puts what a slider says into the list of operators, where the candidate's text was."""
    assert candidate.single is not None
    operator, first, last = candidate.single
    if parameter is not None:
        operator = replace(operator, parameter=float(round(st.session_state[parameter], 9)))
    if blocks is not None:
        first, last = st.session_state[blocks]
    text = str(operator) if last - first + 1 == len(candidate.operators) else f"{operator}@{first}-{last}"
    chosen = [text if each == candidate.text else each for each in st.session_state[OPERATORS]]
    st.session_state[OPERATORS] = list(dict.fromkeys(chosen))


def seen(trace: Trace) -> Seen:
    """Which layer, head and token, of those that a trace of the weights has."""
    layer_column, head_column, query_column = st.columns([3, 4, 2], gap="medium")
    layer = layer_column.slider("Layer", 1, trace.depth, trace.depth, key="layer", bind="query-params") - 1
    names = ["mean", *map(str, range(1, trace.heads + 1))]
    head = head_column.segmented_control("Head", names, default="mean", key="head", required=True, bind="query-params")
    tokens = _tokens(trace)
    token = query_column.selectbox(
        "Query",
        list(tokens),
        format_func=lambda token: tokens[token][1],
        key="token",
        bind="query-params",
        help="The token whose row is drawn; patches by row and column, from the top left.",
    )
    query, name = tokens[str(token)]
    patch = query - trace.prefix if query is not None and query >= trace.prefix else None
    return Seen(layer, None if head == "mean" else int(str(head)) - 1, query, name, patch)


def _tokens(trace: Trace) -> dict[str, tuple[Query, str]]:
    """Tokens by what addresses call them, and what people do: the prefix, or the mean over patches; then patches."""
    prefix: dict[str, tuple[Query, str]] = {
        in_links(name): (index, name) for index, name in enumerate(trace.prefix_names)
    }
    rows, columns = trace.grid
    patches = {
        f"{row + 1},{column + 1}": (trace.prefix + row * columns + column, f"patch {row + 1}, {column + 1}")
        for row in range(rows)
        for column in range(columns)
    }
    return {**(prefix or {"mean": (None, "the mean patch")}), **patches}
