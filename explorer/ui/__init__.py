"""The only part that knows Streamlit: resources, controls and panels for the pages."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

    from explorer.ui.shell.session import View

VIEW = "view"
_FIRST_PAGES = ("", "attention")
"""The page that opens, and the one that links lead to: what they need is loaded before anything else."""
_frozen = 0
"""How many modules there were when what they hold was frozen."""
_STYLE = (
    ".stMainBlockContainer { padding: 3.5rem 2rem 3rem; } "
    "@media (max-width: 640px) { .stMainBlockContainer { padding: 3.5rem 1rem 3rem; } } "
    # Streamlit writes white on the theme's colour, which is nearly white in the dark.
    "[data-tag] { background: rgba(128, 136, 150, 0.28) !important; color: inherit !important; } "
    # What waits for the server fades: for a second, in which a browser without a GPU takes a core from the passes.
    "[data-stale='true'], [data-testid='stExpander'] :is(details, summary) { transition-duration: 0.15s !important; } "
    # A figure of a fixed height leaves a gap below a square map on a narrow screen.
    "[class*='st-key-square-'] { aspect-ratio: 1; max-height: 460px; }"
)


def start(page: StreamlitPage) -> None:
    """Draws the sidebar, then the page; what a visitor can act on is one sentence, never a traceback."""
    import streamlit as st

    from explorer.ui.opening import draw
    from explorer.ui.shell import preload

    st.html(f"<style>{_STYLE}</style>")
    first_page = page.url_path in _FIRST_PAGES
    draw.begin()
    if preload.is_running(first_page):
        if page.url_path == "" and (stored := preload.opening()):
            draw.show(stored)  # the page below takes over what is drawn
        with st.spinner("Loading the models …"):
            preload.wait(first_page)
    from explorer.ui.shell import panels, resources, sidebar

    try:
        with panels.refusals():
            chosen = st.session_state[VIEW] = sidebar.render()
            with resources.engine().held(card.key for card in chosen.pair.cards):
                page.run()
            panels.answered()
    finally:
        preload.go_on()
        _freeze_what_was_imported()


def _freeze_what_was_imported() -> None:
    """A page's first visit imports its libraries; the server's collections need not walk them again."""
    global _frozen
    if len(sys.modules) != _frozen:
        _frozen = len(sys.modules)
        gc.freeze()


def view() -> View:
    """What the sidebar decided in this run."""
    import streamlit as st

    chosen: View = st.session_state[VIEW]
    return chosen
