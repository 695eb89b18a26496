"""Long work in a real Chromium: shown, cancelled by a click, and the page goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.running_app import CHROMIUM, PATIENCE, running_app, running_browser, settle

pytestmark = pytest.mark.browser

if CHROMIUM is None or os.environ.get("EXPLORER_BROWSER") == "skip":
    pytest.skip("NO BROWSER TEST: no Chromium was found, or EXPLORER_BROWSER=skip", allow_module_level=True)


@pytest.fixture
def page() -> Iterator[Page]:
    with running_app() as app, running_browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{app.address}/attacks")
        settle(page)
        yield page


def test_a_click_on_cancel_ends_what_runs(page: Page) -> None:
    page.get_by_text("paper PGD", exact=True).click()
    settle(page)
    page.get_by_role("button", name="Attack all images").click()
    page.get_by_role("button", name="Cancel").click(timeout=PATIENCE)
    expect(page.get_by_text("Cancelled.")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Attack all images")).to_be_enabled()
    assert page.locator("[data-testid=stException]").count() == 0
