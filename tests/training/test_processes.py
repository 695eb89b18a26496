"""Who starts the processes: what their logs say is printed and compared, and the last decay is planned in time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from explorer.training import plan, processes
from explorer.training.plan import PlanRow
from explorer.training.processes import Ending
from explorer.training.recipe import Decay
from explorer.types import ExplorerError
from tests.helpers import write_class_list, write_parquet
from tests.training.conftest import MakeRun

ROOT = Path(__file__).parents[2]


class Child:
    """A process that does at once what it is given to do."""

    def __init__(self, target: Any, args: tuple[Any, ...], name: str) -> None:
        self.target, self.args, self.name = target, args, name
        self.exitcode: int | None = None
        self.sentence = ""
        self.was_told_to_end = False

    def start(self) -> None:
        try:
            self.target(*self.args)
            self.exitcode = 0
        except SystemExit as end:
            self.exitcode, self.sentence = 1, str(end)

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self, seconds: float) -> None:
        pass

    def terminate(self) -> None:
        self.was_told_to_end = True


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    """The processes that were started, which ran in this one."""
    started: list[Child] = []

    class Context:
        @staticmethod
        def Process(**given: Any) -> Child:  # noqa: N802
            started.append(Child(**given))
            return started[-1]

    monkeypatch.setattr(processes.multiprocessing, "get_context", lambda _: Context)
    return started


def test_on_a_cpu_every_model_has_a_process(make_run: MakeRun, children: list[Child], monkeypatch: Any) -> None:
    monkeypatch.setattr(processes, "work", lambda run, names: None)
    processes.train(make_run(), Ending(None, 10, 32), print)
    assert [child.args[1] for child in children] == [["standard"], ["twicing"]]
    children.clear()
    processes.train(make_run(settings={"device": "cuda"}), Ending(None, 10, 32), print)
    assert [child.args[1] for child in children] == [["standard", "twicing"]]


def test_a_process_that_fails_ends_the_others(
    make_run: MakeRun, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(run: Any, names: list[str]) -> None:
        if names == ["standard"]:
            raise ExplorerError("A reason.")

    monkeypatch.setattr(processes, "work", fails)
    monkeypatch.setattr(Child, "is_alive", lambda child: not child.was_told_to_end)
    with pytest.raises(ExplorerError, match="The process of standard ended with 1"):
        processes.train(make_run(), Ending(None, 10, 32), print)
    assert children[0].sentence == "explorer: A reason."
    assert all(child.was_told_to_end for child in children)


def log(run: Any, name: str, *rows: PlanRow) -> None:
    (run.folder / name).mkdir(exist_ok=True)
    (run.folder / name / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def row(step: int, **values: Any) -> PlanRow:
    return {"step": step, "images": 4 * step, "decay": None, "core_seconds": 1800.0, "size": 16, **values}


def test_logs_are_said_once(make_run: MakeRun, children: list[Child], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(operators=("standard",))
    old = row(20, loss=3.0, crops_top1=10.0, batches="a")
    new = row(40, loss=2.0, crops_top1=20.0, batches="b"), row(40, validation_loss=1.5, validation_top1=33.0, of=6)
    log(run, "standard", old)
    alive = iter((True, False))
    monkeypatch.setattr(Child, "is_alive", lambda child: next(alive, False))
    monkeypatch.setattr(processes, "work", lambda run, names: log(run, "standard", old, *new))
    said: list[str] = []
    processes.train(run, Ending(None, 10, 32), said.append, poll=0.0)
    assert said == [
        "standard  step 40  160 images  16 px  loss 2.0000  top-1 of crops 20.0%  0.50 core-hours",
        "standard  step 40  160 images  16 px  average on 6 validation images: loss 1.5000  top-1 33.00%  "
        "0.50 core-hours",
    ]


def test_models_that_met_other_batches_end_the_run(
    make_run: MakeRun, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    alive = iter((True, True))
    monkeypatch.setattr(Child, "is_alive", lambda child: next(alive, False))
    monkeypatch.setattr(
        processes, "work", lambda run, names: log(run, *names, row(20, loss=1.0, crops_top1=0.0, batches=names[0]))
    )
    with pytest.raises(ExplorerError, match="they differ"):
        processes.train(run, Ending(None, 10, 32), print, poll=0.0)


def test_the_last_decay_is_planned_once_when_it_is_due(make_run: MakeRun) -> None:
    run = make_run(operators=("standard",))
    rows = [[row(20, core_seconds_a_step=36.0)]]  # half an hour, and a step at 16 px takes 36 s
    log(run, "standard", *rows[0])
    said: list[str] = []
    processes._end_if_due(run.folder, rows, Ending(None, 50, 16), said.append)
    processes._end_if_due(run.folder, rows, Ending(1.1, 50, 16), said.append)  # with the decay an hour
    processes._end_if_due(run.folder, [*rows, []], Ending(0.9, 50, 16), said.append)  # a model has not begun
    assert plan.decays(run.folder) == []
    for _ in range(2):
        processes._end_if_due(run.folder, rows, Ending(0.9, 50, 16), said.append)
    assert plan.decays(run.folder) == [Decay(80, 50, 16, last=True)]
    assert said == ["The last decay begins at step 80: 50 steps at 16 px."]


# --- for real, with processes of their own ------------------------------------------------------------------------


def command(folder: Path, *more: str) -> list[str]:
    """`train` of timm's smallest transformer, at 32 px."""
    options = {
        "--train": folder / "x.parquet",
        "--val": folder / "x.parquet",
        "--classes": folder / "classes.tsv",
        "--source-size": 32,
        "--architecture": "test_vit",
        "--sizes": 32,
        "--batch-size": 2,
        "--run-folder": folder / "run",
        "--prefix": "tiny",
        "--title": "Tiny",
        "--data-note": "noise",
        "--device": "cpu",
    }
    given = (str(part) for pair in options.items() for part in pair)
    return [sys.executable, "-u", "-m", "explorer", "train", *given, *more]


