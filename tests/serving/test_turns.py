"""Long work beside the engine: one at a time, in order, handing over, and cancelled by what progress raises."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from explorer.jobs import Job
from explorer.models import LoadedModel
from explorer.models import load as load_checkpoint
from explorer.serving.engine import LocalEngine, ask
from explorer.serving.turns import Turns
from explorer.types import WAITING, BusyError, ExplorerError, ImageInput, Progress
from tests.helpers import assert_one_sentence

SOON = 5.0


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Cancelled(BaseException):
    """What a screen raises to end a script."""


def test_one_runs_at_a_time_and_a_short_one_does_not_wait_for_the_end_of_a_long_one() -> None:
    turns, order, running = Turns(), [], []

    def work(name: str, steps: int, go: threading.Event) -> None:
        with turns.taken() as tell, torch.no_grad():
            go.set()
            for step in range(steps):
                running.append(name)
                assert len(running) == 1
                time.sleep(0.002)
                running.clear()
                if name == "long" and step == 0:
                    until(lambda: len(turns) == 2)
                order.append(name)
                tell(step + 1, steps)

    started = threading.Event()
    threads = [threading.Thread(target=work, args=("long", 20, started))]
    threads[0].start()
    started.wait(SOON)
    threads.append(threading.Thread(target=work, args=("short", 2, threading.Event())))
    threads[1].start()
    for one in threads:
        one.join(SOON)
    assert order[:5] == ["long", "short", "long", "short", "long"]
    assert len(order) == 22
    assert len(turns) == 0


def test_nothing_is_handed_over_while_a_graph_is_in_memory() -> None:
    turns, held = Turns(), threading.Event()
    with turns.taken() as tell:
        waiting = threading.Thread(target=lambda: _take(turns, held))
        waiting.start()
        until(lambda: len(turns) == 2)
        with torch.enable_grad():
            tell(1, 2)
        assert not held.is_set()
    waiting.join(SOON)
    assert held.is_set()


def _take(turns: Turns, held: threading.Event, progress: Progress | None = None) -> None:
    with turns.taken(progress):
        held.set()


def test_who_waits_is_told_and_can_leave() -> None:
    turns, told = Turns(), []

    def leave(done: int, total: int) -> None:
        told.append((done, total))
        raise Cancelled

    def visit() -> None:
        with pytest.raises(Cancelled), turns.taken(leave):
            raise AssertionError

    with turns.taken():
        visitor = threading.Thread(target=visit)
        visitor.start()
        visitor.join(SOON)
        assert told == [WAITING]
        assert len(turns) == 1


def test_a_full_queue_is_one_sentence() -> None:
    turns = Turns(limit=1)
    with turns.taken(), pytest.raises(BusyError) as error, turns.taken():
        pass
    assert_one_sentence(str(error.value))


@pytest.fixture
def engine(checkpoint: object) -> LocalEngine:
    return LocalEngine([load_checkpoint(checkpoint)], torch.device("cpu"))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Long(Job[Any]):
    """Whatever a test wants done in a turn."""

    work: Callable[[LoadedModel, Progress], Any]

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> Any:
        return self.work(model, tell)


def run(engine: LocalEngine, key: str, work: Callable[[LoadedModel, Progress], Any], *progress: Progress) -> Any:
    return ask(engine, Long(work), [], key, *progress)


def test_the_engine_runs_a_job_with_the_model_and_passes_progress_on(engine: LocalEngine) -> None:
    told: list[tuple[int, int]] = []

    def work(model: LoadedModel, tell: Progress) -> str:
        tell(1, 2)
        return model.card.key

    key = engine.cards[0].key
    assert run(engine, key, work, lambda done, total: told.append((done, total))) == key
    assert told == [(1, 2)]


def test_what_progress_raises_cancels_and_leaves_no_turn_behind(engine: LocalEngine) -> None:
    def cancel(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run(engine, engine.cards[0].key, lambda model, tell: tell(0, 1), cancel)
    assert run(engine, engine.cards[0].key, lambda model, tell: 3) == 3


@pytest.mark.parametrize("raised", [ValueError("private"), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_job_that_fails_is_one_sentence_without_its_words(engine: LocalEngine, raised: Exception) -> None:
    def fail(model: LoadedModel, tell: Progress) -> None:
        raise raised

    with pytest.raises(ExplorerError) as error:
        run(engine, engine.cards[0].key, fail)
    assert_one_sentence(str(error.value))
    assert "private" not in str(error.value)
    assert run(engine, engine.cards[0].key, lambda model, tell: 3) == 3


def test_an_unknown_model_is_an_error(engine: LocalEngine) -> None:
    with pytest.raises(ExplorerError):
        run(engine, "nobody", lambda model, tell: None)
