"""Who starts the processes of a run, tells what their logs say, and plans the last decay when the run should end."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path

from explorer import files
from explorer.training import plan
from explorer.training.plan import PlanRow
from explorer.training.run import work
from explorer.training.settings import TrainingRun
from explorer.types import ExplorerError

_POLL = 5.0
"""Seconds between two looks at the logs."""
_PATIENCE = 120.0
"""Seconds that a process has to save its state when it is told to end."""


@dataclass(frozen=True)
class Ending:
    """When a run ends by itself, and how."""

    core_hours: float | None
    """The budget of all models together, the last decay included; none ends nothing."""
    steps: int
    """Of the last decay."""
    size: int
    """Pixels a side in it."""


def train(run: TrainingRun, ending: Ending, say: Callable[[str], None], poll: float = _POLL) -> None:
    """Trains all models of a run until its last decay is done.

    Interrupted, it has every process save its state. Raises `ExplorerError` when a process fails, which ends the others
    in the same way.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share what torch's threads hold
    parts = [[name] for name in run.operators] if run.device == "cpu" else [list(run.operators)]
    reported = {name: len(plan.log(run.folder / name)) for name in run.operators}
    processes: list[SpawnProcess] = []
    try:
        for names in parts:
            process = context.Process(target=_guarded, args=(run, names), name=", ".join(names))
            with _uninterrupted():
                process.start()
                processes.append(process)
        is_going_on = True
        while is_going_on:
            alive = [process for process in processes if process.is_alive()]
            if is_going_on := bool(alive):  # else what was said and how they ended is looked at once more
                alive[0].join(poll)
            logs = {name: plan.log(run.folder / name) for name in run.operators}
            for name, rows in logs.items():
                for row in rows[reported[name] :]:
                    say(line(name, row))
                reported[name] = max(reported[name], len(rows))
            plan.check_batches(list(logs.values()))
            _end_if_due(run.folder, list(logs.values()), ending, say)
            if failed := [process for process in processes if process.exitcode]:
                raise ExplorerError(
                    f"The process of {failed[0].name} ended with {failed[0].exitcode}; what it said stands above."
                )
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            process.join(_PATIENCE)


def line(name: str, row: PlanRow) -> str:
    """A line of a log for people."""
    where = f"{name}  step {row['step']}  {row['images']:,} images"
    where += f"  decay from {row['decay']}" if row["decay"] is not None else ""
    if "validation_loss" in row:
        loss, top1 = row["validation_loss"], row["validation_top1"]
        measured = f"average on {row['of']:,} validation images: loss {loss:.4f}  top-1 {top1:.2f}%"
    else:
        measured = f"loss {row['loss']:.4f}  top-1 of crops {row['crops_top1']:.1f}%"
    return f"{where}  {row['size']} px  {measured}  {row['core_seconds'] / 3600:.2f} core-hours"


def _guarded(run: TrainingRun, names: list[str]) -> None:
    """A sentence instead of a traceback for what a person can act on."""
    try:
        work(run, names)
    except ExplorerError as error:
        raise SystemExit(f"explorer: {error}") from None
    except OSError as error:
        raise SystemExit(f"explorer: {run.folder}: {files.reason(error)}.") from None


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Lets Ctrl-C wait for the end of the block, and never reach what is started in it.

    It goes to all processes of a terminal, and one that is importing would end with a traceback: who started them ends
    them.
    """
    resource_tracker.ensure_running()  # or it starts in the block, and then lets Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_if_due(folder: Path, logs: list[list[PlanRow]], ending: Ending, say: Callable[[str], None]) -> None:
    """Plans the last decay once all models have begun and the budget asks for it."""
    if ending.core_hours is None or not all(logs) or any(decay.last for decay in plan.decays(folder)):
        return
    if plan.should_end(logs, ending.core_hours, ending.steps, ending.size):
        decay = plan.add(folder, ending.steps, ending.size, last=True)
        say(f"The last decay begins at step {decay.at}: {decay.steps} steps at {decay.size} px.")
