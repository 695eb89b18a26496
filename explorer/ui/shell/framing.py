"""What the models see of a photograph: the middle, all of it squashed, or a part that is dragged by hand."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum

import streamlit as st

from explorer.files import asset
from explorer.pictures import crops, preprocess
from explorer.pictures.crops import Cropping
from explorer.types import ExplorerError
from explorer.ui.shell import resources
from explorer.ui.shell.session import Pair, Photo

_CROPS = "crops"
_HAND = "crop"
_WIDGET = "framing-"


class Framing(StrEnum):
    """The ways to make a square of a photograph."""

    CENTRE = "Centre"
    SQUASH = "Squash"
    HAND = "By hand"


def remember(key: str | None, text: str | None) -> None:
    """The crop that an address or a saved view says of a photograph; what says none is passed over."""
    with suppress(ExplorerError):
        if key and text:
            crop = _crops()[key] = crops.parse(text)
            st.session_state[_WIDGET + key] = _framing(crop)


def applied(photo: Photo) -> Photo:
    """The photograph as its visitor frames it."""
    return photo.under(_crops().get(photo.key))


def choose(photo: Photo, pair: Pair) -> None:
    """Says what of the photograph the models see, and offers other ways."""
    size = photo.image.size
    sentences = [f"{photo.crop.words.capitalize()}."] if photo.crop else []
    sentences += [preprocess.fate(size, card.preprocessing) for card in pair.cards]
    if said := " ".join(filter(None, dict.fromkeys(sentences))):
        st.caption(said)
    whole = photo.whole or photo
    widget = _WIDGET + photo.key
    st.session_state.setdefault(widget, _framing(photo.crop))

    def change() -> None:
        chosen = st.session_state[widget]
        if chosen is Framing.SQUASH:
            _crops()[photo.key] = Cropping()
        elif not (chosen is Framing.HAND and photo.crop and photo.crop.part):
            _crops().pop(photo.key, None)

    chosen = st.segmented_control(
        "Crop",
        list(Framing),
        required=True,
        key=widget,
        persist_state="session",
        label_visibility="collapsed",
        on_change=change,
        help="Models see a square: the middle of the photograph, all of it squashed, or the part you choose.",
    )
    if chosen is Framing.HAND:
        _by_hand(whole, photo.crop)


def _crops() -> dict[str, Cropping]:
    """Of this visitor, by the keys of photographs."""
    chosen: dict[str, Cropping] = st.session_state.setdefault(_CROPS, {})
    return chosen


def _framing(crop: Cropping | None) -> Framing:
    if crop is None:
        return Framing.CENTRE
    return Framing.HAND if crop.part else Framing.SQUASH


def _by_hand(whole: Photo, crop: Cropping | None) -> None:
    """All of the photograph under a square that can be dragged."""
    render = st.components.v2.component(
        _HAND,
        html='<div class="crop"></div>',
        css=asset("crop.css"),
        js=asset("crop.js"),
    )
    height, width = whole.image.size

    def change() -> None:
        remember(whole.key, str(st.session_state[_HAND].part))

    render(
        key=_HAND,
        data={
            "picture": resources.whole(whole.digest, whole.read),
            "size": (height, width),
            "part": crop.part if crop else None,
        },
        on_part_change=change,
    )
