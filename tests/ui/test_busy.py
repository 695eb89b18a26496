"""When many come at once: a page that finds the queue full tries again by itself; `/readyz` says how it is."""

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest
import torch

from explorer.types import BusyError, ExplorerError
from explorer.ui.shell import panels, preload, readiness, resources
from tests.helpers import plain_text
from tests.ui.conftest import Open
from tests.ui.test_pages import assert_sound


class Queue:
    """Stands where the engine takes a job in: full for so many requests, or for good."""

    def __init__(self, full: int) -> None:
        self.full, self.asked, self._real = full, 0, resources.engine().submit

    def __call__(self, *given: Any) -> Future[Any]:
        self.asked += 1
        if self.asked <= self.full:
            raise BusyError("The explorer is busy: 256 requests are waiting; please try again in a moment.")
        return self._real(*given)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the queue full for so many requests."""
    monkeypatch.setattr(panels, "_PAUSE_SECONDS", (0.0, 0.0))

    def fill(full: int) -> Queue:
        queue = Queue(full)
        monkeypatch.setattr(resources.engine(), "submit", queue)
        return queue

    return fill


@pytest.mark.parametrize("page", ["similarity", "residual"])
def test_a_page_that_found_the_queue_full_tries_again(open_app: Open, busy: Any, page: str) -> None:
    app = open_app()
    resources.curves.cache_clear()  # type: ignore[attr-defined]
    queue = busy(3)
    app.switch_page(f"explore/{page}.py").run()
    assert_sound(app)
    assert queue.asked > 3
    assert [info.value for info in app.info if "tries again" in info.value] == []
    assert panels._TRIES not in app.session_state


def test_a_queue_that_stays_full_is_said(open_app: Open, busy: Any) -> None:
    app = open_app()
    queue = busy(10_000)
    app.switch_page("explore/residual.py").run()
    assert not app.exception
    assert ["256 requests" in plain_text(error.value) for error in app.error] == [True]
    assert queue.asked == panels._MOST_TRIES + 1


# --- /readyz ------------------------------------------------------------------------------------------------------


def test_a_server_that_answers_is_ready() -> None:
    assert readiness.problem() is None


def test_a_server_that_loads_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "is_running", lambda first_page=False: True)
    assert readiness.problem() == "loading"


@pytest.mark.parametrize("error", [BusyError("full"), ExplorerError("no device")])
def test_an_engine_that_refuses_is_not_ready(monkeypatch: pytest.MonkeyPatch, error: ExplorerError) -> None:
    def submit(*_: object) -> None:
        raise error

    monkeypatch.setattr(resources.engine(), "submit", submit)
    said = readiness.problem()
    assert said
    assert str(error) not in said


def test_a_worker_that_hangs_is_noticed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PATIENCE", 0.1)
    monkeypatch.setattr(resources.engine(), "submit", lambda *_: Future())
    assert readiness.problem() == "no pass within 0.1 seconds"


def test_numbers_that_are_none_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    answer: Future[list[torch.Tensor]] = Future()
    answer.set_result([torch.tensor(False)])
    monkeypatch.setattr(resources.engine(), "submit", lambda *_: answer)
    assert readiness.problem() == "a pass gives no finite numbers"


def test_however_many_ask_one_pass_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[str | None] = []

    def problem() -> str | None:
        passes.append("loading" if not passes else None)
        return passes[-1]

    async def many() -> list[int]:
        answers = await asyncio.gather(*(readiness.readyz(None) for _ in range(20)))  # type: ignore[arg-type]
        return [answer.status_code for answer in answers]

    monkeypatch.setattr(readiness, "problem", problem)
    for status in (503, 200):
        monkeypatch.setattr(readiness._Last, "at", -10.0)
        monkeypatch.setattr(readiness._Last, "lock", asyncio.Lock())
        assert asyncio.run(many()) == [status] * 20
    assert len(passes) == 2
