"""Many visitors and many uploads: nobody sees an error, everybody is answered in time, memory does not grow.

Visitors speak Streamlit's protocol without a browser (`tests.visitor`), from threads of this process on the same
machine. Memory is the server's resident set, which Linux tells; elsewhere these rows are left out.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from bench.browser import variant
from bench.common import Row
from explorer.models.checkpoints import with_quicker_layers
from explorer.models.named import load_named
from explorer.pictures.images import decode
from explorer.serving.pair import load_pair
from explorer.types import ImageInput
from tests.running_app import Running, running_app
from tests.visitor import VisitError, Visitor

VISITORS = 50
UPLOADS = 500
SETTLING = 8.0
"""Seconds after which the server has given back what it does not use."""
FILL = 100
"""Uploads after which the caches, which are bounded in bytes, are full: growth is counted from there."""


def rows(images: Sequence[ImageInput]) -> list[Row]:
    """50 visitors at once, each with an image of their own, then 500 uploads one after the other."""
    passes = passes_alone(images)
    with running_app() as app:
        together = at_once(app, images, passes)
    with running_app() as app:
        in_a_row = _in_a_row(app, images)
    return [*together, *in_a_row]


def passes_alone(images: Sequence[ImageInput], visitors: int = VISITORS) -> float:
    """Seconds that both models' traced passes of so many visitors' images take in this process alone."""
    pair = load_pair(
        *(with_quicker_layers(load_named(None, role, torch.device("cpu"))) for role in ("standard", "twicing")),
        device="cpu",
    )
    inputs = [decode(variant(images[number % len(images)], number)) for number in range(visitors + 2)]
    for image in inputs[visitors:]:
        pair.compare(image)
    started = time.perf_counter()
    for image in inputs[:visitors]:
        pair.compare(image)
    return time.perf_counter() - started


def at_once(app: Running, images: Sequence[ImageInput], passes: float, visitors: int = VISITORS) -> list[Row]:
    """Errors, times and growth of so many visitors who upload an image of their own in the same moment.

    `passes` are the seconds that the passes of these images take alone.
    """
    with Visitor(app.address) as visitor:
        visitor.run()
        upload(visitor, "warm.jpg", variant(images[0], 10_000))
    with Visitor(app.address, page="similarity") as visitor:
        visitor.run()  # everything is imported now
    time.sleep(SETTLING)
    before, worked = resident(app), processor(app)
    files = [variant(images[number % len(images)], number) for number in range(visitors)]
    together = threading.Barrier(visitors + 1)
    opened: list[float] = []
    answered: list[float] = []
    errors: list[str] = []

    def visit(number: int) -> None:
        try:
            started = time.perf_counter()
            with Visitor(app.address) as visitor:
                visitor.run()
                opened.append(time.perf_counter() - started)
                together.wait(120)
                started = time.perf_counter()
                upload(visitor, f"{number}.jpg", files[number])
                answered.append(time.perf_counter() - started)
                together.wait(120)  # all stay until the memory has been read
                together.wait(120)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
            together.abort()

    with ThreadPoolExecutor(visitors) as pool:
        visits = [pool.submit(visit, number) for number in range(visitors)]
        growth = math.nan
        try:
            together.wait(120)
            together.wait(120)
            worked = processor(app) - worked
            time.sleep(SETTLING)
            growth = resident(app) - before
            together.wait(120)
        except threading.BrokenBarrierError:
            pass
        for one in visits:
            one.result()
    said = f"; first error: {errors[0][:300]}" if errors else ""
    note = f"{visitors} sessions without a browser, all uploading a JPEG of their own in the same moment{said}"
    return [
        Row(f"{visitors} visitors at once: errors", len(errors), "", 0, note=note),
        Row(f"{visitors} visitors at once: upload to maps, p99", percentile(answered, 99), "s", 15.0, note=note),
        Row(
            f"{visitors} visitors at once: upload to maps, p99, to the passes alone",
            round(percentile(answered, 99) / passes, 2),
            "x the passes' own time",
            1.3,
            note=f"the passes of the same images alone, one image after the other: {passes:.2f} s",
        ),
        Row(f"{visitors} visitors at once: first page, p99", percentile(opened, 99), "s", None, note=note),
        Row(
            f"{visitors} visitors at once: the server's work for an upload",
            round(worked / visitors, 3),
            "core-s",
            None,
            note=note,
        ),
        Row(
            f"{visitors} visitors at once: growth of the server",
            round(growth, 1),
            "MiB",
            150 if visitors <= 50 else 250,
            note=f"resident set, {SETTLING:g} s after the last answer, all still connected, against one visitor before "
            f"({before:.0f} MiB)",
        ),
    ]


def _in_a_row(app: Running, images: Sequence[ImageInput]) -> list[Row]:
    with Visitor(app.address) as visitor:
        visitor.run()
        start = full = resident(app)
        for number in range(UPLOADS + FILL):
            if number == FILL:
                full = resident(app)
            upload(visitor, f"{number}.jpg", variant(images[number % len(images)], number))
        growth = resident(app) - full
    return [
        Row(
            f"{UPLOADS} uploads in a row: growth of the server",
            round(growth, 1),
            "MiB",
            50,
            note=f"one session that replaces its image each time; counted after {FILL} uploads have filled the caches "
            f"(which took {full - start:.0f} MiB)",
        )
    ]


def upload(visitor: Visitor, name: str, data: bytes) -> None:
    """Uploads an image and makes sure that this image is shown under both models."""
    viewed = visitor.upload((name, data)).viewed
    if len(viewed["models"]) != 2 or viewed["provenance"]["image"] != hashlib.sha256(data).hexdigest():
        raise VisitError(f"Both models' maps of {name} were expected; something else came.")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` percent of the values do not exceed."""
    return round(sorted(values)[math.ceil(len(values) * share / 100) - 1], 2) if values else math.nan


def processor(app: Running) -> float:
    """Seconds of a processor that the server has used."""
    numbers = Path(f"/proc/{app.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def resident(app: Running) -> float:
    """MiB of memory the server holds."""
    status = Path(f"/proc/{app.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024