def until(folder: Path, process: subprocess.Popen[str], models: int, step: int) -> None:
    """Waits until all models have a line of that step."""
    begun = time.monotonic()
    while time.monotonic() - begun < 120:
        logs = [plan.log(path.parent) for path in folder.glob("run/*/log.jsonl")]
        if len(logs) == models and all(plan.trunk_step(rows) >= step for rows in logs):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError(f"no model came to step {step}")


def test_an_interrupt_while_children_import_is_one_sentence(tmp_path: Path) -> None:
    """Of a terminal, whose Ctrl-C goes to the processes of all models."""
    write_class_list(tmp_path / "classes.tsv", 2)
    write_parquet(tmp_path / "x.parquet", [0, 1] * 4)
    start: dict[str, Any] = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    start |= {"start_new_session": True, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command(tmp_path), **start) as process:  # type: ignore[call-overload]
        begun = time.monotonic()
        while children_of(process.pid) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() - begun < 120
            time.sleep(0.05)
        time.sleep(0.5)  # they need seconds
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert out == ""
    assert err == "explorer: Interrupted; what was written is whole, and the same command goes on from there.\n"


def children_of(pid: int) -> int:
    """How many processes of models a process has started (-ww: whole lines, or a long path hides the name)."""
    listing = ["ps", "-ww", "-o", "args=", "--ppid", str(pid)]
    listed = subprocess.run(listing, capture_output=True, text=True, check=False)
    return listed.stdout.count("spawn_main")


def test_what_starts_in_the_block_gets_no_interrupt() -> None:
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with processes._uninterrupted():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_system_error_of_a_process_is_a_sentence(
    make_run: MakeRun, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(run: Any, names: list[str]) -> None:
        raise OSError(28, "in a library's words")

    monkeypatch.setattr(processes, "work", full)
    with pytest.raises(ExplorerError):
        processes.train(make_run(operators=("standard",)), Ending(None, 10, 32), print)
    assert children[0].sentence.endswith("run: No space left on device.")


def test_a_run_for_real(tmp_path: Path) -> None:
    """Started, killed without a word, gone on with, a pair taken off it, and ended by the last decay."""
    write_class_list(tmp_path / "classes.tsv", 2)
    write_parquet(tmp_path / "x.parquet", [0, 1] * 4)
    arguments = command(tmp_path, "--operators", "standard,twicing@4-6", "--operator-warmup", "10")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = {"cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, **start) as process:  # type: ignore[call-overload]
        until(tmp_path, process, models=2, step=20)
        process.send_signal(signal.SIGKILL)  # its children notice, save and end
    said = subprocess.run(
        [sys.executable, "-m", "explorer", "branch", str(tmp_path / "run"), "--steps", "3", "--size", "32", "--last"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    at = plan.decays(tmp_path / "run")[0].at
    assert said == f"A decay of 3 steps at 32 px begins at step {at}.\n"
    with subprocess.Popen(arguments, **start) as process:  # type: ignore[call-overload]
        out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert f"decay from {at}" in out
    logs = [plan.log(tmp_path / "run" / name) for name in ("standard", "twicing-4-6")]
    assert plan.check_batches(logs) >= 2
    for name in ("standard", "twicing-4-6"):
        assert (tmp_path / "run" / name / f"decay-{at}" / f"tiny-{name}.safetensors").exists()
