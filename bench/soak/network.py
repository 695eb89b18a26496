"""A class of sixty on a fresh server that was started with few files, and strangers of foreign origins."""

from __future__ import annotations

import os
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from bench import visitors
from bench.common import Row
from bench.soak import case
from explorer.pictures import examples
from tests.running_app import FROM_THE_CHECKOUT, running_app
from tests.visitor import Visitor

CLASS = 60
PAGES = (
    *("", "similarity", "residual", "spectrum", "attribution"),
    *("corruptions", "attacks", "nonlocal-means", "studio", "models"),
)
STRANGERS = 100
FEW_FILES = ("sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", *FROM_THE_CHECKOUT)


@case("class")
def sixty_visitors() -> list[Row]:
    """Sixty visitors upload in the same moment to a server started with 256 files."""
    images = [examples.load(example) for example in examples.EXAMPLES]
    passes = visitors.passes_alone(images, CLASS)
    with running_app(command=FEW_FILES) as app:
        return visitors.at_once(app, images, passes, CLASS)


@case("first visits")
def first_visits() -> list[Row]:
    """Sixty visitors open ten pages of a fresh server in the same moment, and open them again."""
    together = threading.Barrier(CLASS)
    answered: list[float] = []
    errors: list[str] = []

    def visit(number: int) -> None:
        with Visitor(app.address, page=PAGES[number % len(PAGES)]) as visitor:
            for _ in range(2):
                together.wait(300)
                begun = time.perf_counter()
                try:
                    visitor.run()
                except Exception as error:
                    errors.append(f"{PAGES[number % len(PAGES)]}: {error}")
                answered.append(time.perf_counter() - begun)

    with running_app() as app, ThreadPoolExecutor(CLASS) as pool:
        list(pool.map(visit, range(CLASS)))
    note = f"; first error: {errors[0][:300]}" if errors else ""
    return [
        Row(f"{CLASS} first visits to {len(PAGES)} pages, twice: errors", len(errors), "", 0, note=note),
        Row(f"{CLASS} first visits to {len(PAGES)} pages, twice: longest answer", round(max(answered), 2), "s", 15.0),
    ]


@case("strangers")
def foreign_origins() -> list[Row]:
    """Sessions from foreign origins, on a server whose way to the net is a proxy that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        environment = {**os.environ, "http_proxy": address, "https_proxy": address, "no_proxy": ""}
        with running_app("--server.address=0.0.0.0", environment=environment) as app:
            longest, done = 0.0, threading.Event()

            def ask() -> None:
                nonlocal longest
                while not done.is_set():
                    begun = time.perf_counter()
                    urllib.request.urlopen(f"{app.address}/_stcore/health", timeout=60).close()
                    longest = max(longest, time.perf_counter() - begun)
                    time.sleep(0.05)

            asking = threading.Thread(target=ask)
            asking.start()
            place = f"{app.address.replace('http', 'ws')}/_stcore/stream"
            for number in range(STRANGERS):
                with suppress(InvalidStatus):
                    origin = Origin(f"http://{number}.example")
                    connect(place, origin=origin, subprotocols=[Subprotocol("streamlit")], proxy=None).close()
            done.set()
            asking.join()
    note = f"{STRANGERS} sessions of foreign origins, refused"
    return [Row(f"{STRANGERS} strangers: longest answer of health", round(longest, 2), "s", 2.0, note=note)]
