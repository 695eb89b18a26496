"""Ways in: dropped anywhere, pasted, by a button; and the crop by hand, in a real Chromium."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.test_browser import another, pytestmark
from tests.helpers import picture
from tests.pictures.test_images import encode
from tests.running_app import PAINTED, PATIENCE, settle

__all__ = ["pytestmark"]

GIVE = """([files, kind, target]) => {
    const transfer = new DataTransfer();
    for (const [name, data] of files)
        transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
    const options = { bubbles: true, cancelable: true, composed: true };
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { ...options, clipboardData: transfer })
        : new DragEvent(kind, { ...options, dataTransfer: transfer });
    const taken = !document.querySelector(target).dispatchEvent(event);
    return [taken, document.querySelectorAll(".drop-sign").length];
}"""


def give(page: Page, files: Sequence[tuple[str, bytes]], kind: str, target: str = "h1") -> list[object]:
    """What a person does with files at a place of the page: whether the page took them, and how many signs it shows."""
    coded = [(name, base64.b64encode(data).decode()) for name, data in files]
    result: list[object] = page.evaluate(GIVE, [coded, kind, target])
    return result


def test_the_uploader_is_on_screen_and_takes_what_is_dropped_or_pasted_anywhere(visit: Visit) -> None:
    page = visit("attention", width=1280, height=720)
    first = another(page, None)
    box = page.locator(".st-key-uploads [data-testid=stFileUploaderDropzone]").bounding_box()
    assert box
    assert box["y"] + box["height"] < 300
    dropped = [(f"dropped {number}.png", encode(picture(number), "PNG")) for number in range(8)]
    assert give(page, dropped[:1], "dragover") == [True, 1]
    assert give(page, dropped, "drop") == [True, 0]
    second = another(page, first)
    expect(page.locator(".gallery [role=radio]")).to_have_count(14, timeout=PATIENCE)
    expect(page.locator(".gallery [aria-checked=true]")).to_have_attribute("title", "dropped 0.png")

    search = page.get_by_role("searchbox", name="Search images by name")  # as there are more than 12
    search.fill("ROCKET")
    expect(page.locator(".gallery [role=radio]")).to_have_count(1)
    assert give(page, [("pasted.png", b"nothing")], "paste", "[data-testid=stSidebar] [role=combobox]")[0] is False
    search.fill("dropped")
    page.get_by_role("button", name="Next image").click()
    expect(page.locator(".gallery [aria-checked=true]")).to_have_attribute("title", "dropped 1.png", timeout=PATIENCE)
    third = another(page, second)
    assert give(page, [("pasted.png", encode(picture(9), "PNG")), ("b.txt", b"no picture")], "paste")[0] is True
    another(page, third)
    expect(page.get_by_role("alert")).to_contain_text("An image file", timeout=PATIENCE)  # refused as any other
    with page.expect_file_chooser():
        page.get_by_role("heading", level=1).evaluate(
            "(h) => h.addEventListener('click', () => dispatchEvent(new CustomEvent('explorer-upload')))"
        )
        page.get_by_role("heading", level=1).click()


def test_a_part_is_chosen_by_hand(visit: Visit) -> None:
    page = visit("attention", width=1280, height=720)
    first = another(page, None)
    page.get_by_text("By hand", exact=True).click()
    square = page.locator(".crop .box")
    square.wait_for(timeout=PATIENCE)
    settle(page)
    square.press("-")
    square.press("Shift+ArrowLeft")
    second = another(page, first)
    assert re.search(r"crop=0\.0000%2C0\.1000%2C0\.9800%2C0\.7533", address(page))  # of a centre at 1/6, and 2/3 wide
    settle(page)
    square.scroll_into_view_if_needed()
    box = square.bounding_box()
    assert box
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    page.mouse.move(right - 5, bottom - 5)
    page.mouse.down()
    page.mouse.move(right - 5 - box["width"] / 2, bottom - 5 - box["height"] / 2, steps=3)
    page.mouse.up()
    another(page, second)
    top, left, low, far = (float(share) for share in re.findall(r"[01]\.\d{4}", address(page)))
    assert (top, left) == (0, 0.1)
    assert abs(low - 0.49) < 0.02
    assert abs((far - left) * 1.5 - low) < 0.001, "it stays a square of a photograph of 600 x 400"
    page.get_by_text("Squash", exact=True).click()
    expect(page.locator(".crop")).to_have_count(0, timeout=PATIENCE)
    page.wait_for_url("**crop=squash**", timeout=PATIENCE)


def address(page: Page) -> str:
    page.wait_for_selector(PAINTED, timeout=PATIENCE)
    page.wait_for_url("**crop=**", timeout=PATIENCE)
    page.wait_for_timeout(400)  # the viewer writes it a moment after it has drawn
    return page.url.partition("crop=")[0][-1:] + "crop=" + page.url.partition("crop=")[2].partition("&")[0]
