"""A file of what was asked of the server and what went wrong, for whoever runs it for others; it cannot fill a disk.

Nothing is kept unless `EXPLORER_LOG` names the file. Queries are left out, which name photographs and layers, and so
are the names of sessions and files.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import MutableMapping
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOG = "EXPLORER_LOG"
"""The environment's name for the file."""
LARGEST, KEPT = 10 * 2**20, 5
"""Bytes of a file until the next is begun; how many before it stay."""
_REQUESTS = logging.getLogger("explorer.requests")
_SWITCHED = 101
_REFUSED = 403
_LONGEST = 200


def keep() -> None:
    """Writes requests, warnings and errors to the file that the environment names; ends the process when it cannot."""
    if not (path := os.environ.get(LOG, "")):
        return
    try:
        file = RotatingFileHandler(path, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8")
    except OSError as error:
        print(f"explorer: {LOG} was expected to name a file that can be written; {path}: {error}.", file=sys.stderr)
        raise SystemExit(2) from error
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for logger in (logging.getLogger(), logging.getLogger("uvicorn")):
        logger.addHandler(file)
    _REQUESTS.setLevel(logging.INFO)


class RequestLog:
    """Tells the log of every request: from where, for what, the answer's status and its milliseconds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not _REQUESTS.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        is_logged = False

        async def logged(message: MutableMapping[str, Any]) -> None:
            nonlocal is_logged
            if not is_logged and (status := _status(message)):
                is_logged = True
                address, milliseconds = (scope["client"] or ("-",))[0], 1000 * (time.perf_counter() - begun)
                how = scope.get("method", "WEBSOCKET")
                _REQUESTS.info("%s %s %s %d %.0f ms", address, how, _path(scope), status, milliseconds)
            await send(message)

        await self._app(scope, receive, logged)


def _status(message: MutableMapping[str, Any]) -> int:
    """Of an answer's first message; 0 of any other."""
    if message["type"] in ("http.response.start", "websocket.http.response.start"):
        return int(message["status"])
    return {"websocket.accept": _SWITCHED, "websocket.close": _REFUSED}.get(message["type"], 0)


def _path(scope: Scope) -> str:
    """As it was sent, so that no line breaks in it; without what follows the second name."""
    sent = scope.get("raw_path") or scope["path"].encode("unicode-escape")
    return "/".join(sent.decode("latin-1").split("/")[:3])[:_LONGEST]
