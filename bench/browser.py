"""What a person waits for in a browser: the first picture after the start, a new image, another layer."""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page

from bench.common import Row
from explorer.types import ImageInput
from tests.running_app import CHROMIUM, FIRST_PICTURE, PATIENCE, running_app, running_browser, settle

STARTS = 5
UPLOADS = 9
LAYERS = 9
_SIZE = {"width": 1440, "height": 1400}
_SHOWN = """() => [...document.querySelectorAll('.js-plotly-plot:has(.scatterlayer .point)')].map(
    plot => plot.querySelector('image')?.getAttribute('href'))"""
_CHANGED = f"""old => {{
    const now = ({_SHOWN})();
    return now.length == 2 && now.every(one => one && !old.includes(one));
}}"""


def rows(images: Sequence[ImageInput]) -> list[Row]:
    """Medians over a few starts, uploads and changes of layer; none where there is no Chromium."""
    if CHROMIUM is None:
        return []
    first = [_first_picture() for _ in range(STARTS)]
    uploads, layers = _warm(images)
    spread = f"median of {STARTS}, {min(first):.1f} to {max(first):.1f} s"
    note = "from the start of the server to both maps painted, Chromium open with an empty cache"
    return [
        Row("first picture, files cached", round(statistics.median(first), 2), "s", 6.0, note=f"{note}; {spread}"),
        _row("new image, from choosing the file to both maps painted", uploads),
        _row("another layer, from the key to both maps painted", layers),
    ]


def _row(name: str, seconds: list[float]) -> Row:
    spread = f"median of {len(seconds)}, {min(seconds):.2f} to {max(seconds):.2f} s"
    return Row(name, round(statistics.median(seconds), 3), "s", None, note=f"session and models warm; {spread}")


def _first_picture() -> float:
    """Seconds from starting the server's process to both models' first maps; the browser is there already."""
    with running_browser() as browser, running_app() as app:
        page = browser.new_page(viewport=_SIZE)
        page.goto(app.address, wait_until="commit")
        page.wait_for_function(FIRST_PICTURE, polling="raf", timeout=PATIENCE)
        return time.perf_counter() - app.started


def _warm(images: Sequence[ImageInput]) -> tuple[list[float], list[float]]:
    with running_browser() as browser, running_app() as app, tempfile.TemporaryDirectory() as folder:
        page = browser.new_page(viewport=_SIZE)
        page.goto(app.address)
        settle(page)
        files = [Path(folder) / f"{number}.jpg" for number in range(UPLOADS + 1)]
        for number, file in enumerate(files):
            file.write_bytes(variant(images[number % len(images)], number))
        uploads = [_until_changed(page, partial(_upload, page, file)) for file in files]
        slider = page.get_by_role("slider", name="Layer")
        layers = [_until_changed(page, partial(slider.press, "ArrowLeft")) for _ in range(LAYERS + 1)]
        return uploads[1:], layers[1:]


def _upload(page: Page, file: Path) -> None:
    page.set_input_files("[data-testid=stFileUploader] input[type=file] >> nth=0", file)


def _until_changed(page: Page, act: Callable[[], object]) -> float:
    """Seconds from the act to both maps showing another picture; then waits for the page to settle."""
    before = page.evaluate(_SHOWN)
    started = time.perf_counter()
    act()
    page.wait_for_function(_CHANGED, arg=before, polling="raf", timeout=PATIENCE)
    seconds = time.perf_counter() - started
    settle(page)
    return seconds


def variant(image: ImageInput, number: int, side: int = 640) -> bytes:
    """A small JPEG of this image that no other number gives: shifted, its first pixels marked."""
    small = Image.fromarray(np.roll(image.rgb, 7 * number, axis=1))
    small.thumbnail((side, side))
    pixels = np.array(small)
    pixels[:8, :256] = np.random.default_rng(number).integers(0, 256, pixels[:8, :256].shape, dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue()
