"""Sliders of the lessons in a real Chromium: answered without the server, by keyboard, in words and on paper."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from explorer.figures.lessons import SliderStep
from explorer.figures.sliding import SlidingPart
from explorer.figures.style import PALETTES
from explorer.lessons import dial
from explorer.ui.learn import eigenvalues, regression
from explorer.viewer import lesson
from explorer.viewer.source import LESSON, script
from tests.browser.conftest import Visit
from tests.pair import facts
from tests.running_app import CHROMIUM, PATIENCE, follow, settle

pytest.importorskip("playwright")
from playwright.sync_api import BrowserContext, Locator, Page, expect

pytestmark = pytest.mark.browser

if CHROMIUM is None or os.environ.get("EXPLORER_BROWSER") == "skip":
    pytest.skip("NO BROWSER TEST: no Chromium was found, or EXPLORER_BROWSER=skip", allow_module_level=True)

SETTINGS = regression.SmoothingSettings(kernel="box", points=40)
PARTS = {
    "steps": lambda: regression.steps_part(SETTINGS, SliderStep.ADD),
    "risk": lambda: regression.risk_part(SETTINGS),
    "folds": lambda: regression.folds_part(SETTINGS),
    "powers": eigenvalues.powers_part,
    "capacity": eigenvalues.capacity_part,
    "family": eigenvalues.family_part,
}


def slider(page: Page, name: str) -> Locator:
    """One of a lesson's sliders, once its charts are drawn."""
    page.locator(".lesson[data-painted]").wait_for(timeout=PATIENCE)
    return page.get_by_role("slider", name=name)


def sent_frames(page: Page) -> list[str]:
    """Grows with every frame that the page sends to the server from now on."""
    frames: list[str] = []
    session = page.context.new_cdp_session(page)
    session.on("Network.webSocketFrameSent", lambda event: frames.append(event["response"]["payloadData"]))
    session.send("Network.enable")
    return frames


def drawing(page: Page) -> list[str]:
    """Every line and point of the charts."""
    paths: list[str] = page.locator(".lesson .frame path").evaluate_all("(all) => all.map((p) => p.getAttribute('d'))")
    return paths


@pytest.fixture(scope="module")
def module(window: BrowserContext) -> Iterator[Page]:
    """A page in which the component's module is `window.lesson`."""
    page = window.new_page()
    page.evaluate(
        """async (source) => {
            window.lesson = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
        }""",
        script(LESSON),
    )
    yield page
    page.close()


