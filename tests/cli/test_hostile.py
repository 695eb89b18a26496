"""Whatever lies where a user points a command at: it ends soon, in a sentence."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from explorer import cli
from explorer.models import sources
from explorer.serving import pair as pairs
from explorer.training import plan, processes
from explorer.training.processes import Ending
from explorer.training.run import Process
from explorer.training.settings import TrainingRun
from tests import hostile

SECONDS = 30
"""For a command; they take up to three."""
load_once = cache(pairs.load_named)
"""Commands end their engine; the models are loaded once for all of them."""


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Raises where the block waits for what never comes."""

    def late(*_: object) -> None:
        raise AssertionError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def begins(run: TrainingRun, ending: Ending, say: Callable[[str], None]) -> None:
    """What reads a run's folder when it starts, in this process."""
    for name in run.operators:
        plan.log(run.folder / name)
    plan.decays(run.folder)
    Process(run, list(run.operators))


@pytest.mark.parametrize("kind", hostile.KINDS)
@pytest.mark.parametrize(("name", "command"), hostile.CASES)
def test_what_is_no_file_or_far_too_large_ends_in_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    command: str,
    kind: str,
) -> None:
    monkeypatch.setattr(pairs, "load_named", load_once)
    monkeypatch.setattr(processes, "train", begins)
    monkeypatch.chdir(tmp_path)
    hostile.prepare(tmp_path)
    hostile.put(tmp_path, name, kind)
    with no_longer_than(SECONDS):
        code = cli.main(hostile.words(command, sources.prefix()))
    err = capsys.readouterr().err
    assert code in (1, 2), err
    said = err if code == 2 else err + "".join(path.read_text() for path in tmp_path.glob("y.csv"))
    assert Path(name).name in said or Path(name).parent.name in said
