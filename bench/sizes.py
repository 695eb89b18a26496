"""Fine maps in the app: the first map of a new image, a switch of layer, bytes and memory, at each size of the input.

The first map is from choosing a file to both maps painted, to what it cannot go below: decoding the same file and both
models' traced passes, as the server runs them. A page's way through the server comes on top, 0.2 to 0.3 s whatever is
shown. A layer that is not there yet is the time of its pieces from the server, and of a switch to one that is there.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from playwright.sync_api import CDPSession, Page

from bench.browser import UPLOADS, VIEWPORT, upload, variant
from bench.common import Row, medians
from explorer.models import LoadedModel, named, sizes, with_quicker_layers
from explorer.models.trace import trace
from explorer.pictures import images
from explorer.places import PAIR_VARIABLE, VARIANTS
from explorer.serving.pair import load_pair
from explorer.types import ImageInput
from tests import pair
from tests.running_app import CHROMIUM, FIRST_PICTURE, PATIENCE, running_app, running_browser, settle

SIDES = (224, 336, 448)
"""Pixels of the input for the bundled pair."""
BASE = "deit_base_patch16_224"
_ROUNDS = 7
_ADDRESS = (
    "() => performance.getEntriesByType('resource').map((e) => e.name).findLast((n) => n.includes('/viewer/pieces/'))"
)
_VIEWER = "[...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('.viewer')).find(Boolean)"
_ALL_THERE = f"() => {_VIEWER}?.dataset.missing === '0'"
_PIECES = """async ([address, layer]) => {
    const started = performance.now();
    await Promise.all([0, 1].map(async (side) => {
        const answer = await fetch(`${address}/${side}/layer/${layer}`, { cache: "reload" });
        new Uint8Array(await answer.arrayBuffer());
    }));
    return performance.now() - started;
}"""
_PRESS = f"""(key) => new Promise((done) => {{
    const viewer = {_VIEWER};
    viewer.focus();
    const started = performance.now();
    viewer.dispatchEvent(new KeyboardEvent("keydown", {{ key, bubbles: true, composed: true }}));
    requestAnimationFrame(() => {{
        const channel = new MessageChannel();
        channel.port1.onmessage = () => done(performance.now() - started);
        channel.port2.postMessage(0);
    }});
}})"""


def rows(pictures: Sequence[ImageInput]) -> Iterator[Row]:
    """Of the bundled pair at every size, and of a DeiT-Base pair at 224 px; the browser's where there is a Chromium."""
    loaded = [with_quicker_layers(named.load_named(None, role, torch.device("cpu"))) for role in VARIANTS]
    for side in SIDES:
        yield from _passes([sizes.with_input_size(model, side) for model in loaded], side)
    if CHROMIUM is None:
        return
    for side in SIDES:
        yield from _in_the_app(pictures, [sizes.with_input_size(model, side) for model in loaded], side, {})
    del loaded
    with tempfile.TemporaryDirectory() as folder:
        prefix = pair.write(Path(folder) / "base", BASE)
        base = [
            with_quicker_layers(named.load_named(f"{prefix}-{role}.safetensors", role, torch.device("cpu")))
            for role in VARIANTS
        ]
        yield from _in_the_app(pictures, base, SIDES[0], {PAIR_VARIABLE: str(prefix)})


def _passes(models: Sequence[LoadedModel], side: int) -> Iterator[Row]:
    inputs = [torch.randn(1, 3, side, side) for _ in range(_ROUNDS)]
    tasks: dict[str, Callable[[torch.Tensor], object]] = {}
    for model in models:
        tasks[f"plain {model.card.name}"] = torch.inference_mode()(model.module)
        tasks[f"traced {model.card.name}"] = partial(trace, model.module)
    seconds = medians(tasks, inputs, _ROUNDS, keep=2)
    for model in models:
        plain, traced = (seconds[f"{kind} {model.card.name}"] for kind in ("plain", "traced"))
        yield Row(
            f"traced pass at {side} px, {model.card.name}",
            round(traced / plain, 2),
            "x a plain pass",
            1.1,
            note=f"plain {plain:.3f} s, with attention, values, tokens and row measures {traced:.3f} s",
        )


def _in_the_app(
    pictures: Sequence[ImageInput], models: Sequence[LoadedModel], side: int, environment: Mapping[str, str]
) -> Iterator[Row]:
    size = "DeiT-Base" if environment else "DeiT-Small"
    with running_browser() as browser, running_app(environment={**os.environ, **environment}) as app:
        page = browser.new_page(viewport=VIEWPORT)
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        received: list[int] = []
        session.on("Network.webSocketFrameReceived", lambda event: received.append(_length(event)))
        page.goto(f"{app.address}/attention?input_size={side}")
        page.wait_for_function(FIRST_PICTURE, timeout=PATIENCE)
        settle(page)
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{number}.jpg" for number in range(UPLOADS + 1)]
            seconds, before = [], 0
            for number, file in enumerate(files):
                file.write_bytes(variant(pictures[number % len(pictures)], number))
                page.wait_for_function(_ALL_THERE, timeout=PATIENCE)  # of the image before
                before = sum(received)
                seconds.append(upload(page, file))
            floor = _floor([file.read_bytes() for file in files], models)
        median = statistics.median(seconds[1:])
        yield Row(
            f"first map of a new image at {side} px, {size} pair",
            round(median / floor, 2),
            "x decoding and two traced passes",
            1.3,
            note=f"median of {UPLOADS}: {median:.2f} s, of which decoding and passes {floor:.2f} s",
        )
        yield Row(
            f"bytes before the first map at {side} px, {size} pair",
            round((sum(received) - before) / 1e6, 2),
            "MB",
            1.0,
            note="all that the page received for a new image, of which the viewer is the larger part",
        )
        yield from _switches(page, session, side, size)


def _switches(page: Page, session: CDPSession, side: int, size: str) -> Iterator[Row]:
    page.wait_for_function(_ALL_THERE, timeout=PATIENCE)
    there = [page.evaluate(_PRESS, "ArrowLeft" if number % 2 else "ArrowRight") for number in range(2 * _ROUNDS)]
    address = page.evaluate(_ADDRESS).rsplit("/", 3)[0]
    pieces = [page.evaluate(_PIECES, [address, number]) for number in range(_ROUNDS)]
    switch = statistics.median(there)
    yield Row(f"switch to a layer that is there at {side} px, {size} pair", round(switch, 1), "ms", 33.0)
    yield Row(
        f"switch to a layer that is not there at {side} px, {size} pair",
        round(statistics.median(pieces) + switch, 1),
        "ms",
        150.0,
        note="both models' pieces of the layer from the server, then the switch",
    )
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    yield Row(
        f"memory of the page at {side} px, {size} pair",
        round((heap["usedSize"] + heap.get("backingStorageSize", 0)) / 1e6, 1),
        "MB",
        200.0,
        note="JavaScript's heap and its buffers, all layers loaded as far as there is room, after collection",
    )


def _floor(files: Sequence[bytes], models: Sequence[LoadedModel]) -> float:
    """Seconds of decoding and of both models' traced passes at once, as the server makes them; the median of files."""
    engine = load_pair(*models, device="cpu")
    seconds = []
    for data in files:
        started = time.perf_counter()
        engine.compare(images.decode(data))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _length(event: Mapping[str, Mapping[str, str]]) -> int:
    """Bytes of a binary frame, which the protocol writes in base64."""
    return len(event["response"]["payloadData"]) * 3 // 4
