"""Loading starts with the server, beside the browser's own start; whoever comes early waits for the same load."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from explorer import startup

if TYPE_CHECKING:
    import streamlit as st

_LOG = logging.getLogger(__name__)
_loading: threading.Thread | None = None


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any] | None]:
    """For `st.App`: starts loading in a thread, so that the server answers meanwhile, and opens the browser."""
    startup.many_files()
    start()
    threading.Thread(target=_open_browser, name="explorer-browser", daemon=True).start()
    yield None


def start() -> threading.Thread:
    """Loads what every visitor needs, in a thread that does not keep the process from ending."""
    global _loading
    _loading = threading.Thread(target=_load, name="explorer-preload", daemon=True)
    _loading.start()
    return _loading


def is_running() -> bool:
    """Whether a visitor would have to wait."""
    return _loading is not None and _loading.is_alive()


def wait() -> None:
    """Returns when what was started is loaded, or could not be: then the page itself says why.

    Nothing of ours is imported by two threads at once: Python would hand out modules that are half there.
    """
    if _loading is not None:
        _loading.join()


def _open_browser() -> None:
    """What `streamlit run` does for a script and leaves to us for an `st.App`."""
    from streamlit import cli_util, get_option
    from streamlit.web.server import server_util

    if not get_option("server.headless"):
        cli_util.open_browser(server_util.get_url(server_util.get_display_address(get_option("server.address"))))


def _load() -> None:
    try:
        startup.small_heaps()
        startup.few_spins()
        with startup.no_collecting():
            startup.import_timm()
            from explorer.jobs.passes import TraceJob
            from explorer.serving.engine import ask
            from explorer.types import ExplorerError
            from explorer.ui.explore import viewer_panel  # noqa: F401
            from explorer.ui.shell import pair, panels, resources, sidebar  # noqa: F401

            try:
                engine = resources.engine()
                photos = sidebar.example_photos()
                for card in engine.cards:
                    pair.swapped(card)
                    ask(engine, TraceJob(), [photos[0].image], card.key)
            except ExplorerError:
                return  # every visitor is told
    except Exception:
        _LOG.exception("Loading ahead failed; the first visitor loads instead")
