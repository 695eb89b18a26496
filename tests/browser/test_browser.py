"""The real app in a real Chromium: upload a photograph, see both models' maps, hover, click, visit every page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.running_app import CHROMIUM, MAP, PATIENCE, running_app, running_browser, settle

pytestmark = pytest.mark.browser

PAGES = {
    "": "Attention",
    "similarity": "Token similarity",
    "residual": "Smoothed residual",
    "spectrum": "Spectrum",
    "models": "Models",
}
PROBES = ("_stcore/health", "_stcore/host-config")
"""What Streamlit's frontend asks for beneath a page's own address before it finds where the server's root is."""

if CHROMIUM is None or os.environ.get("EXPLORER_BROWSER") == "skip":
    pytest.skip(
        "NO BROWSER TEST: no chromium, chromium-browser or google-chrome was found, or EXPLORER_BROWSER=skip",
        allow_module_level=True,
    )

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A running server of the app."""
    with running_app() as app:
        yield app.address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """Opens a page by its address; at the end, no error and no request to another host may have been seen."""
    problems: list[str] = []
    opened: list[Page] = []

    def open(path: str = "", width: int = 1440, height: int = 1400) -> Page:
        page = browser.new_page(viewport={"width": width, "height": height})
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


@pytest.fixture
def page(visit: Visit) -> Page:
    """The attention page."""
    return visit()


def _leaves(url: str, address: str) -> bool:
    return not url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def _is_error(message: ConsoleMessage, address: str) -> bool:
    asked = message.location.get("url", "")
    probe = any(asked == f"{address}/{path}/{probe}" for path in PAGES if path for probe in PROBES)
    return message.type == "error" and not (probe and "404" in message.text)


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


def test_a_click_and_the_arrow_keys_choose_an_image(page: Page) -> None:
    images = page.locator(".gallery [role=radio]")
    before = pictures(page)
    images.nth(2).click()
    page.wait_for_selector(".gallery [role=radio]:nth-child(3)[aria-checked=true]", timeout=PATIENCE)
    settle(page)
    clicked = pictures(page)
    images.nth(2).press("ArrowRight")
    page.wait_for_selector(".gallery [role=radio]:nth-child(4)[aria-checked=true]:focus", timeout=PATIENCE)
    settle(page)
    assert len({*before, *clicked, *pictures(page)}) == 6


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_by_its_address_also_on_a_phone(visit: Visit, path: str) -> None:
    page = visit(path, width=390, height=844)
    assert page.locator("h1").text_content() == PAGES[path]
    assert page.locator("[data-testid=stException], [data-testid=stAlertContentError]").count() == 0
    page.wait_for_timeout(500)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_a_link_carries_the_layer(visit: Visit) -> None:
    page = visit("?layer=3")
    page.wait_for_selector("svg text:has-text('layer 3')", timeout=PATIENCE)
