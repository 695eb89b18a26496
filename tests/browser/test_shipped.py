"""The pair that ships in a real Chromium: tests of the viewer again, whose expectations are read off what opens."""

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser import test_browser, test_viewer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("shipped")]

page = test_browser.page
browser, module, compared, disk = test_viewer.browser, test_viewer.module, test_viewer.compared, test_viewer.disk

test_a_click_pins_a_patch_without_asking_the_server = test_browser.test_a_click_pins_a_patch_without_asking_the_server
test_it_is_shown_within_a_percent = test_viewer.test_the_pair_is_shown_within_a_percent
test_pointing_asks_both_models_in_all_layers = test_viewer.test_pointing_asks_both_models_in_all_layers


@pytest.fixture(scope="module")
def window(browser: Browser) -> BrowserContext:
    """In the browser of the other tests: a process may have one at a time."""
    return browser.new_context()
