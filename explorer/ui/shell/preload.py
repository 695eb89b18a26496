"""Loading starts with the server, beside the browser's own start; whoever comes early waits for the same load.

One thread imports whatever a page imports, before the page runs: Python hands out modules that are half there where two
threads import the same packages in another order, and libraries ask `sys.modules` for pandas while it is being made.
What the first page needs comes first; the rest, as soon as a first page is there, or another is asked for and waits.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import pkgutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from explorer import startup
from explorer.ui.opening import draw, stored  # noqa: F401  # drawn by a visit while the thread below imports
from explorer.ui.shell import uploads

if TYPE_CHECKING:
    import streamlit as st

_LOG = logging.getLogger(__name__)
_LATER = (
    *("captum.attr", "captum.metrics", "captum.robust", "torchvision.transforms.v2.functional"),
    *("explorer.attribution.methods", "explorer.figures.print.handout"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg"),
    *(
        "pandas",
        "plotly.io",
        "plotly.tools",
        "pyarrow.pandas_compat",
        "pyarrow.parquet",
        "scipy.ndimage",
        "scipy.stats",
    ),
)
"""What pages import while they run, or libraries for them; what they import at once comes with `explorer.ui`."""
_loading: threading.Thread | None = None
_opening: bytes | None = None
_first_page, _going_on, _checked = threading.Event(), threading.Event(), threading.Event()
_MEMORY_SECONDS = 5.0
"""Between two looks for memory that nobody uses."""
_PAUSE_SECONDS = 10.0
"""For a first visitor to get the page at once; whoever comes later finds everything there."""


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any] | None]:
    """For `st.App`: starts loading in a thread, so that the server answers meanwhile, and opens the browser."""
    startup.many_files()
    start()
    threading.Thread(target=_open_browser, name="explorer-browser", daemon=True).start()
    tasks = [asyncio.create_task(task) for task in (uploads.let_go(), _give_back_memory())]
    try:
        yield None
    finally:
        for task in tasks:
            task.cancel()


def start() -> threading.Thread:
    """Loads what every visitor needs, in a thread that does not keep the process from ending."""
    global _loading, _opening
    _opening = None
    for event in (_first_page, _going_on, _checked):
        event.clear()
    _loading = threading.Thread(target=_load, name="explorer-preload", daemon=True)
    _loading.start()
    return _loading


def is_running(first_page: bool = False) -> bool:
    """Whether a visitor would have to wait, with `first_page` one who asks for no other page."""
    return _loading is not None and _loading.is_alive() and not (first_page and _first_page.is_set())


def opening() -> bytes | None:
    """The stored bytes of the start page, where what is being loaded is what they were made of."""
    if _loading is None:
        return None
    _checked.wait()
    return _opening


def _check_opening() -> None:
    global _opening
    try:
        _opening = stored.of_files()
    except Exception:
        _LOG.exception("What the start page opens with could not be read")
    finally:
        _checked.set()


def wait(first_page: bool = False) -> None:
    """Returns when what was started is loaded, or could not be: then the page itself says why."""
    if _loading is None:
        return
    if first_page:
        _first_page.wait()
    else:
        go_on()
        _loading.join()


def go_on() -> None:
    """With what pages other than the first need."""
    _going_on.set()


async def _give_back_memory() -> None:
    """What is garbage, in place of Streamlit's collection after every run, a twentieth of what a class of sixty costs;
    and what glibc keeps."""
    while True:
        await asyncio.sleep(_MEMORY_SECONDS)
        await asyncio.to_thread(gc.collect)
        await asyncio.to_thread(startup.give_back_memory)


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
        import explorer.pictures.examples  # noqa: F401  # here, as all imports; the thread below finds it there

        threading.Thread(target=_check_opening, name="explorer-opening", daemon=True).start()
        with startup.no_collecting():
            load_first_page()
            _first_page.set()
            trace_example()
            _going_on.wait(_PAUSE_SECONDS)
            import_other_pages()
    except Exception:
        _LOG.exception("Loading ahead failed; the first visitor loads instead")
    finally:
        _first_page.set()
        _checked.set()


def load_first_page() -> None:
    """Imports what the first page needs and loads the models; traces the first example, unless its page is stored."""
    from explorer.pictures import isolated

    isolated.DECODER.start()  # gets ready while torch is imported
    startup.import_timm()
    from explorer.types import ExplorerError
    from explorer.ui.explore import evidence, viewer_panel  # noqa: F401
    from explorer.ui.opening import compute  # noqa: F401
    from explorer.ui.shell import links, pair, panels, resources, sidebar  # noqa: F401

    with suppress(ExplorerError):  # every visitor is told
        for card in resources.engine().cards:
            pair.swapped(card)
        sidebar.example_photos()
    if opening() is None:
        trace_example()


def trace_example() -> None:
    """The first example through every model; remembered."""
    from explorer.jobs.passes import TraceJob
    from explorer.serving.engine import ask
    from explorer.types import ExplorerError
    from explorer.ui.shell import resources, sidebar

    with suppress(ExplorerError):  # every visitor is told
        engine = resources.engine()
        for card in engine.cards:
            ask(engine, TraceJob(), [sidebar.example_photos()[0].image], card.key)


def import_other_pages() -> None:
    """Imports what all other pages need, so that none of them has to, and counts what the models cost."""
    from explorer import ui
    from explorer.studio import TEMPLATES  # noqa: F401  # a module for each
    from explorer.types import ExplorerError
    from explorer.ui.shell import resources

    for module in pkgutil.walk_packages(ui.__path__, f"{ui.__name__}."):
        importlib.import_module(module.name)
    for name in _LATER:
        importlib.import_module(name)
    with suppress(ExplorerError):  # every visitor is told
        engine = resources.engine()
        for card in engine.cards:
            engine.size(card.key)  # imports more than can be named
