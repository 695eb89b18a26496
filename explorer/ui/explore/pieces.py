"""What the viewer fetches when it is looked at: layers, rollouts and rows, under an address of a session's own.

They travel by HTTP, because a message of Streamlit's is hashed and copied by every run of the page. The address cannot
be guessed, and ends with the session that was given it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from explorer.types import ExplorerError

if TYPE_CHECKING:
    from explorer.ui.shell.session import View  # with the models, before which this is imported

_PATH = "viewer/pieces"
"""Two names, behind which logs of requests end: what follows is a secret."""
_MOST = 8
"""Views of a session whose pieces can be fetched: the last it was shown."""
_PIECE = re.compile(r"(layer|rollout|rows)/(-1|\d{1,5})")
_HEADERS = {
    "Cache-Control": "private, max-age=3600, immutable",
    "Content-Encoding": "identity",  # bytes that compress by a fifth in 50 times the time
}


@dataclass(frozen=True, eq=False)
class Offer:
    """Whose pieces an address gives: a session's, of a view. It lives in the session's state, and ends with that."""

    session: str
    token: str
    view: View


_offers: WeakValueDictionary[str, Offer] = WeakValueDictionary()
_OFFERED = "pieces"


def _is_active(session: str) -> bool:
    return not Runtime.exists() or Runtime.instance().is_active_session(session)


def address(key: object, view: View) -> str:
    """Where the viewer finds the pieces of a view: the same for every run of a session that shows it."""
    offered: dict[object, Offer] = st.session_state.setdefault(_OFFERED, {})
    if key not in offered:
        context = get_script_run_ctx()
        offer = Offer(context.session_id if context else "", secrets.token_urlsafe(24), view)
        offered[key] = _offers[offer.token] = offer
        for old in list(offered)[:-_MOST]:
            del offered[old]
    return f"{_base()}/{_PATH}/{offered[key].token}"


def _base() -> str:
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}" if base else ""


async def piece(request: Request) -> Response:
    """Bytes as `viewer.pieces` makes them; 404 for what is not offered, 503 with a sentence for what cannot be had."""
    offer = _offers.get(request.path_params["token"])
    match = _PIECE.fullmatch(request.path_params["piece"])
    side = request.path_params["side"]
    if offer is None or not _is_active(offer.session) or match is None or side > 1:
        return PlainTextResponse("The server has let go of this view; reload the page.", 404)
    try:
        body = await asyncio.to_thread(_make, offer, side, match[1], int(match[2]))
    except LookupError:
        return PlainTextResponse("The model has no such layer or token.", 404)
    except ExplorerError as error:
        return PlainTextResponse(str(error), 503)
    return Response(body, media_type="application/octet-stream", headers=_HEADERS)


def route() -> Route:
    """For `st.App(routes=...)`."""
    return Route(f"{_base()}/{_PATH}/{{token}}/{{side:int}}/{{piece:path}}", piece)


def _make(offer: Offer, side: int, kind: str, at: int) -> bytes:
    from explorer.ui.explore import viewer_panel  # with torch, which is there since the view was

    return viewer_panel.piece(offer.view, side, kind, at)
