"""What stands between the network and the server: names, headers, metrics, logs; and that it asks nobody."""

import http.client
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from explorer.ui.shell import guards, logs
from tests.running_app import FROM_THE_CHECKOUT, DidNotStartError, Running, running_app
from tests.visitor import Visitor

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
QUICK = 2.0
"""Seconds within which health is answered on two cores that have other work, too."""


@contextmanager
def silent_proxy() -> Iterator[tuple[str, list[object]]]:
    """A proxy that takes connections and never answers: its address, and who came."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, came), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", came


def _accept(server: socket.socket, came: list[object]) -> None:
    while True:
        try:
            came.append(server.accept())
        except OSError:
            return


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "explorer.log"


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[str, list[object]]]:
    with silent_proxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def app(log: Path, proxy: tuple[str, list[object]]) -> Iterator[Running]:
    """A server for a network, whose requests go to a proxy that never answers, and that may open few files."""
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    quiet = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    few_files = ("sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", *FROM_THE_CHECKOUT)
    environment = {**quiet, **dict.fromkeys(names, proxy[0]), logs.LOG: str(log)}
    with running_app("--server.address=0.0.0.0", command=few_files, environment=environment) as running:
        yield running


def answer(app: Running, path: str, host: str | None = None, method: str = "GET") -> http.client.HTTPResponse:
    server = urlsplit(app.address)
    connection = http.client.HTTPConnection(server.netloc, timeout=60)
    try:
        connection.request(method, path, headers={"Host": host or server.netloc})
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def test_a_session_of_a_foreign_origin_is_refused_without_asking_anybody(
    app: Running, proxy: tuple[str, list[object]]
) -> None:
    answers: list[float] = []
    asking = threading.Thread(target=_ask_health, args=(app, answers))
    asking.start()
    place = f"{app.address.replace('http', 'ws')}/_stcore/stream"
    with pytest.raises(InvalidStatus, match="403"):
        connect(place, origin=Origin("http://foreign.example"), subprotocols=[Subprotocol("streamlit")], proxy=None)
    asking.join()
    assert max(answers) < QUICK
    assert not proxy[1]


def _ask_health(app: Running, answers: list[float]) -> None:
    for _ in range(10):
        begun = time.perf_counter()
        assert answer(app, "/_stcore/health").status == 200
        answers.append(time.perf_counter() - begun)
        time.sleep(0.05)


def test_a_visit_leads_nobody_to_ask_a_foreign_host(app: Running, proxy: tuple[str, list[object]]) -> None:
    with Visitor(app.address) as visitor:
        visitor.run()
    assert not proxy[1]


@pytest.mark.parametrize("path", ["/", "/similarity", "/_stcore/host-config", "/_stcore/upload_file/a/b", "/media/a"])
def test_a_foreign_host_name_gets_nothing(app: Running, path: str) -> None:
    for host in ("foreign.example", "foreign.example:80", "127.0.0.1.foreign.example", "user@localhost", ""):
        assert answer(app, path, host or "a b").status in (400, 403), host
    assert answer(app, path).status not in (400, 403)


def test_a_foreign_host_name_uploads_nothing(app: Running) -> None:
    with Visitor(app.address) as visitor:
        visitor.run()
        place = f"/_stcore/upload_file/{visitor.session}/anything"
        visitor._host = "foreign.example"
        assert visitor.put(place, "a.png", b"x").status == 403


def test_probes_are_answered_under_any_name(app: Running) -> None:
    assert answer(app, "/_stcore/health", "10.0.0.7:8501").status == 200


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/media/none", "/nowhere.js"])
def test_every_answer_has_the_headers(app: Running, path: str) -> None:
    headers = answer(app, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'self'" in policy
    assert "default-src 'self'" in policy
    scripts = re.search("script-src ([^;]*)", policy)
    assert scripts is not None
    assert "unsafe" not in scripts[1]


def test_refusals_have_the_headers(app: Running) -> None:
    refusal = answer(app, "/", "foreign.example")
    assert refusal.headers["x-content-type-options"] == "nosniff"


def test_metrics_are_closed(app: Running) -> None:
    assert answer(app, "/_stcore/metrics").status == 404


def test_the_policy_names_every_script_of_the_page() -> None:
    policy = guards.content_security_policy("<script>a()</script><script src='b.js'></script><script>\nc\n</script>")
    assert policy.count("'sha256-") == 2
    assert "'sha256-" in guards.content_security_policy(guards._page())


@LINUX
def test_the_soft_limit_of_files_is_raised(app: Running) -> None:
    limits = Path(f"/proc/{app.process.pid}/limits").read_text()
    soft, hard = re.search(r"Max open files +(\S+) +(\S+)", limits).groups()  # type: ignore[union-attr]
    assert hard == "256" or int(soft) == min(int(hard), 65536) > 256


def test_requests_are_logged_without_queries_and_names_of_sessions(app: Running, log: Path) -> None:
    answer(app, "/similarity?image=private")
    answer(app, "/_stcore/upload_file/secret-session/secret-file")
    answer(app, "/a%0Ab%80")
    text = log.read_text()
    assert re.search(r"INFO explorer.requests 127.0.0.1 GET /similarity 200 \d+ ms$", text, re.MULTILINE)
    assert "private" not in text
    assert "secret" not in text
    assert all(re.match(r"\d{4}-", line) for line in text.splitlines())


def test_a_log_begins_anew_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.LOG, str(tmp_path / "explorer.log"))
    monkeypatch.setattr(logs, "LARGEST", 1000)
    known = {logger: list(logger.handlers) for logger in (logging.getLogger(), logging.getLogger("uvicorn"))}
    try:
        logs.keep()
        for number in range(1000):
            logging.getLogger("explorer.requests").info("%d", number)
    finally:
        for logger, handlers in known.items():
            for handler in set(logger.handlers) - set(handlers):
                logger.removeHandler(handler)
                handler.close()
        logging.getLogger("explorer.requests").setLevel(logging.NOTSET)
    files = list(tmp_path.iterdir())
    assert len(files) == 1 + logs.KEPT
    assert sum(file.stat().st_size for file in files) <= 1000 * len(files)


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    environment = {**os.environ, logs.LOG: str(tmp_path / "no-such-folder" / "explorer.log")}
    with pytest.raises(DidNotStartError, match="EXPLORER_LOG was expected"), running_app(environment=environment):
        pass
