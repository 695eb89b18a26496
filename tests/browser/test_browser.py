"""The real app in a real Chromium: upload a photograph, see both models' maps, hover, click, visit every page."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
MAP = ".js-plotly-plot:has(.scatterlayer .point)"
PATIENCE = 90_000

if CHROMIUM is None or os.environ.get("EXPLORER_BROWSER") == "skip":
    pytest.skip(
        "NO BROWSER TEST: no chromium, chromium-browser or google-chrome was found, or EXPLORER_BROWSER=skip",
        allow_module_level=True,
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A running server of the app."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}", "--server.headless=true"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{base}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield base
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The attention page; at the end, no error and no request to another host may have been seen."""
    page = browser.new_page(viewport={"width": 1440, "height": 1400})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"page error: {error}"))
    page.on("request", lambda request: problems.append(request.url) if _leaves(request.url, address) else None)
    page.goto(address)
    settle(page)
    yield page
    page.close()
    assert not problems


def _leaves(url: str, address: str) -> bool:
    return not url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def settle(page: Page) -> None:
    page.wait_for_selector("h1", timeout=PATIENCE)
    page.wait_for_timeout(300)
    page.wait_for_selector(IDLE, timeout=PATIENCE)


def pictures(page: Page) -> list[str]:
    """The pictures under the markers of both maps."""
    page.wait_for_selector(f"{MAP} .imagelayer image, {MAP} .layer-below image", timeout=PATIENCE)
    page.wait_for_timeout(700)
    return [image.get_attribute("href") or "" for image in page.locator(f"{MAP} image").all()]


def bar_title(page: Page) -> str:
    return page.locator("svg text").filter(has_text="weight of each patch").first.text_content() or ""


def middle(page: Page, index: int = 0) -> tuple[float, float]:
    box = page.locator(f"{MAP} .nsewdrag").nth(index).bounding_box()
    assert box is not None
    return box["x"] + 0.45 * box["width"], box["y"] + 0.45 * box["height"]


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A picture of no bundled example."""
    y, x = np.mgrid[0:300, 0:400]
    pixels = np.stack([x % 256, y % 256, (x * y // 97) % 256], axis=-1).astype(np.uint8)
    path = tmp_path / "mine.jpg"
    Image.fromarray(pixels).save(path, quality=92)
    return path


def test_an_uploaded_photograph_is_mapped_by_both_models(page: Page, photograph: Path) -> None:
    before = pictures(page)
    page.set_input_files("[data-testid=stFileUploader] input[type=file] >> nth=0", photograph)
    page.wait_for_selector("button[title='mine.jpg'][aria-checked=true]", timeout=PATIENCE)
    settle(page)
    after = pictures(page)
    assert len(before) == len(after) == 2
    assert all(picture.startswith("data:image/png") for picture in after)
    assert len({*before, *after}) == 4


def test_a_click_on_a_patch_makes_it_the_query_and_cls_is_one_click_away(page: Page) -> None:
    assert "for CLS" in bar_title(page)
    pictures(page)
    page.mouse.move(*middle(page))
    page.wait_for_selector(".hovertext")
    assert "row 4, column 4" in (page.locator(".hovertext").first.text_content() or "")
    page.mouse.click(*middle(page))
    page.wait_for_selector("svg text:has-text('patch row 4, column 4')", timeout=PATIENCE)
    settle(page)
    page.get_by_role("button", name="Back to CLS").click()
    page.wait_for_selector("svg text:has-text('for CLS')", timeout=PATIENCE)


def test_every_page_opens_from_the_menu_and_keeps_the_layer(page: Page) -> None:
    page.get_by_role("slider").nth(1).press("ArrowLeft")
    page.wait_for_selector("svg text:has-text('layer 11')", timeout=PATIENCE)
    for name in ("Token similarity", "Smoothed residual", "Spectrum", "Attention"):
        page.get_by_role("link", name=name).click()
        page.wait_for_selector(f"h1:has-text('{name}')", timeout=PATIENCE)
        settle(page)
        assert page.locator("[data-testid=stException], [data-testid=stAlertContentError]").count() == 0
    page.wait_for_selector("svg text:has-text('layer 11')", timeout=PATIENCE)


def test_a_phone_needs_no_sideways_scrolling(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(800)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