@pytest.mark.parametrize("name", PARTS)
def test_the_browser_has_python_s_numbers_and_words(module: Page, name: str) -> None:
    part: SlidingPart = PARTS[name]()
    module.evaluate(
        "(text) => { window.part = lesson.unpackPart(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))); }",
        base64.b64encode(lesson.pack(part)).decode(),
    )
    for where in product(*(sorted({0, len(each.values) // 3, len(each.values) - 1}) for each in part.sliders)):
        positions = {each.key: at for each, at in zip(part.sliders, where, strict=True)}
        amounts, words, cells = module.evaluate(
            """(positions) => {
                const stands = lesson.standsOf(part.sliders, positions);
                const all = part.charts.flatMap((chart) => chart.series.flatMap(({ x, y }) => [x, y]));
                const cells = part.tables.flatMap((table) => table.rows.flat());
                const values = (amount) => [...lesson.amountAt(amount, stands)].map((v) => (v === v ? v : "nan"));
                const texts = (words) => words.map((each) => lesson.wordsAt(each, stands));
                return [all.map(values), texts(part.words), texts(cells)];
            }""",
            positions,
        )
        expected = [amount for chart in part.charts for series in chart.series for amount in (series.x, series.y)]
        for values, amount in zip(amounts, expected, strict=True):
            np.testing.assert_allclose(np.array(values, dtype=float), amount.at(positions), rtol=1e-5, atol=2e-6)
        assert words == [each.at(positions) for each in part.words]
        assert cells == [cell.at(positions) for table in part.tables for row in table.rows for cell in row]


@pytest.mark.parametrize(
    ("path", "name", "before", "after"),
    [
        ("smoothing", "Bandwidth h", "0.050", "0.055"),
        ("smoothing", "Noise σ", "0.30", "0.35"),
        ("eigenvalues", "n, times the filter is applied", "12", "13"),
    ],
)
def test_a_slider_is_answered_by_keyboard_without_the_server(
    visit: Visit, path: str, name: str, before: str, after: str
) -> None:
    page = visit(path)
    control = slider(page, name)
    expect(control).to_have_attribute("aria-valuetext", before)
    drawn, words = drawing(page), page.locator(".lesson .words").inner_text()
    control.focus()
    frames = sent_frames(page)
    control.press("ArrowRight")
    expect(control).to_have_attribute("aria-valuetext", after)
    assert drawing(page) != drawn
    assert page.locator(".lesson .words").inner_text() != words
    page.wait_for_timeout(1500)
    assert frames == []
    control.press("ArrowLeft")
    expect(control).to_have_attribute("aria-valuetext", before)
    assert drawing(page) == drawn
    control.press("End")
    page.locator("h1").click()
    page.wait_for_timeout(1000)
    assert frames, "what the slider was left at is told, once"


def test_a_chart_has_words_for_screen_readers_and_numbers_under_the_pointer(visit: Visit) -> None:
    page = visit("smoothing")
    slider(page, "Bandwidth h").press("ArrowRight")
    status = page.locator(".lesson [role=status]")
    expect(status).to_contain_text("Noisy values and what smoothing makes. noisy values V: from ", timeout=PATIENCE)
    expect(status).to_contain_text("Root mean squared distance to the curve")
    chart = page.locator(".lesson [role=img]").first
    assert chart.get_attribute("aria-label") == "Noisy values and what smoothing makes"
    chart.hover()
    reading = page.locator(".lesson .reading:visible")
    expect(reading).to_contain_text("smoothed, AV")
    before = reading.inner_text()
    slider(page, "Bandwidth h").press("End")
    expect(reading).not_to_have_text(before)


def test_sliders_keep_their_place_in_other_parts_and_after_other_pages(visit: Visit) -> None:
    page = visit("smoothing")
    control = slider(page, "Bandwidth h")
    control.press("End")
    control.press("ArrowLeft")
    page.get_by_text("4. Again and again", exact=True).click()
    page.get_by_role("slider", name="k, folds").wait_for(timeout=PATIENCE)
    expect(slider(page, "Bandwidth h")).to_have_attribute("aria-valuetext", "0.250")  # of those that are there
    follow(page, "Learn", "3. Eigenvalues and depth")
    page.wait_for_selector("h1:has-text('Eigenvalues')", timeout=PATIENCE)
    settle(page)
    follow(page, "Learn", "1. Smoothing")
    page.wait_for_selector("h1:has-text('Smoothing')", timeout=PATIENCE)
    settle(page)
    page.get_by_text("1. Three steps", exact=True).click()
    page.get_by_text("Step by step").wait_for(timeout=PATIENCE)
    settle(page)
    expect(slider(page, "Bandwidth h")).to_have_attribute("aria-valuetext", "0.245")


def test_paper_has_the_position_in_light_colours(visit: Visit) -> None:
    page = visit("smoothing")
    page.emulate_media(color_scheme="dark")
    page.reload()
    settle(page)
    slider(page, "Bandwidth h").press("ArrowRight")
    line = page.locator(".lesson .frame .baseline .line").first
    colour = "(path) => getComputedStyle(path).stroke"
    rgb = {theme: tuple(int(PALETTES[theme].baseline[i : i + 2], 16) for i in (1, 3, 5)) for theme in ("light", "dark")}
    assert line.evaluate(colour) == "rgb({}, {}, {})".format(*rgb["dark"])
    page.emulate_media(media="print", color_scheme="dark")
    assert line.evaluate(colour) == "rgb({}, {}, {})".format(*rgb["light"])
    assert page.locator(".lesson input").first.is_hidden()
    assert page.locator(".lesson .slider").first.inner_text().split() == ["Bandwidth", "h", "0.055"]


def test_the_dial_is_answered_by_the_browser_once_its_places_have_come(visit: Visit) -> None:
    page = visit("dial")
    control = slider(page, "a in aA")
    drawn = drawing(page)
    page.wait_for_timeout(1500)
    assert page.locator(".lesson .waiting").inner_text() == "", "nothing is computed that nobody came near"
    control.focus()
    page.locator(".lesson .waiting", has_text="places are computed").wait_for(timeout=PATIENCE)
    page.wait_for_function(
        """() => [...document.querySelectorAll("*")].some((e) =>
            e.shadowRoot?.querySelector(".lesson .waiting")?.textContent === "")""",
        timeout=PATIENCE,
        polling=50,
    )
    page.wait_for_timeout(1000)
    frames = sent_frames(page)
    control.press("ArrowLeft")
    expect(control).to_have_attribute("aria-valuetext", "1.95")
    expect(page.locator(".lesson .heat strong").nth(1)).to_contain_text("a = 1.95 in")
    assert drawing(page) != drawn
    page.wait_for_timeout(1000)
    assert frames == []


def test_a_place_of_the_dial_that_is_not_there_is_said_and_comes(visit: Visit) -> None:
    page = visit("dial")
    *_, last = dial.presets(facts().depth)
    page.get_by_text(last, exact=True).first.click()
    settle(page)
    slider(page, "a in aA")
    said, before, during = page.locator(".lesson").evaluate(
        """async (lesson) => {
            const paths = () => [...lesson.querySelectorAll(".frame path")].map((p) => p.getAttribute("d")).join();
            const input = lesson.querySelector("input");
            const before = paths();
            input.value = 7;
            input.dispatchEvent(new Event("input"));
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            return [lesson.querySelector(".waiting").textContent, before, paths()];
        }"""
    )
    assert said == "0.35 is being computed …"
    assert during == before, "what is there stays meanwhile"
    page.locator(".lesson:not(.missing)").wait_for(timeout=PATIENCE)
    expect(page.locator(".lesson .heat strong").nth(1)).to_contain_text("a = 0.35 in")


@pytest.mark.parametrize("path", ["smoothing", "eigenvalues", "dial"])
def test_charts_fit_a_phone(visit: Visit, path: str) -> None:
    page = visit(path, width=390, height=844)
    slider(page, {"smoothing": "Bandwidth h", "eigenvalues": "n, times", "dial": "a in aA"}[path])
    widths = page.locator(".lesson, .lesson figure, .lesson input").evaluate_all(
        "(all) => all.map((each) => each.getBoundingClientRect()).map(({ left, right }) => [left, right])"
    )
    assert all(left >= 0 and right <= 390 for left, right in widths)
    assert len(widths) > 2
