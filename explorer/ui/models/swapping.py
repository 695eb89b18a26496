"""The Models page's choice of an operator: a filter with its number, a kernel, and the blocks that it is in."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.paper import operators
from explorer.paper.filters import FILTERS, FilterKind, Parameter
from explorer.paper.kernels import KERNELS, KernelKind
from explorer.types import ROLES, STANDARD, Operator, Operators
from explorer.ui.shell import pair, panels
from explorer.ui.shell.session import View


def choose(key: str, depth: int) -> Operators:
    """An operator of the registries in some blocks, the standard one in the others."""
    of_filter, of_number, of_kernel, of_blocks = st.columns([3, 3, 3, 4], gap="medium")
    filter = _row(of_filter, "Filter", FILTERS, "twicing", f"{key}-of")
    number = _number(of_number, FILTERS[filter].parameter, f"{key}-{filter}")
    kernel = _row(of_kernel, "Kernel", KERNELS, STANDARD.kernel, f"{key}-kernel")
    first, last = of_blocks.slider("Blocks", 1, depth, (1, depth), key=f"{key}-blocks-{depth}")
    st.caption(equation(filter, kernel))
    return operators.in_blocks(f"{Operator(filter, number, kernel)}@{first}-{last}", depth)


def _row(
    place: DeltaGenerator,
    label: str,
    rows: Mapping[str, FilterKind] | Mapping[str, KernelKind],
    default: str,
    key: str,
) -> str:
    names = list(rows)
    return place.selectbox(label, names, index=names.index(default), format_func=lambda name: rows[name].title, key=key)


def _number(place: DeltaGenerator, parameter: Parameter | None, key: str) -> float | None:
    if parameter is None:
        return None
    kind = int if parameter.is_whole else float
    low, high, default = map(kind, (parameter.low, parameter.high, parameter.default))
    return place.slider(parameter.symbol, low, high, default, kind(1) if parameter.is_whole else 0.05, key=key)


def equation(filter: str, kernel: str) -> str:
    """What an operator puts out, in symbols, and whose it is."""
    of_filter, of_kernel = FILTERS[filter], KERNELS[kernel]
    where = ", J = 11ᵀ/N" if "J" in of_filter.equation else ""
    return f"U = {of_filter.equation}{where} ({of_filter.source}); A = {of_kernel.equation} ({of_kernel.source})."


def exchange(view: View) -> None:
    """Puts another operator on one of the two models that are side by side, and takes it off."""
    st.subheader("Another operator on the same weights", anchor=False)
    st.caption(
        "Operators add no parameters, so any can be tried on any weights. On those that were trained with another one "
        "it is a counterfactual: operator swapped, not trained."
    )
    cards = dict(zip(ROLES, view.loaded.cards, strict=True))
    role = st.segmented_control(
        "On the weights of",
        list(cards),
        format_func=lambda each: f"{cards[each].name} ({each})",
        default="twicing",
        required=True,
        key="swap-role",
    )
    chosen = choose("swap", len(cards[role].filter))
    put, off, _ = st.columns([2, 2, 6], gap="small")
    with panels.refusals():
        if put.button("Swap the operator", key="swap-put", type="primary"):
            pair.put(role, cards[role], chosen)
        if off.button("As trained", key="swap-off", disabled=not cards[role].is_counterfactual):
            pair.put(role, cards[role], cards[role].trained_filter)
