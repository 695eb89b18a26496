"""The first picture beside a bare Streamlit page: server and browser start anew for each, interleaved.

The bare page is one `st.title`: what Streamlit and Chromium take on this machine whatever a page does. The first
picture is both models' maps, painted; the whole page is there when its script has ended.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from bench.common import Row
from tests.running_app import (
    CHROMIUM,
    FIRST_PICTURE,
    FROM_THE_CHECKOUT,
    PATIENCE,
    ROOT,
    running_app,
    running_browser,
    settle,
)

STARTS = 5
GOAL = 1.4
BARE = "import streamlit as st\n\nst.title('Bare')\n"


def rows() -> list[Row]:
    """Medians over a few starts; none where there is no Chromium."""
    if CHROMIUM is None:
        return []
    bare: list[float] = []
    pictures: list[float] = []
    pages: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE, encoding="utf-8")
        command = (sys.executable, "-m", "streamlit", "run", str(script), "--server.fileWatcherType=none")
        for _ in range(STARTS + 1):
            bare += _seconds(command, lambda page: page.wait_for_selector("h1", timeout=PATIENCE))
            picture, whole = _seconds(FROM_THE_CHECKOUT, _painted, settle)
            pictures.append(picture)
            pages.append(whole)
    title, first, page = (statistics.median(seconds[1:]) for seconds in (bare, pictures, pages))
    note = (
        f"files cached, Chromium open with an empty cache, median of {STARTS} interleaved starts after one that warms "
        f"up; title {title:.2f} s, first picture {first:.2f} s, whole page {page:.2f} s"
    )
    unit = "x a bare Streamlit page's title"
    return [
        Row("first picture to a bare page's title", round(first / title, 2), unit, GOAL, note=note),
        Row("whole page to a bare page's title", round(page / title, 2), unit, None, note=note),
    ]


def _seconds(command: tuple[str, ...], *waits: Callable[[Page], object]) -> list[float]:
    """Seconds from the start of the server's process to the end of each wait; the browser is there already."""
    with running_browser() as browser, running_app(command=command, folder=ROOT) as app:
        page = browser.new_page(viewport={"width": 1440, "height": 1400})
        page.goto(app.address, wait_until="commit")
        seconds = []
        for wait in waits:
            wait(page)
            seconds.append(time.perf_counter() - app.started)
        return seconds


def _painted(page: Page) -> None:
    page.wait_for_function(FIRST_PICTURE, polling="raf", timeout=PATIENCE)
