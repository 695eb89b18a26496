"""A server of the app and a browser for each module, and a page of it that may neither fail nor ask another host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from tests.running_app import running_app, running_browser, settle

PROBES = ("_stcore/health", "_stcore/host-config")
"""What Streamlit's frontend asks for beneath a page's own address before it finds where the server's root is."""

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A running server of the app."""
    with running_app() as app:
        yield app.address


@pytest.fixture(scope="module")
def window() -> Iterator[BrowserContext]:
    """One browser for all pages: its cache spares each of them loading Streamlit's frontend."""
    with running_browser() as browser:
        yield browser.new_context()


@pytest.fixture
def visit(window: BrowserContext, address: str) -> Iterator[Visit]:
    """Opens a page by its address; at the end, no error and no request to another host may have been seen."""
    problems: list[str] = []
    opened: list[Page] = []

    def open(path: str = "", width: int = 1440, height: int = 1400) -> Page:
        page = window.new_page()
        page.set_viewport_size({"width": width, "height": height})
        opened.append(page)
        page.on("pageerror", lambda error: problems.append(f"page error: {error}"))
        page.on("console", lambda message: problems.append(message.text) if _is_error(message, address) else None)
        page.on("request", lambda request: problems.append(request.url) if _leaves(request.url, address) else None)
        page.goto(f"{address}/{path}")
        settle(page)
        return page

    yield open
    for page in opened:
        page.close()
    assert not problems


def _leaves(url: str, address: str) -> bool:
    return not url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def _is_error(message: ConsoleMessage, address: str) -> bool:
    asked = message.location.get("url", "")
    probe = re.fullmatch(rf"{re.escape(address)}/[\w-]+/({'|'.join(PROBES)})", asked)
    return message.type == "error" and not (probe and "404" in message.text)
