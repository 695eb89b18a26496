"""Makes the README's animation of the first minute: the start page's pictures, its divider, a surprise, the viewer.

make animation
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page  # noqa: E402

from tests.running_app import CHROMIUM, PAINTED, PATIENCE, STARTED, running_app, running_browser, settle  # noqa: E402

FILE = ROOT / "docs" / "pictures" / "first-minute.webp"
MOST_BYTES = 2_000_000
_SIZE = (960, 540)
_MOVE, _LOOK = 90, 1400
"""Milliseconds of a frame while something moves, and of one to look at."""
_SLIDE = "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }"
"""As a pointer does: without the ring of what the keyboard has chosen."""


def frames(page: Page, address: str) -> Iterator[tuple[Image.Image, int]]:
    """Pictures of the page and how long each stays."""

    def picture(milliseconds: int) -> tuple[Image.Image, int]:
        page.wait_for_timeout(60)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        return shot.resize(_SIZE, Image.Resampling.LANCZOS), milliseconds

    page.goto(address)
    page.wait_for_selector(STARTED, timeout=PATIENCE)
    settle(page)
    slider, divider = page.get_by_role("slider", name="From V"), page.get_by_role("slider", name="Divider")
    for step in range(5):
        for share in (0.25, 0.5, 0.75) if step else ():
            slider.evaluate(_SLIDE, step - 1 + share)
            yield picture(_MOVE)
        slider.evaluate(_SLIDE, step)
        yield picture(_LOOK)
    divider.focus()
    for key, times in (("ArrowRight", 16), ("ArrowLeft", 32), ("ArrowRight", 16)):
        for number in range(times):
            page.keyboard.press(key)
            if number % 3 == 0:
                yield picture(_MOVE)
    page.get_by_role("button", name="Surprise me").click()
    yield picture(2 * _LOOK)
    page.get_by_role("link", name="Open in the viewer").click()
    page.wait_for_selector(PAINTED, timeout=PATIENCE)
    settle(page)
    yield picture(2 * _LOOK)


def main() -> None:
    if CHROMIUM is None:
        sys.exit("make animation needs a Chromium or Chrome; none was found.")
    with running_app() as app, running_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
        pictures, times = zip(*frames(page, app.address), strict=True)
    pictures[0].save(FILE, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=70, method=4)
    size = FILE.stat().st_size
    print(f"{FILE.relative_to(ROOT)}: {len(pictures)} frames, {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"At most {MOST_BYTES:,} bytes were expected.")


if __name__ == "__main__":
    main()
