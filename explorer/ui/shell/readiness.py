"""`/readyz`: whether a visitor would be answered, by a pass through the worker.

`/_stcore/health` says that the process answers, which it does with a worker that hangs. A pass waits in the visitors'
own queue, for `PATIENCE` seconds at most, and is made every few seconds, however often anybody asks.
"""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from explorer.ui.shell import preload

PATIENCE = 5.0
"""Seconds for the pass."""
_EVERY_SECONDS = 5.0


class _Last:
    """What the last pass said, and when; one is made at a time."""

    lock = asyncio.Lock()
    problem: str | None = None
    at = -_EVERY_SECONDS


async def readyz(_: Request) -> PlainTextResponse:
    """200 where a pass gives numbers in time, else 503 and why not."""
    async with _Last.lock:
        if time.monotonic() - _Last.at >= _EVERY_SECONDS:
            _Last.problem = await asyncio.to_thread(problem)
            _Last.at = time.monotonic()
        words = _Last.problem
    return PlainTextResponse(words or "ready", 503 if words else 200, {"Cache-Control": "no-store"})


ROUTE = Route("/readyz", readyz)


def problem() -> str | None:
    """Why visitors are not served, in a few words; None where they are."""
    if preload.is_running(first_page=True):
        return "loading"
    from explorer.jobs.passes import ProbeJob  # with torch, which is there now
    from explorer.types import BusyError, ExplorerError
    from explorer.ui.shell import resources, sidebar

    try:
        engine = resources.engine()
        picture = sidebar.example_photos()[0].image
        (finite,) = engine.submit(ProbeJob(), [picture], engine.cards[0].key).result(PATIENCE)
    except TimeoutError:
        return f"no pass within {PATIENCE:g} seconds"
    except BusyError:
        return "too many requests are waiting"
    except ExplorerError:
        return "no pass could be made; the log says why"
    return None if bool(finite) else "a pass gives no finite numbers"
