"""Which two models stand side by side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from explorer.paper import operators
from explorer.types import ROLES, ExplorerError, ModelCard, Operators
from explorer.ui.shell import resources
from explorer.ui.shell.session import Pair, Photo, plain

_BASELINE, _TWICING, _WANTED = "model-baseline", "model-twicing", "model-wanted"
_SEEN = "operators-seen"


def choose_pair(cards: Sequence[ModelCard]) -> Pair:
    """Two boxes over all models, each as trained and with its operator swapped; any other operator on top of that."""
    by_key = {card.key: card for card in (*cards, *(swapped(card) for card in cards))}
    names = _names(by_key)
    for box, parameter in ((_BASELINE, "baseline"), (_TWICING, "twicing")):
        if box not in st.session_state:  # a first visit: the address may name the model
            wanted = st.query_params.get(parameter)
            st.session_state[box] = next((key for key, card in by_key.items() if short(card) == wanted), None)
            st.session_state[_operator(parameter)] = st.query_params.get(_operator(parameter))
        if st.session_state[box] not in by_key:  # named by nobody, or unloaded
            del st.session_state[box]
    if (wanted := st.session_state.pop(_WANTED, None)) in by_key:
        st.session_state[_BASELINE], st.session_state[_TWICING] = wanted, partner(by_key[wanted], cards).key
        _take_off(*ROLES)
    first = next((card for card in cards if card.is_standard), cards[0])
    baseline = by_key[_box(":blue[●] **Baseline**", names, first.key, _BASELINE)]
    below = _under(baseline, "baseline")
    twicing = by_key[_box(":orange[●] **Twicing**", names, partner(baseline, cards).key, _TWICING)]
    return Pair(below, _under(twicing, "twicing"))


def put(role: str, card: ModelCard, chosen: Operators) -> None:
    """Puts operators on the weights of a model that is on one side, from the next run on.

    Raises `ExplorerError` for one that does not go with the model.
    """
    is_other = resources.engine().swapped(card.key, chosen).is_counterfactual
    st.session_state[_operator(role)] = operators.as_text(chosen)
    if not is_other:
        _take_off(role)
        st.session_state[f"model-{role}"] = _trained(card).key
    st.rerun()


def parameters(cards: Sequence[ModelCard]) -> dict[str, str]:
    """What an address says of the models of both sides, and of operators that no box offers."""
    said = {}
    for role, card in zip(ROLES, cards, strict=True):
        trained = _trained(card)
        if card.filter in (trained.filter, operators.counterpart(trained.filter)):
            said[role] = short(card)
        else:
            said |= {role: short(trained), _operator(role): operators.as_text(card.filter)}
    return said


def restore(photo: Photo) -> None:
    """Puts on the operators that a saved view was seen under, when it is chosen."""
    if st.session_state.get(_SEEN) == photo.key:
        return
    st.session_state[_SEEN] = photo.key
    if asked := of_state(photo.state or {}):
        st.session_state.update(asked)
        st.rerun()


def of_state(state: Mapping[str, str]) -> dict[str, str]:
    """What an address or a saved view says of operators."""
    return {name: state[name] for name in map(_operator, ROLES) if name in state}


def _operator(role: str) -> str:
    """In addresses, saved views and the session."""
    return f"{role}-operator"


def _take_off(*roles: str) -> None:
    for role in roles:
        st.session_state.pop(_operator(role), None)


def _under(card: ModelCard, role: str) -> ModelCard:
    """The same weights under the operators that were put on them, said aloud and with a way back."""
    words = st.session_state.get(_operator(role))
    if not words:
        return card
    try:
        other = resources.engine().swapped(card.key, operators.in_blocks(words, len(card.filter)))
    except ExplorerError as error:
        st.error(plain(str(error), 300))
        return card
    if not other.is_counterfactual:  # an address may name the operator that the weights were trained with
        return other
    st.caption(f"Counterfactual: operator swapped to **{plain(other.operator)}**, not trained.")
    st.button("Take it off", key=f"take-off-{role}", type="tertiary", on_click=_take_off, args=(role,))
    return other


def _trained(card: ModelCard) -> ModelCard:
    return replace(card, filter=card.trained_filter)


def want(card: ModelCard) -> None:
    """Shows a model beside its partner from the next run on, the standard one of the two as the baseline."""
    beside = partner(card, resources.engine().cards)
    is_first = card.is_standard or (beside.is_counterfactual and card.filter == operators.plain(card.filter))
    st.session_state[_WANTED] = (card if is_first else beside).key


def short(card: ModelCard) -> str:
    """A model's name in an address."""
    return card.key.rpartition(":")[2][:8]


def partner(card: ModelCard, cards: Sequence[ModelCard]) -> ModelCard:
    """The model trained with another operator on the same classes and architecture, else the same weights swapped.

    An attention with weights of its own, as in differential attention, makes another architecture of the same body: it
    is the partner of a standard model of as many blocks. Of several, the one of the same architecture, then the one
    whose file is named alike: `mine-twicing` beside `mine-standard`.
    """
    trained = [other for other in cards if _are_partners(card, other)]
    if not trained:
        return swapped(card)
    return max(trained, key=lambda other: (other.architecture == card.architecture, _run(other) == _run(card)))


def _are_partners(card: ModelCard, other: ModelCard) -> bool:
    seen = [(each.wnids, each.preprocessing.input_size) for each in (card, other)]
    if seen[0] != seen[1] or other.is_standard == card.is_standard:
        return False
    of_own_weights = operators.plain(card.filter) != operators.plain(other.filter)  # which says their depths, too
    return other.architecture == card.architecture or (of_own_weights and len(card.filter) == len(other.filter))


def _run(card: ModelCard) -> str:
    """What the files of a pair that was trained together share."""
    return re.sub("-(standard|twicing)(?=\\.)", "", card.source)


def swapped(card: ModelCard) -> ModelCard:
    """The same weights under the other operator: twicing everywhere for a standard model, else standard."""
    return resources.engine().swapped(card.key, operators.counterpart(card.filter))


def _box(label: str, names: dict[str, str], default: str, key: str) -> str:
    st.session_state.setdefault(key, default)
    chosen: str = st.selectbox(
        label,
        list(names),
        format_func=names.__getitem__,
        key=key,
        persist_state="session",
        on_change=_follow,
        args=(key,),
    )
    return chosen


def _follow(box: str) -> None:
    """A new model has its own operator, and a new baseline brings its partner when the second knows other classes."""
    _take_off(box.removeprefix("model-"))
    if box != _BASELINE:
        return
    known = {card.key: card for loaded in resources.engine().cards for card in (loaded, swapped(loaded))}
    first, second = (known.get(st.session_state[box]) for box in (_BASELINE, _TWICING))
    if first and second and first.wnids != second.wnids:
        st.session_state[_WANTED] = first.key


def _names(by_key: dict[str, ModelCard]) -> dict[str, str]:
    """A name for each model; where two are called the same, their weights tell them apart."""
    titles = {key: card.title for key, card in by_key.items()}
    often = Counter(titles.values())
    return {key: f"{name} ({by_key[key].digest[:6]})" if often[name] > 1 else name for key, name in titles.items()}
