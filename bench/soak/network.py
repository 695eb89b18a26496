"""A class of sixty on a fresh server that was started with few files, and strangers of foreign origins."""

from __future__ import annotations

import os
import socket
import threading
import time
import urllib.request
from contextlib import suppress

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from bench import visitors
from bench.common import Row
from bench.soak import case
from explorer.pictures import examples
from tests.running_app import FROM_THE_CHECKOUT, running_app

CLASS = 60
STRANGERS = 100
FEW_FILES = ("sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", *FROM_THE_CHECKOUT)


@case("class")
def sixty_visitors() -> list[Row]:
    """Sixty visitors upload in the same moment to a server started with 256 files."""
    images = [examples.load(example) for example in examples.EXAMPLES]
    with running_app(command=FEW_FILES) as app:
        return visitors.at_once(app, images, CLASS)


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
