"""How fine maps are: the size of the models' input, part of the view and the same on every page."""

from __future__ import annotations

import os
from collections.abc import Mapping

import streamlit as st

from explorer.runs import measured
from explorer.types import ExplorerError, ModelCard
from explorer.ui.shell import resources
from explorer.ui.shell.session import Pair, Photo, View, plain

VARIABLE = "EXPLORER_INPUT_SIZES"
"""Pixels a side that visitors may choose beside the size that models were loaded at, such as `224,336,448,672`; by
default those that make 1.5 and 2 times as many patches a side, up to 28x28."""
PARAMETER = "input_size"
"""In addresses, saved views and the session."""
_BOX, _SEEN = "detail", "detail-seen"
_FINER = (1.5, 2.0)
_FINEST = 28


def offered(pair: Pair) -> Mapping[int, str]:
    """Pixels a side that both models can take, with their patches in words; the size they were loaded at comes too.

    Models that were loaded at different sizes, or for no square, have no other.
    """
    first, second = (card.preprocessing.input_size for card in pair.cards)
    own = first[0]
    if first != (own, own) or second != first:
        return {}
    pixels = sorted({own, *_allowed(pair.baseline, own)})
    return {each: words for each in pixels if (words := _patches(pair, each))}


def _allowed(card: ModelCard, own: int) -> list[int]:
    given = os.environ.get(VARIABLE, "").strip()
    if given:
        parts = [part.strip() for part in given.split(",")]
        if not all(part.isascii() and part.isdigit() and 0 < len(part) < 6 for part in parts):
            raise ExplorerError(f"{VARIABLE} was expected to be pixels such as 224,336,448; {given[:40]!r} came.")
        return list(map(int, parts))
    count, _ = resources.engine().grid(card.key, own)
    return [own // count * finer for times in _FINER if (finer := round(times * count)) <= _FINEST]


def _patches(pair: Pair, pixels: int) -> str:
    """`28x28`, of both where they differ; nothing where one of them cannot be at this size."""
    try:
        grids = dict.fromkeys(resources.engine().grid(card.key, pixels) for card in pair.cards)
    except ExplorerError:
        return ""
    return " / ".join(f"{height}x{width}" for height, width in grids)


def restore(photo: Photo) -> None:
    """What a saved view was seen at, when it is chosen; at first, what the address asks for."""
    if st.session_state.get(_SEEN) == photo.key:
        return
    is_first = _SEEN not in st.session_state
    st.session_state[_SEEN] = photo.key
    if photo.state is not None or is_first:
        asked = (photo.state or st.query_params).get(PARAMETER) or ""
        st.session_state[PARAMETER] = int(asked[:6]) if asked.isascii() and asked.isdigit() else None


def at_chosen(pair: Pair) -> Pair:
    """The pair at the size that was chosen, where both can be; else as it was loaded."""
    asked = st.session_state.get(PARAMETER)
    if asked in (None, pair.baseline.preprocessing.input_size[0]) or asked not in offered(pair):
        return pair
    return Pair(*(resources.engine().resized(card.key, asked) for card in pair.cards))


def parameters(view: View) -> dict[str, str]:
    """What addresses and saved views say of the size; nothing of the one that models were loaded at."""
    chosen = side(view)
    return {} if chosen is None else {PARAMETER: str(chosen)}


def side(view: View) -> int | None:
    """Pixels a side of the models' input; None for the size that they were loaded at."""
    return None if view.pair == view.loaded else view.pair.baseline.preprocessing.input_size[0]


def control(view: View, is_narrow: bool = False) -> None:
    """How many patches maps have, and beside it, or below where it `is_narrow`, what this size does to the answers."""
    sizes = offered(view.loaded)
    if len(sizes) < 2:
        return
    own, current = (pair.baseline.preprocessing.input_size[0] for pair in (view.loaded, view.pair))
    st.session_state[_BOX] = current
    if is_narrow:
        choice, words = st.container(), st.container()
    else:
        choice, words = st.columns([3, 5], gap="medium", vertical_alignment="center")
    choice.segmented_control(
        "Detail",
        list(sizes),
        format_func=sizes.__getitem__,
        key=_BOX,
        required=True,
        on_change=_choose,
        help=f"Patches of the maps: the models' input is made larger, and their positions are resampled. {own} px is "
        "the size that they were trained or loaded at. Finer maps take longer: of DeiT-Small at 28x28 about five times "
        "as long as at 14x14.",
    )
    words.caption(_accuracy(view, own, current))


def _choose() -> None:
    st.session_state[PARAMETER] = st.session_state[_BOX]


def _accuracy(view: View, own: int, current: int) -> str:
    """Top-1 at this size beside that at the models' own, as it was measured; says where it was not."""
    known = measured.sizes(view.loaded.cards)
    if known is None:
        return f"Input {current} px. What other sizes do to the accuracy of these weights was not measured."
    if current not in known:
        return f"Input {current} px. What this size does to the accuracy was not measured."
    before = known.get(own, {}) if current != own else {}
    by_data = [
        f"{name}, {row.images} images: "
        + " and ".join(
            f"{plain(title)} {_share(row.top1[place])}"
            + (f" (at {own} px {_share(before[name].top1[place])})" if name in before else "")
            for place, title in enumerate(view.names)
        )
        for name, row in known[current].items()
    ]
    return f"Input {current} px. Top-1 on {'; on '.join(by_data)}. Behind each its 95% interval."


def _share(share: measured.Interval) -> str:
    return "{:.0f}% ({:.0f} to {:.0f})".format(*(100 * part for part in share))
