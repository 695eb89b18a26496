"""What visitors may upload, how much of it is kept at once, and how long after their tab is closed.

Streamlit keeps every file that comes, looked at or not, and lets it go when a session ends; of a closed tab it notices
the end when somebody else comes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from streamlit import get_option
from streamlit.runtime import Runtime

from explorer import processes
from explorer.serving.cache import total_mib
from explorer.serving.names import EngineName, engine_name
from explorer.types import ExplorerError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send
    from streamlit.runtime.app_session import AppSession

_LOG = logging.getLogger(__name__)
VISITOR, SERVER = "EXPLORER_VISITOR_UPLOADS_MIB", "EXPLORER_UPLOADS_MIB"
_VISITOR_MIB = 1024
_PLACE = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+/?$")
_LOOK_SECONDS = 5.0
_PATIENCE = 0.75
"""Of the time that Streamlit may take for a tab that was closed to come back: later it would forget whose files are."""


def visitor_limit() -> int:
    """Bytes that a visitor's uploads may have together. Raises `ExplorerError` for a variable that is no number."""
    return _mib(VISITOR, _VISITOR_MIB) * 2**20


def server_limit() -> int:
    """Bytes that all uploads may have together: a quarter of the machine's memory unless the environment says."""
    return _mib(SERVER, processes.memory() // 4 // 2**20) * 2**20


def _mib(variable: str, default: int) -> int:
    given = os.environ.get(variable, "").strip() or str(default)
    if not (given.isascii() and given.isdigit() and 0 < len(given) < 10 and int(given)):
        raise ExplorerError(f"{variable} was expected to be a whole number of MiB from 1 on; {given[:40]!r} came.")
    return int(given)


class UploadBudget:
    """Refuses a file for which its visitor, or the server, has no room left, before a byte of it is read.

    What is under way counts, at the length that its header declares; the server in front reads no more than that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._coming: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or lets it through."""
        place = _PLACE.search(scope["path"]) if scope["type"] == "http" and scope["method"] == "PUT" else None
        if place is None or not Runtime.instance().is_active_session(place[1]):
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            await PlainTextResponse("The length of a file was expected before it.", 411)(scope, receive, send)
        elif refusal := self._refusal(place[1], int(length)):
            await PlainTextResponse(refusal, 413)(scope, receive, send)
        else:
            with self._under_way(place[1], int(length)):
                await self._app(scope, receive, send)

    def _refusal(self, session: str, length: int) -> str:
        """One sentence, or nothing."""
        uploads: Any = Runtime.instance().uploaded_file_mgr
        own = sum(len(file.data) for file in list(uploads.file_storage.get(session, {}).values()))
        kept = sum(stat.byte_length for stats in uploads.get_stats().values() for stat in stats)
        try:
            if own + self._coming[session] + length > visitor_limit():
                return f"Uploads of at most {visitor_limit() >> 20} MiB a visitor were expected."
            if kept + self._coming.total() + length > server_limit():
                return "The server has no room for more uploads at the moment."
        except ExplorerError as error:
            return str(error)
        return ""

    @contextmanager
    def _under_way(self, session: str, length: int) -> Iterator[None]:
        self._coming[session] += length
        try:
            yield
        finally:
            self._coming[session] -= length
            if not self._coming[session]:
                del self._coming[session]


def promise() -> str:
    """What happens to a photograph, in a sentence, by the settings that hold."""
    seconds = _PATIENCE * get_option("server.disconnectedSessionTTL")
    sent = "sent nowhere" if engine_name() is EngineName.LOCAL else "sent to the replicas that compute alone"
    return (
        f"They stay in this server's memory, {sent}, until you remove them or {seconds:.0f} s after you close "
        f"the tab; pixels and maps, until others need their place in {total_mib()} MiB."
    )


def bounded_uploads() -> list[Middleware]:
    """For `st.App(middleware=...)`; files are received in memory, where Starlette puts more than 1 MB on the disk."""
    MultiPartParser.spool_max_size = 2 * get_option("server.maxUploadSize") * 2**20
    return [Middleware(UploadBudget)]


async def let_go() -> None:
    """Ends sessions with uploads some time after their tab was closed, and lets go of all they hold; never returns.

    Their state is emptied, because `gc.freeze` may have put the session where no collection looks.
    """
    runtime = Runtime.instance()
    uploads: Any = runtime.uploaded_file_mgr
    patience = _PATIENCE * get_option("server.disconnectedSessionTTL")
    sessions: weakref.WeakValueDictionary[str, AppSession] = weakref.WeakValueDictionary()
    closed: dict[str, float] = {}
    while True:
        await asyncio.sleep(min(_LOOK_SECONDS, patience / 8))
        for key in list(uploads.file_storage):
            if session := runtime.get_app_session(key):
                sessions[key] = session
                closed.pop(key, None)
            elif time.monotonic() - closed.setdefault(key, time.monotonic()) > patience:
                del closed[key]
                try:
                    _end(key, sessions.pop(key, None))
                except Exception:  # the next one is to go all the same
                    _LOG.exception("The uploads of a closed tab could not be let go")
        for key in closed.keys() - uploads.file_storage.keys():  # Streamlit was quicker
            del closed[key]


def _end(key: str, session: AppSession | None) -> None:
    Runtime.instance().close_session(key)
    uploads: Any = Runtime.instance().uploaded_file_mgr
    uploads.remove_session_files(key)  # of a session that Streamlit has forgotten already
    if session:
        session.session_state.clear()
