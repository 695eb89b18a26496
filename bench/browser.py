"""What a person waits for in a browser: a new image, a slider of a lesson, an answer of the viewer."""

from __future__ import annotations

import base64
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page, ViewportSize

from bench.common import Row
from explorer.files import ASSETS
from explorer.models import create, uniform_filter
from explorer.models.trace import trace
from explorer.pictures import preprocess
from explorer.types import ImageInput, ModelCard, Preprocessing
from explorer.viewer import payload as viewer
from explorer.viewer.source import script
from tests.running_app import CHROMIUM, FIRST_PICTURE, PATIENCE, running_app, running_browser, settle

UPLOADS = 9
SWITCHES = 200
VIEWPORT: ViewportSize = {"width": 1440, "height": 1400}
CHANGED = """before => [...document.querySelectorAll('*')].some(element => {
    const painted = element.shadowRoot?.querySelector('.viewer')?.dataset.painted;
    return painted && painted !== before;
})"""
_TIMED = """async (change) => {
    const painted = () => new Promise((done) => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
    }));
    const times = [];
    for (let i = 0; i < 31; i++) {
        await new Promise((done) => setTimeout(done, 150));
        const started = performance.now();
        shown.set(eval(change)(i));
        await painted();
        times.push(performance.now() - started);
    }
    return times.slice(1).sort((a, b) => a - b)[15];
}"""
_LESSON = "[...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('.lesson')).find(Boolean)"
_READY = f"() => {{ const lesson = {_LESSON}; return lesson?.querySelector('.waiting').textContent === ''; }}"
_WATCH = f"""() => {{
    const lesson = {_LESSON};
    window.answered = new Promise((done) => {{
        let started = 0;
        addEventListener("keydown", (event) => (started = event.timeStamp), {{ once: true, capture: true }});
        new MutationObserver((_, observer) => {{
            observer.disconnect();
            const channel = new MessageChannel();
            channel.port1.onmessage = () => done(performance.now() - started);
            channel.port2.postMessage(0);
        }}).observe(lesson, {{ attributeFilter: ["data-painted"] }});
    }});
}}"""
_MOUNT = """async ([source, text]) => {
    const { mount } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    window.bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    window.shown = mount(document.querySelector(".viewer"));
    shown.load(bytes);
}"""
_CHANGES = {
    "layer": "(i) => ({ layer: i % 12 })",
    "head": "(i) => ({ head: i % 3 })",
    "matrix": "(i) => ({ head: 'mean', matrix: ['A', 'A − A²', '2A − A²', 'effective'][i % 4] })",
    "rollout": "(i) => ({ matrix: 'rollout', layer: i % 12 })",
    "pointer on another patch": "(i) => ({ matrix: 'effective', place: [((i % 7) + 0.5) / 14, 0.5] })",
}

_GOAL = 33.0
"""Milliseconds to an answer."""
_PAYLOADS = {"tiny": 3.0, "small": 6.0, "base": 12.0}
"""By size of the pair: megabytes sent once."""


def rows(images: Sequence[ImageInput]) -> list[Row]:
    """Medians over a few uploads and steps of a slider; none where there is no Chromium."""
    if CHROMIUM is None:
        return []
    uploads = _warm(images)
    spread = f"median of {len(uploads)}, {min(uploads):.2f} to {max(uploads):.2f} s"
    return [
        Row(
            "new image, from choosing the file to both maps painted",
            round(statistics.median(uploads), 3),
            "s",
            1.5,
            note=f"bundled pair, session and models warm; {spread}",
        ),
        *_lessons(),
    ]


def viewer_rows(image: ImageInput) -> list[Row]:
    """Medians of the viewer's answers for pairs of three sizes; none where there is no Chromium."""
    if CHROMIUM is None:
        return []
    return [row for size, megabytes in _PAYLOADS.items() for row in _viewer(image, size, megabytes)]


def _warm(images: Sequence[ImageInput]) -> list[float]:
    with running_browser() as browser, running_app() as app, tempfile.TemporaryDirectory() as folder:
        page = browser.new_page(viewport=VIEWPORT)
        page.goto(f"{app.address}/attention")
        page.wait_for_function(FIRST_PICTURE, timeout=PATIENCE)
        settle(page)
        files = [Path(folder) / f"{number}.jpg" for number in range(UPLOADS + 1)]
        for number, file in enumerate(files):
            file.write_bytes(variant(images[number % len(images)], number))
        return [upload(page, file) for file in files][1:]


