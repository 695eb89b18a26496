"""Long work in a real Chromium: shown, cancelled by a click, and the page goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from explorer.runs import robustness_file
from tests.browser.conftest import Visit
from tests.helpers import write_folder
from tests.pair import facts
from tests.running_app import CHROMIUM, PATIENCE, settle

pytestmark = pytest.mark.browser

if CHROMIUM is None or os.environ.get("EXPLORER_BROWSER") == "skip":
    pytest.skip("NO BROWSER TEST: no Chromium was found, or EXPLORER_BROWSER=skip", allow_module_level=True)


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit("attacks", height=1000)


def test_a_click_on_cancel_ends_what_runs(page: Page) -> None:
    page.get_by_text("PGD, pixels", exact=True).click()
    settle(page)
    page.get_by_role("button", name="Attack all images").click()
    page.get_by_role("button", name="Cancel").click(timeout=PATIENCE)
    expect(page.get_by_text("Cancelled.")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Attack all images")).to_be_enabled()
    assert page.locator("[data-testid=stException]").count() == 0


def test_a_labelled_folder_keeps_its_classes_and_goes_on_after_cancel(page: Page, tmp_path: Path) -> None:
    wnids = facts().cards[0].wnids[:2]
    folder = write_folder(tmp_path / "mine", [*wnids, "unicorn"], each=5)
    page.get_by_text("a labelled folder", exact=True).click()
    settle(page)
    page.locator("[data-testid=stMain] [data-testid=stFileUploader] input").set_input_files(folder)
    expect(page.get_by_text("unicorn (5 images)")).to_be_visible(timeout=PATIENCE)
    start = page.get_by_role("button", name="Attack 10 images")
    start.click()
    page.get_by_role("button", name="Cancel").click(timeout=PATIENCE)
    expect(page.get_by_text("Cancelled.")).to_be_visible(timeout=PATIENCE)
    start.click()
    page.get_by_role("button", name="JSON lines").wait_for(timeout=PATIENCE)
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON lines").click()
    download.value.save_as(tmp_path / "sweep.jsonl")
    ranks = robustness_file.read(tmp_path / "sweep.jsonl").ranks
    assert set(ranks) == {f"mine/{wnid}/{i}.png" for wnid in wnids for i in range(5)}
    assert page.locator("[data-testid=stException]").count() == 0
