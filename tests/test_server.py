"""The server as `streamlit run app.py` starts it: what it refuses, what it tells, and that it stops when asked."""

import hashlib
import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import InvalidStatus

from explorer.ui.shell.uploads import SERVER, VISITOR
from tests.running_app import DidNotStartError, Running, running_app
from tests.visitor import VisitError, Visitor


@pytest.fixture(scope="module")
def app() -> Iterator[Running]:
    with running_app() as running:
        yield running


def test_a_visitor_sees_both_models_on_an_image_of_theirs(app: Running) -> None:
    out = io.BytesIO()
    Image.new("RGB", (80, 60), (200, 30, 60)).save(out, "JPEG")
    with Visitor(app.address) as visitor:
        assert len(visitor.run().viewed["models"]) == 2
        viewed = visitor.upload(("mine.jpg", out.getvalue())).viewed
        assert viewed["provenance"]["image"] == hashlib.sha256(out.getvalue()).hexdigest()


def test_a_foreign_host_name_is_refused(app: Running) -> None:
    """Whoever points a name of theirs at this machine (DNS rebinding) gets no session."""
    with pytest.raises(InvalidStatus, match="403"), Visitor(app.address, host="foreign.example"):
        pass


def test_an_upload_needs_a_token_and_has_a_limit(app: Running) -> None:
    with Visitor(app.address) as visitor:
        visitor.run()
        place = f"/_stcore/upload_file/{visitor.session}/anything"
        assert visitor.put(place, "a.png", b"x", proof=False).status == 403
        assert visitor.put(place, "a.png", bytes(20 * 2**20 + 1)).status == 413
        assert visitor.put(place, "a.png", b"x").status == 204


def test_uploads_have_a_budget_and_go_when_their_tab_is_closed() -> None:
    """120 files of 20 MB that nobody looked at were all kept, and those of a closed tab until somebody else came."""
    environment = {**os.environ, VISITOR: "2", SERVER: "3"}
    mib = bytes(2**20 - 1000)  # with what a form puts around it

    def put(visitor: Visitor, name: str) -> int:
        return visitor.put(f"/_stcore/upload_file/{visitor.session}/{name}", "a.png", mib).status

    with (
        running_app("--server.disconnectedSessionTTL=4", environment=environment) as running,
        Visitor(running.address) as other,
    ):
        other.run()
        with Visitor(running.address) as visitor:
            visitor.run()
            assert [put(visitor, name) for name in "abc"] == [204, 204, 413]
            assert [put(other, name) for name in "ab"] == [204, 413]
        deadline = time.monotonic() + 30
        while put(other, "b") != 204:
            assert time.monotonic() < deadline, "what a closed tab held is still kept"
            time.sleep(0.5)
        assert put(other, "c") == 413


def test_an_error_of_ours_is_not_told_to_visitors(app: Running) -> None:
    with Visitor(app.address) as visitor:
        box = visitor.run().of("selectbox")[0]
        visitor.widgets[box.id] = WidgetState(id=box.id, json_value="{")
        with pytest.raises(VisitError) as caught:
            visitor.run()
    assert "redacted" in str(caught.value)
    assert ".py" not in str(caught.value)


def test_readiness_is_asked_of_the_worker(app: Running) -> None:
    """Not ready while it loads, then ready; nothing else is told."""
    deadline = time.monotonic() + 60
    with Visitor(app.address) as visitor:
        visitor.run()
        while (answer := visitor.request("GET", "/readyz")).status != 200:
            assert answer.status == 503
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"


def test_a_visitor_cannot_empty_what_all_share(app: Running) -> None:
    """`clear_cache` is a message that any browser can send; the models would be loaded again, beside those there."""
    with Visitor(app.address) as visitor:
        before = visitor.run().viewed["models"]
        threads = _threads(app)
        for _ in range(3):
            visitor.send(BackMsg(clear_cache=True))
            assert visitor.run().viewed["models"] == before
        assert _threads(app) <= threads + 1


def _threads(app: Running) -> int:
    """How many threads the server has; each engine that is made brings its own."""
    return len(list(Path(f"/proc/{app.process.pid}/task").iterdir()))


@pytest.mark.parametrize("while_loading", [True, False])
def test_ctrl_c_stops_the_server_at_once(while_loading: bool) -> None:
    with running_app() as running, Visitor(running.address) as visitor:
        if not while_loading:
            visitor.run()
        asked = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        running.process.wait(20)
        assert time.monotonic() - asked < 10


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(DidNotStartError, match="no-such-option"), running_app("--no-such-option=1"):
        pass