def _lessons() -> list[Row]:
    """Medians from a key on a slider to the painted frame in which the lesson's charts follow it."""
    found = []
    with running_browser() as browser, running_app() as app:
        for path, slider, name in (
            ("smoothing", "Bandwidth h", "lesson 1, bandwidth"),
            ("eigenvalues", "n, times the filter is applied", "lesson 3, n"),
            ("dial", "a in aA", "the dial, a"),
        ):
            page = browser.new_page(viewport=VIEWPORT)
            page.goto(f"{app.address}/{path}")
            page.locator(".lesson[data-painted]").wait_for(timeout=PATIENCE)
            settle(page)
            thumb = page.get_by_role("slider", name=slider)
            thumb.focus()
            page.wait_for_timeout(500)
            page.wait_for_function(_READY, timeout=4 * PATIENCE)  # the dial's places have all come
            settle(page)
            frames: list[object] = []
            session = page.context.new_cdp_session(page)
            session.on("Network.webSocketFrameSent", lambda frame, frames=frames: frames.append(frame))
            session.send("Network.enable")
            times = []
            for number in range(24):
                page.evaluate(_WATCH)
                page.keyboard.press("ArrowRight" if number % 2 else "ArrowLeft")
                times.append(page.evaluate("() => window.answered"))
                page.wait_for_timeout(100)
            note = f"from the key press to the painted frame; median of 20; messages to the server: {len(frames)}"
            found.append(Row(name, round(statistics.median(times[4:]), 1), "ms", 33.0, note=note))
            page.close()
    return found


def upload(page: Page, file: Path) -> float:
    """Seconds from choosing a file to both its maps; then waits for the page to settle."""
    before = page.locator(".viewer").get_attribute("data-painted")
    started = time.perf_counter()
    page.set_input_files("[data-testid=stFileUploader] input[type=file] >> nth=0", file)
    page.wait_for_function(CHANGED, arg=before, polling="raf", timeout=PATIENCE)
    seconds = time.perf_counter() - started
    settle(page)
    return seconds


def _viewer(image: ImageInput, size: str, megabytes: float) -> list[Row]:
    """Medians of 30 answers of the viewer for a pair at 224 px, from the change of state to the painted frame."""
    payload = _payload(image, size)
    with running_browser() as browser:
        page = browser.new_page(viewport=VIEWPORT)
        page.set_content('<div class="viewer"></div>')
        page.add_style_tag(content=(ASSETS / "viewer.css").read_text(encoding="utf-8"))
        page.evaluate(_MOUNT, [script(), base64.b64encode(payload).decode()])
        page.wait_for_function("() => document.querySelector('.viewer').dataset.painted")
        times = {what: page.evaluate(_TIMED, change) for what, change in _CHANGES.items()}
        grown = _switches(page) if size == "tiny" else None
    title = f"DeiT-{size.title()} pair"
    note = "median of 30, from the change of state to the frame that shows it, strips excluded, no bytes to the server"
    found = [Row(f"viewer, {title}: {what}", round(took, 1), "ms", _GOAL, note=note) for what, took in times.items()]
    found.append(Row(f"viewer, {title}: payload", round(len(payload) / 1e6, 2), "MB", megabytes))
    if grown is not None:
        found.append(
            Row(f"viewer: heap grown by {SWITCHES} images", grown, "MiB", None, note="JavaScript heap after collection")
        )
    return found


def _switches(page: Page) -> float:
    """MiB by which the page's JavaScript heap grows while images are switched."""
    session = page.context.new_cdp_session(page)

    def used() -> float:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 2**20

    switch = """async (count) => {
        const text = new TextDecoder().decode(bytes.subarray(8, 8 + new DataView(bytes.buffer).getUint32(4, true)));
        for (let i = 0; i < count; i++) {
            const id = JSON.parse(text).id;
            const other = bytes.slice();
            const at = text.indexOf(id);
            other[8 + new TextEncoder().encode(text.slice(0, at)).length] = 97 + (i % 26);
            shown.load(other);
            await new Promise((done) => setTimeout(done, 20));
        }
    }"""
    page.evaluate(switch, 20)
    before = used()
    page.evaluate(switch, SWITCHES)
    return round(used() - before, 1)


def _payload(image: ImageInput, size: str) -> bytes:
    """A pair with random weights, large enough that attention is far from uniform."""
    preprocessing = Preprocessing((224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    pixels = preprocess.batch([preprocess.model_view(image.rgb, preprocessing)], preprocessing)
    sides = []
    for a in (1.0, 2.0):
        filter = uniform_filter(12, a)
        model = create(f"deit_{size}_patch16_224", 1000, filter)
        torch.manual_seed(0)
        for block in model.blocks:
            torch.nn.init.normal_(block.attn.qkv.weight, std=0.1)
        card = ModelCard(size, size, filter, filter, (), (), 0, preprocessing, "none", "random", None, "none", "0" * 64)
        sides.append(viewer.ViewerSide(trace(model.eval(), pixels)[0], card))
    return viewer.pack(image, sides)


def variant(image: ImageInput, number: int, side: int = 640) -> bytes:
    """A small JPEG of this image that no other number gives: shifted, its first pixels marked."""
    small = Image.fromarray(np.roll(image.rgb, 7 * number, axis=1))
    small.thumbnail((side, side))
    pixels = np.array(small)
    pixels[:8, :256] = np.random.default_rng(number).integers(0, 256, pixels[:8, :256].shape, dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue()
