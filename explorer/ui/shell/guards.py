"""What stands between the network and Streamlit: hosts that are answered, headers of answers, what is kept of requests.

Streamlit checks the Host header of a session alone; here it is checked for pages, files and uploads, too.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from streamlit import file_util, net_util
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from explorer.ui.shell import logs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

METRICS = "EXPLORER_METRICS"
"""The environment's name for the switch that opens Streamlit's metrics."""
_METRICS = "/_stcore/metrics"
_FOR_PROBES = ("/_stcore/health", "/readyz")
"""Answered under any name, which says no more than that a server runs: probes ask for it by the machine's address."""


def guards() -> list[Middleware]:
    """For `st.App`, the outermost first; from here on the server asks no other host for its own address."""
    logs.keep()
    # It would, within the loop that serves everybody, whenever a session comes from another origin.
    net_util.get_external_ip = _no_address
    return [Middleware(logs.RequestLog), Middleware(Guard, policy=content_security_policy(_page()))]


def _no_address() -> None:
    return None


def _page() -> str:
    return Path(file_util.get_static_dir(), "index.html").read_text(encoding="utf-8")


def content_security_policy(page: str) -> str:
    """What a browser may load and run for `page`: what this server sends, and the scripts that stand in the page.

    Streamlit needs styles in the page, and pictures, fonts and workers made by its own scripts (`data:`, `blob:`);
    `blob:` is also how it runs the viewer's module. No page of another origin may frame it.
    """
    inline = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline]
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(("script-src 'self' blob:", *hashes)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


class Guard:
    """Refuses requests under a foreign host name and those for metrics nobody opened; puts headers on every answer."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }
        self._has_metrics = os.environ.get(METRICS, "") == "1"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        path = scope["path"].rstrip("/")
        if not path.endswith(_FOR_PROBES) and not is_host_allowed(Headers(scope=scope).get("host")):
            return PlainTextResponse("This host name is not one the explorer answers to (server.allowedHosts).", 403)
        if path.endswith(_METRICS) and not self._has_metrics:
            return PlainTextResponse(f"Closed; {METRICS}=1 opens it.", 404)
        return None
