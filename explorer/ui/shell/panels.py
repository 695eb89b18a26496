"""Pieces several pages share: headings, warnings, predictions."""

from __future__ import annotations

import html
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.figures.screen.chart import Chart
from explorer.figures.settings import ColourMap, ColourScale, Look
from explorer.paper import operators
from explorer.types import BusyError, ExplorerError
from explorer.ui.shell import choices
from explorer.ui.shell.session import View, escaped, palette, plain

_TRIES = "tries"
_MOST_TRIES = 30
_PAUSE_SECONDS = 1.0, 3.0
"""Between two tries; not the same for all who wait."""


@contextmanager
def refusals() -> Iterator[None]:
    """Says in one sentence, here, what was wrong in the block, and goes on after it; tries again where all are busy."""
    try:
        yield
    except BusyError as error:
        _try_again(error)
    except ExplorerError as error:
        st.error(plain(str(error), 600))


def _try_again(error: BusyError) -> None:
    """Says so and runs the page again soon; after many times, says what went wrong."""
    tries = st.session_state.get(_TRIES, 0)
    if tries >= _MOST_TRIES:
        answered()
        st.error(plain(str(error), 600))
        return
    st.session_state[_TRIES] = tries + 1
    st.info("The explorer is busy with other visitors; this page tries again by itself …")
    time.sleep(random.uniform(*_PAUSE_SECONDS))
    st.rerun()


def answered() -> None:
    """The page came to its end: the next time that all are busy is a first time."""
    st.session_state.pop(_TRIES, None)


def opening(title: str, sentence: str) -> None:
    """The page's title and the one sentence that says what is seen and what to look for."""
    st.title(title, anchor=False)
    st.markdown(sentence)


def warn_swapped(view: View) -> None:
    """Says aloud when an operator sits on weights trained with another one, and when rows are no distributions."""
    for card in view.pair.cards:
        if operators.is_signed(card.filter):
            st.caption(
                f"Attention of {plain(card.name)} is a difference, A = A₁ − λA₂: entries can be negative and rows sum "
                "to 1 − λ. So it has no entropy, no attention distance and no attention drift, and what is said of "
                "rows that sum to 1 is not of it. The norm of each head, which follows, is in no map."
            )
        if operators.needs_first_values(card.filter):
            st.caption(
                f"{plain(card.name)} with {plain(card.operator)} puts out U = EV + E₀V¹, V¹ the first block's values. "
                "Spectra are of E alone, and so are maps but for E₀ on the attention page; tokens, answers and rollout "
                "are of both. The residual is V − AV, as for every operator."
            )
        if card.is_counterfactual:
            st.warning(
                f"**Operator swapped, not trained.** {plain(card.name)} was trained with another operator; with "
                f"{plain(card.operator)} it is a counterfactual, not a trained model."
            )
    if view.pair.baseline.key == view.pair.twicing.key:
        st.info("Both panels show the same model.")


def model_heading(view: View, index: int, right: str = "") -> None:
    """The model's name in its colour, with a note at the right edge."""
    name = escaped(view.pair.cards[index].title, 90)
    colour = palette().models[index]
    st.html(
        '<div style="display:flex;justify-content:space-between;align-items:baseline;gap:1rem">'
        f'<strong style="color:{colour};font-size:1.1rem">{name}</strong>'
        f'<span style="opacity:.7">{html.escape(right)}</span></div>'
    )


def map_chart(place: DeltaGenerator, figure: Chart, key: str, alt: str) -> None:
    """A map of `figures.screen.maps.interactive` in a square as wide as `place` allows."""
    square = place.container(key=f"square-{key}")
    square.plotly_chart(figure, height="stretch", key=key, config={"displayModeBar": False}, alt=alt)


def class_note(view: View) -> None:
    """Whether the bundled photograph shows a class the models know."""
    example = view.photo.example
    if example is None:
        return
    named = [card for card in view.pair.cards if card.classes]
    for card in named[:1] if view.pair.baseline.wnids == view.pair.twicing.wnids else named:
        known = example.wnid in card.wnids
        verdict = f"“{example.class_name}”, {'one' if known else 'not one'}" if example.wnid else "none"
        st.caption(
            f"This photograph shows {verdict} of the {len(card.wnids)} classes these models know"
            f"{'.' if known else ': no answer can be right.'}"
        )


def look(signed: bool = False) -> tuple[Look, ColourScale]:
    """How maps are drawn, and where their colours end; `signed` ones have colours of their own."""
    scale_column, colours_column, opacity_column = st.columns([3, 3, 3], gap="medium")
    scale = choices.segments(
        "Scale",
        ColourScale.SHARED,
        key="scale",
        place=scale_column,
        options=[ColourScale.MAP, ColourScale.SHARED],
        help="Where the colours end. **map**: at each map's own largest value. **shared**: at the largest of both.",
    )
    colour_map = choices.segments(
        "Colour map",
        ColourMap.CIVIDIS,
        key="colour-map",
        place=colours_column,
        disabled=signed,
        help="Maps of two signs are blue, grey and red." if signed else None,
    )
    opacity = opacity_column.slider("Opacity", 0.0, 1.0, 0.85, 0.05, key="opacity", persist_state="session")
    return Look(colour_map=colour_map, opacity=opacity), scale


def definitions(facts: Mapping[str, str]) -> str:
    """Labels and what they say, as HTML."""
    rows = "".join(f"<dt>{html.escape(label)}</dt><dd>{escaped(text, 900)}</dd>" for label, text in facts.items())
    style = (
        "<style>dl.facts{display:grid;grid-template-columns:minmax(6rem,9rem) 1fr;gap:.15rem .8rem;margin:0;padding:0;"
        "font-size:.85rem}dl.facts dt{opacity:.65}dl.facts dd{margin:0;overflow-wrap:anywhere}</style>"
    )
    return f'{style}<dl class="facts">{rows}</dl>'


def download(bar: DeltaGenerator, done: int, total: int) -> None:
    """Shows how much of a file has come."""
    share = min(1.0, done / total) if total else 0.0
    bar.progress(share, f"{done / 2**20:.0f} of {total / 2**20:.0f} MiB")
