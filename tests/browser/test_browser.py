"""The real app in a real Chromium: upload a photograph, see both models' maps, hover, click, visit every page."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import Visit
from tests.pair import facts
from tests.running_app import CHROMIUM, PAINTED, PATIENCE, follow, settle

pytestmark = pytest.mark.browser

PAGES = {
    "": "Attention",  # of addresses of before
    "attention": "Attention",
    "similarity": "Token similarity",
    "residual": "Smoothed residual",
    "spectrum": "Spectrum",
    "attribution": "Attribution",
    "corruptions": "Corruptions",
    "attacks": "Attacks",
    "smoothing": "1. Smoothing and what it loses",
    "nonlocal-means": "2. Smoothing an image",
    "attention-filter": "4. From nonlocal means to attention",
    "eigenvalues": "3. Eigenvalues and depth",
    "dial": "5. The filter as a dial",
    "tour": "6. A guided tour",
    "studio": "Figure studio",
    "models": "Models",
}
if CHROMIUM is None or os.environ.get("EXPLORER_BROWSER") == "skip":
    pytest.skip(
        "NO BROWSER TEST: no chromium, chromium-browser or google-chrome was found, or EXPLORER_BROWSER=skip",
        allow_module_level=True,
    )


@pytest.fixture
def page(visit: Visit) -> Page:
    """The attention page."""
    return visit("attention")


def pictures(page: Page) -> list[str]:
    """Both large maps."""
    page.wait_for_selector(PAINTED, timeout=PATIENCE)
    page.wait_for_timeout(300)
    return page.locator(".stack canvas").evaluate_all("(all) => all.map((canvas) => canvas.toDataURL())")


def told(page: Page) -> str:
    """The line beneath the maps."""
    page.wait_for_selector(PAINTED, timeout=PATIENCE)
    return page.locator(".viewer .live").inner_text()


def another(page: Page, before: str | None) -> str:
    """Waits until the viewer shows something else than `before`."""
    page.wait_for_function(
        """(before) => [...document.querySelectorAll('*')].some((element) => {
            const painted = element.shadowRoot?.querySelector('.viewer')?.dataset.painted;
            return painted && painted !== before;
        })""",
        arg=before,
        timeout=PATIENCE,
        polling=50,
    )
    return page.locator(".viewer").get_attribute("data-painted") or ""


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A picture of no bundled example."""
    y, x = np.mgrid[0:300, 0:400]
    pixels = np.stack([x % 256, y % 256, (x * y // 97) % 256], axis=-1).astype(np.uint8)
    path = tmp_path / "mine.jpg"
    Image.fromarray(pixels).save(path, quality=92)
    return path


def test_an_uploaded_photograph_is_mapped_by_both_models(page: Page, photograph: Path) -> None:
    before, first = pictures(page), another(page, None)
    page.set_input_files("[data-testid=stFileUploader] input[type=file] >> nth=0", photograph)
    another(page, first)
    assert len({*before, *pictures(page)}) == 4
    assert "image=" not in page.url


def test_a_click_pins_a_patch_without_asking_the_server(page: Page) -> None:
    page.locator(".viewer[data-missing='0']").wait_for(timeout=PATIENCE)  # every layer has come
    before = pictures(page)
    assert "query CLS" in told(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda socket: requests.append(socket.url))
    box = page.locator(".stack").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.45 * box["width"], box["y"] + 0.45 * box["height"])
    page.mouse.move(5, 5)
    page.wait_for_timeout(300)
    row, column, _ = facts().patch(0.45, 0.45)
    assert f"query row {row}, column {column}" in told(page)
    assert f"query={facts().address(0.45, 0.45)}" in page.url
    assert not {*before} & {*pictures(page)}
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    assert pictures(page) == before
    # Chromium asks for the favicon again when the address changes; it lies in its cache.
    assert not [url for url in requests if not (url.startswith("blob:") or "/media/" in url)]


def test_the_state_survives_other_pages_other_images_and_a_reload(page: Page) -> None:
    first = another(page, None)
    page.locator(".viewer").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("]")
    page.wait_for_timeout(300)
    expected = f"Layer {facts().depth - 1}, head mean, A, query CLS"
    assert told(page) == expected
    page.locator(".gallery [role=radio]").nth(1).click()
    another(page, first)
    assert told(page) == expected
    for name in ("Token similarity", "Smoothed residual", "Spectrum", "Models", "Attention"):
        follow(page, "Set up" if name == "Models" else "Explore", name)
        page.wait_for_selector(f"h1:has-text('{name}')", timeout=PATIENCE)
        settle(page)
        assert page.locator("[data-testid=stException], [data-testid=stAlertContentError]").count() == 0
    assert told(page) == expected
    page.reload()
    assert told(page) == expected
    assert page.locator(".gallery [role=radio]").nth(1).get_attribute("aria-checked") == "true"


def test_a_view_is_saved_as_a_page(page: Page, tmp_path: Path) -> None:
    pictures(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as HTML").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert download.value.suggested_filename == "Espresso-in-a-red-cup-on-a-wooden-table.html"


def test_a_view_of_an_upload_is_saved_and_opened_again(page: Page, photograph: Path, tmp_path: Path) -> None:
    first = another(page, None)
    page.set_input_files("[data-testid=stFileUploader] input[type=file] >> nth=0", photograph)
    second = another(page, first)
    page.locator(".viewer").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_timeout(300)
    expected, maps = told(page), pictures(page)
    rows, columns = facts().grid  # from the patch in the middle one to the left
    place = f"row {rows // 2 + 1}, column {columns // 2}"
    assert expected.startswith(f"Layer {facts().depth - 1}, head mean, effective, query {place}")
    page.get_by_role("button", name="Save the view").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the view").click()
    saved = tmp_path / "view.zip"
    download.value.save_as(saved)
    page.goto(page.url.partition("?")[0])  # another visit, which knows nothing of this one
    another(page, second)
    page.set_input_files("[data-testid=stFileUploader] input[type=file] >> nth=0", saved)
    page.wait_for_selector("button[title='mine.jpg'][aria-checked=true]", timeout=PATIENCE)
    page.locator(".viewer[data-missing='0']").wait_for(timeout=PATIENCE)
    page.locator(".live", has_text=f"Layer {facts().depth - 1}").wait_for(timeout=PATIENCE)
    assert told(page) == expected
    assert pictures(page) == maps


def test_a_script_that_is_not_the_servers_is_not_run(window: BrowserContext, address: str) -> None:
    page = window.new_page()
    page.goto(address)
    settle(page)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.ran = true'>");
        }"""
    )
    page.wait_for_timeout(500)
    assert page.evaluate("window.ran") is None
    page.close()


def test_a_page_of_another_origin_cannot_frame_the_explorer(window: BrowserContext, address: str) -> None:
    page = window.new_page()
    page.set_content(f"<iframe src='{address}'></iframe>")
    page.wait_for_timeout(1000)
    (frame,) = page.main_frame.child_frames
    assert not frame.url.startswith(address)
    page.close()


def test_a_click_and_the_arrow_keys_choose_an_image(page: Page) -> None:
    images = page.locator(".gallery [role=radio]")
    first, before = another(page, None), pictures(page)
    images.nth(2).click()
    page.wait_for_selector(".gallery [role=radio]:nth-child(3)[aria-checked=true]", timeout=PATIENCE)
    second = another(page, first)
    clicked = pictures(page)
    images.nth(2).press("ArrowRight")
    page.wait_for_selector(".gallery [role=radio]:nth-child(4)[aria-checked=true]:focus", timeout=PATIENCE)
    another(page, second)
    assert len({*before, *clicked, *pictures(page)}) == 6


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_by_its_address_also_on_a_phone(visit: Visit, path: str) -> None:
    page = visit(f"{path}?layer=3", width=390, height=844)
    assert page.locator("h1").text_content() == PAGES[path]
    assert path not in ("", "attention") or told(page).startswith("Layer 3,")
    assert page.locator("[data-testid=stException], [data-testid=stAlertContentError]").count() == 0
    page.wait_for_timeout(500)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_maps_are_square_also_on_a_phone(visit: Visit) -> None:
    page = visit("residual", width=390, height=844)
    page.wait_for_function(
        "() => { const maps = [...document.querySelectorAll('[class*=st-key-square-] .js-plotly-plot')];"
        " return maps.length === 2 && maps.every((m) => m.clientWidth > 300 && m.clientWidth === m.clientHeight); }",
        timeout=PATIENCE,
    )


def test_the_tour_drives_the_viewer_and_waits_for_the_learner(visit: Visit) -> None:
    page = visit("tour")
    another(page, None)
    page.wait_for_timeout(300)
    assert told(page) == f"Layer {facts().depth}, head mean, A, query CLS"
    page.get_by_role("button", name="Next", exact=True).click()
    assert page.locator(".tour .count").inner_text() == "2 of 10"
    assert page.get_by_role("button", name="Next", exact=True).is_disabled()
    page.locator(".viewer [data-value=map]").click()
    assert page.locator(".tour .task").inner_text().startswith("✓")
    page.get_by_role("button", name="Next", exact=True).click()
    assert page.get_by_role("button", name="Next", exact=True).is_disabled()
    page.locator(".viewer").focus()
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("button", name="Next", exact=True).is_disabled(), "not there yet"
    page.get_by_role("button", name="Go on without").click()
    page.wait_for_timeout(200)
    assert page.locator(".tour .title").inner_text() == "What twicing adds"
    assert told(page) == f"Layer {facts().depth}, head mean, A, query CLS"


def test_a_figure_comes_out_of_the_studio(visit: Visit, tmp_path: Path) -> None:
    page = visit("studio")
    page.wait_for_selector("[data-testid=stImage] img", timeout=PATIENCE)
    with page.expect_download(timeout=PATIENCE) as download:
        page.get_by_role("button", name="PDF", exact=True).click()
    assert download.value.suggested_filename == "heatmaps.pdf"
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")
