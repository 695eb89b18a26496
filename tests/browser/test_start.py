"""The start page in a real Chromium: it answers by itself, by pointer and keys, and leads on."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import test_browser
from tests.browser.conftest import Visit
from tests.pair import facts
from tests.running_app import CHROMIUM, PAINTED, PATIENCE, STARTED, settle

pytestmark = pytest.mark.browser

if CHROMIUM is None or os.environ.get("EXPLORER_BROWSER") == "skip":
    pytest.skip("NO BROWSER TEST: no Chromium was found, or EXPLORER_BROWSER=skip", allow_module_level=True)

photograph = test_browser.photograph


@pytest.fixture
def page(visit: Visit) -> Page:
    opened = visit("", width=1280, height=720)
    opened.wait_for_selector(STARTED, timeout=PATIENCE)
    opened.get_by_role("button", name="values").click()  # ends the first run through the pictures
    expect(opened.locator(".scrub .chip")).to_have_text("V")
    opened.wait_for_timeout(800)
    return opened


def drawn(page: Page) -> list[str]:
    """Both maps."""
    page.wait_for_timeout(200)
    return page.locator(".half canvas").evaluate_all("(all) => all.map((canvas) => canvas.toDataURL())")


def test_everything_is_answered_without_the_server(page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda socket: requests.append(socket.url))
    frames: list[object] = []
    session = page.context.new_cdp_session(page)
    session.on("Network.webSocketFrameSent", lambda frame: frames.append(frame))
    session.send("Network.enable")

    chip = page.locator(".scrub .chip")
    page.get_by_role("slider", name="From V").focus()
    for symbol in ("AV", "V − AV", "A(V − AV)", "(2A − A²)V"):
        page.keyboard.press("ArrowRight")
        expect(chip).to_have_text(symbol)
    opacity = "(all) => all.map((canvas) => Number(canvas.style.opacity))"
    assert page.locator(".scrub canvas").evaluate_all(opacity) == [0, 0, 0, 1, 1]

    divider = page.get_by_role("slider", name="Divider")
    divider.focus()
    page.keyboard.press("Home")
    expect(divider).to_have_attribute("aria-valuenow", "0")
    box = page.locator(".stage.wipe").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20)
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "75")

    before, numbers = drawn(page), page.locator(".number").all_inner_texts()
    page.get_by_role("slider", name="Layer").focus()
    page.keyboard.press("Home")
    assert not {*before} & {*drawn(page)}
    assert page.locator(".number").all_inner_texts() != numbers

    at_rest = drawn(page)
    said = set()
    for _ in range(2):
        before = page.locator(".looks").inner_text()
        page.get_by_role("button", name="Surprise me").click()
        expect(page.locator(".looks")).not_to_have_text(before)
        said.add(page.locator(".looks").inner_text())
        expect(page.locator(".mark")).to_be_visible()
    assert len(said) == 2
    assert all(
        re.search(
            r"Layer \d+, head \d+, the patch in row \d+, column \d+: .+ looks \d+\.\d patches away from where ", each
        )
        for each in said
    )
    assert not {*at_rest} & {*drawn(page)}
    page.keyboard.press("Escape")
    expect(page.locator(".mark")).to_be_hidden()
    assert not frames
    assert not [url for url in requests if not (url.startswith("blob:") or "/media/" in url)]


LUMINANCES = """(chip) => [getComputedStyle(chip).color, getComputedStyle(chip).backgroundColor].map((text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map((value) => {
        const share = value / 255;
        return share > 0.04045 ? ((share + 0.055) / 1.055) ** 2.4 : share / 12.92;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
})"""
"""Of the words on a chip, and of the chip (WCAG 2.2)."""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_models_names_are_legible_on_their_colours(visit: Visit, theme: Any) -> None:
    page = visit("", width=1280, height=720)
    page.emulate_media(color_scheme=theme)
    page.reload()
    page.wait_for_selector(STARTED, timeout=PATIENCE)
    settle(page)
    for chip in page.locator(".models .chip").all():
        dark, light = sorted(chip.evaluate(LUMINANCES))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_on_a_phone_the_ways_to_go_on_come_first_and_a_surprise_is_seen(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(400)
    for name in ("Your photo", "Surprise me", "Two-minute tour"):
        box = page.locator(".start .action", has_text=name).bounding_box()
        assert box
        assert 40 <= box["height"] <= 60
        assert box["y"] + box["height"] < 300
    page.get_by_role("button", name="Surprise me").click()
    expect(page.locator(".mark")).to_be_in_viewport()
    expect(page.locator(".models .stage")).to_be_in_viewport(ratio=0.9)


def test_it_fits_on_a_laptop_and_is_no_wider_than_a_phone(page: Page) -> None:
    settle(page)
    height = "document.querySelector('[data-testid=stMain]').scrollHeight"
    assert page.evaluate(height) <= 720
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(400)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert all(box.bounding_box()["width"] > 300 for box in page.locator(".stage").all())


def test_a_photograph_of_ones_own_goes_to_the_uploader(page: Page, photograph: Path) -> None:
    before = page.locator(".start").get_attribute("data-painted")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Your photo").click()
    chooser.value.set_files(photograph)
    page.wait_for_selector("button[title='mine.jpg'][aria-checked=true]", timeout=PATIENCE)
    expect(page.locator(STARTED)).not_to_have_attribute("data-painted", before or "", timeout=PATIENCE)
    expect(page.locator(".scrub .chip")).to_have_text("V")  # what was looked at stays
    page.get_by_role("link", name="Two-minute tour").click()  # within the session, which has the photograph
    page.wait_for_selector(".tour", timeout=PATIENCE)
    expect(page.locator(".gallery [aria-checked=true]")).to_have_attribute("title", "mine.jpg", timeout=PATIENCE)


def test_a_place_opens_in_the_viewer(page: Page) -> None:
    page.get_by_role("button", name="Surprise me").click()
    layer, head, row, column = re.findall(r"\d+", page.locator(".looks").inner_text())[:4]
    page.get_by_role("link", name="Open in the viewer").click()
    page.wait_for_selector(PAINTED, timeout=PATIENCE)
    expect(page.locator(".viewer .live")).to_have_text(
        f"Layer {layer}, head {head}, A, query row {row}, column {column}", timeout=PATIENCE
    )
    assert "/attention?" in page.url


def test_an_address_of_before_shows_what_it_showed(visit: Visit) -> None:
    page = visit("?image=rocket.jpg&layer=2&head=1")
    assert "/attention" in page.url
    expect(page.locator(".viewer .live")).to_have_text("Layer 2, head 1, effective, query CLS", timeout=PATIENCE)
    assert facts().depth >= 2
    expect(page.locator(".gallery [aria-checked=true]")).to_have_attribute("title", re.compile("rocket"))


def test_the_tour_is_one_press_away(page: Page) -> None:
    page.get_by_role("link", name="Two-minute tour").click()
    page.wait_for_selector(".tour", timeout=PATIENCE)
    assert "/tour" in page.url
