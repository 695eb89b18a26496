"""Another operator on the weights of either side: a filter with its number, a kernel, and the blocks that it is in."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from explorer.paper import operators
from explorer.paper.filters import FILTERS, FilterKind, Parameter
from explorer.paper.kernels import KERNELS, KernelKind
from explorer.types import ROLES, STANDARD, Operator, Operators
from explorer.ui.shell import pair, panels
from explorer.ui.shell.session import Pair

_HELP = (
    "Operators add no parameters, so any can be tried on any weights. Where these were trained with another, it is a "
    "counterfactual: operator swapped, not trained."
)


def choose(key: str, depth: int) -> Operators:
    """An operator of the registries in some blocks, the standard one in the others."""
    filter = _row("Filter", FILTERS, "twicing", f"{key}-of")
    number = _number(FILTERS[filter].parameter, f"{key}-{filter}")
    kernel = _row("Kernel", KERNELS, STANDARD.kernel, f"{key}-kernel")
    first, last = st.slider("Blocks", 1, depth, (1, depth), key=f"{key}-blocks-{depth}")
    st.caption(equation(filter, kernel))
    return operators.in_blocks(f"{Operator(filter, number, kernel)}@{first}-{last}", depth)


def _row(label: str, rows: Mapping[str, FilterKind] | Mapping[str, KernelKind], default: str, key: str) -> str:
    names = list(rows)
    return st.selectbox(label, names, index=names.index(default), format_func=lambda name: rows[name].title, key=key)


def _number(parameter: Parameter | None, key: str) -> float | None:
    if parameter is None:
        return None
    if parameter.is_whole:
        return st.slider(parameter.symbol, int(parameter.low), int(parameter.high), int(parameter.default), key=key)
    return st.slider(parameter.symbol, parameter.low, parameter.high, parameter.default, 0.05, key=key)


def equation(filter: str, kernel: str) -> str:
    """What an operator puts out, in symbols, and whose it is."""
    of_filter, of_kernel = FILTERS[filter], KERNELS[kernel]
    where = ", J = 11ᵀ/N" if "J" in of_filter.equation else ""
    return f"U = {of_filter.equation}{where} ({of_filter.source}); A = {of_kernel.equation} ({of_kernel.source})."


def offer(models: Pair) -> None:
    """A switch below the models, and what it opens."""
    if not st.toggle("Another operator", key="swap-open", help=_HELP):
        return
    cards = dict(zip(ROLES, models.cards, strict=True))
    role = st.segmented_control(
        "On the weights of", ROLES, format_func=str.capitalize, default=ROLES[1], required=True, key="swap-role"
    )
    chosen = choose("swap", len(cards[role].filter))
    with panels.refusals():
        if st.button("Swap the operator", key="swap-put", type="primary"):
            pair.put(role, cards[role], chosen)
