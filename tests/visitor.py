"""A visitor without a browser: speaks Streamlit's own protocol to a running server, for tests and benchmarks.

One websocket per visitor carries `BackMsg` to the server and `ForwardMsg` back (streamlit.proto); files go by HTTP, to
the place the server names for them. What the page would show is kept as the list of elements of the last run.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

XSRF_COOKIE = "_streamlit_xsrf"


class VisitError(Exception):
    """What a visitor would see as an error: an exception or an error box, a refused file, no answer in time."""


@dataclass(frozen=True)
class Answer:
    """What one run of the page sent."""

    elements: tuple[Element, ...]

    def of(self, kind: str) -> list[Any]:
        """The elements of one type, as `Element`'s field is called."""
        return [getattr(element, kind) for element in self.elements if element.WhichOneof("type") == kind]

    @property
    def errors(self) -> list[str]:
        """Exceptions and error boxes."""
        exceptions = [f"{one.type}: {one.message}" for one in self.of("exception")]
        alerts = [one.body for one in self.of("alert") if one.format == Alert.ERROR]
        return exceptions + alerts

    @property
    def viewed(self) -> dict[str, Any]:
        """What the attention viewer was sent, without its arrays: `models` and `provenance` above all."""
        (data,) = [one.bytes for one in self.of("bidi_component") if one.component_name == "viewer"]
        data = data[4 + int.from_bytes(data[:4], "little") :]  # behind the address of what it may fetch
        header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[4:8], "little")])
        return header


class Visitor:
    """One browser tab's worth of session; a context manager."""

    def __init__(
        self, address: str, *, page: str = "attention", host: str | None = None, patience: float = 120.0
    ) -> None:
        self._server, self._page, self._patience = urlsplit(address), page, patience
        self._host = host or self._server.netloc
        self.widgets: dict[str, WidgetState] = {}
        self._uploader = ""
        self.session = ""
        response = self.request("GET", "/_stcore/health")
        cookies = response.headers.get_all("set-cookie") or []
        self.xsrf = next(c for c in cookies if c.startswith(XSRF_COOKIE)).split(";")[0].partition("=")[2]
        self._connection = ExitStack()
        self._socket: ClientConnection

    def __enter__(self) -> Visitor:
        tcp = socket.create_connection((self._server.hostname, self._server.port), timeout=self._patience)
        websocket = connect(
            f"ws://{self._host}/_stcore/stream",
            sock=tcp,
            subprotocols=[Subprotocol("streamlit"), Subprotocol(self.xsrf)],
            additional_headers={"Cookie": f"{XSRF_COOKIE}={self.xsrf}"},
            origin=Origin(f"http://{self._host}"),
            max_size=None,
            open_timeout=self._patience,
            proxy=None,
        )
        self._socket = self._connection.enter_context(websocket)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def run(self) -> Answer:
        """Runs the page with the widgets as they are. Raises `VisitError` for what a visitor would see as an error."""
        self.ask()
        return self.answer()

    def ask(self) -> None:
        """Asks for a run of the page and waits for nothing."""
        message = BackMsg()
        message.rerun_script.page_name = self._page
        message.rerun_script.widget_states.widgets.extend(self.widgets.values())
        message.rerun_script.context_info.color_scheme = "light"
        self.send(message)

    def answer(self) -> Answer:
        """What the run that was asked for sends. Raises `VisitError` for what a visitor would see as an error."""
        elements: dict[tuple[int, ...], Element] = {}
        deadline = time.monotonic() + self._patience
        while True:
            received = self._receive(deadline)
            kind = received.WhichOneof("type")
            if kind == "new_session":
                self.session = received.new_session.initialize.session_id
                elements.clear()
            elif kind == "delta" and received.delta.WhichOneof("type") == "new_element":
                element = received.delta.new_element
                elements[tuple(received.metadata.delta_path)] = element
                if element.WhichOneof("type") == "file_uploader" and element.file_uploader.label == "Upload images":
                    self._uploader = element.file_uploader.id
            elif kind == "script_finished" and received.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                break
        answer = Answer(tuple(elements.values()))
        if received.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY or answer.errors:
            raise VisitError(f"The page ended with status {received.script_finished} and {answer.errors}.")
        return answer

    def send(self, message: BackMsg) -> None:
        """Any message a browser can send."""
        self._socket.send(message.SerializeToString())

    def upload(self, *files: tuple[str, bytes]) -> Answer:
        """Puts these files into the uploader, in place of what was there, and runs the page."""
        message = BackMsg()
        message.file_urls_request.request_id = uuid.uuid4().hex
        message.file_urls_request.session_id = self.session
        message.file_urls_request.file_names.extend(name for name, _ in files)
        self._socket.send(message.SerializeToString())
        deadline = time.monotonic() + self._patience
        while (received := self._receive(deadline)).WhichOneof("type") != "file_urls_response":
            pass
        before, state = self.widgets.get(self._uploader), WidgetState(id=self._uploader)
        for (name, data), urls in zip(files, received.file_urls_response.file_urls, strict=True):
            status = self.put(urls.upload_url, name, data).status
            if status != 204:
                raise VisitError(f"The upload of {name} was answered with {status}.")
            state.file_uploader_state_value.uploaded_file_info.add(
                name=name, size=len(data), file_id=urls.file_id, file_urls=urls
            )
        for old in before.file_uploader_state_value.uploaded_file_info if before else []:
            self.request("DELETE", old.file_urls.delete_url, headers=self._proof()).read()
        self.widgets[self._uploader] = state
        return self.run()

    def put(self, url: str, name: str, data: bytes, *, proof: bool = True) -> http.client.HTTPResponse:
        """One file by HTTP, as a browser's form does it; with `proof` of not being another site's script."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        body = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + data + f"\r\n--{edge}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}", **(self._proof() if proof else {})}
        return self.request("PUT", url, body, headers)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """The answer to one HTTP request, its body read."""
        connection = http.client.HTTPConnection(self._server.netloc, timeout=self._patience)
        try:
            connection.request(method, path, body, {"Host": self._host, **(headers or {})})
            response = connection.getresponse()
            response.read()
            return response
        finally:
            connection.close()

    def _proof(self) -> dict[str, str]:
        return {"X-Xsrftoken": self.xsrf, "Cookie": f"{XSRF_COOKIE}={self.xsrf}"}

    def _receive(self, deadline: float) -> ForwardMsg:
        try:
            data = self._socket.recv(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise VisitError(f"No answer came within {self._patience:g} s.") from None
        message = ForwardMsg()
        message.ParseFromString(data if isinstance(data, bytes) else data.encode())
        return message
