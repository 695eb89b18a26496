"""Every command on what is no file, on a full disk, and interrupted while it starts, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from bench.common import Row
from bench.soak import case
from explorer.models import sources
from explorer.places import SITE
from tests import hostile
from tests.disks import Disk, mounted

_PATIENCE = 120.0
_MOMENTS = (0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Seconds after the start; before 0.1 Python has not come to any code of ours."""
_LONG = (
    "attribute cat.png --out out --steps 1000",
    "similarity folder --out y.csv",
    hostile.WRITING["train"].replace("disk/", ""),
)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | None
    seconds: float
    error: str

    def is_sound(self, *codes: int) -> bool:
        """Whether it ended by itself, in sentences, with one of these codes."""
        return self.code in codes and "Traceback" not in self.error and bool(self.error.strip())


@case("shell")
def hostile_shell() -> list[Row]:
    """Hostile paths with one kind of thing after the other, full disks, and interrupts."""
    kinds = cycle(hostile.KINDS)
    paths = [_with(name, command, kind) for (name, command), kind in zip(hostile.CASES, kinds, strict=False)]
    rows = [
        Row(f"{len(paths)} commands on pipes, devices and 30 GB: longest", _longest(paths), "s", 30.0),
        Row("these: tracebacks, or no sentence", sum(not end.is_sound(1, 2) for end in paths), "", 0),
    ]
    try:
        disks = [_on_full_disk(command) for command in hostile.WRITING.values()]
    except (OSError, subprocess.CalledProcessError):
        print("shell: no disk can be mounted here")
    else:
        rows.append(Row(f"{len(disks)} commands on a full disk: no exit code 2, or no sentence",
                        sum(not end.is_sound(2) for end in disks), "", 0))  # fmt: skip
    interrupted = [_interrupted(command, moment) for command in _LONG for moment in _MOMENTS]
    bad = [end for end in interrupted if end.code is None or "Traceback" in end.error]
    return [*rows, Row(f"{len(interrupted)} interrupts while commands start: tracebacks", len(bad), "", 0)]


def _with(name: str, command: str, kind: str) -> Ended:
    with _folder() as folder:
        hostile.put(folder, name, kind)
        return _run(folder, command)


def _on_full_disk(command: str) -> Ended:
    with _folder() as folder, mounted(folder / "disk", "64k") as disk:
        _begin(disk)
        disk.fill(leave=0)
        return _run(folder, command)


def _begin(disk: Disk) -> None:
    """A run that has begun, for `branch`."""
    (disk.folder / "run" / "standard").mkdir(parents=True)
    log = (disk.folder.parent / "begun" / "standard" / "log.jsonl").read_bytes()
    (disk.folder / "run" / "standard" / "log.jsonl").write_bytes(log)


def _interrupted(command: str, moment: float) -> Ended:
    with _folder() as folder:
        return _run(folder, command, moment)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        hostile.prepare(Path(folder))
        yield Path(folder)


def _run(folder: Path, command: str, moment: float | None = None) -> Ended:
    """The command in a session of its own; all its processes are interrupted at a moment, if there is one."""
    words = [sys.executable, "-m", "explorer", *hostile.words(command, sources.prefix())]
    environment, begun = {**os.environ, "PYTHONPATH": str(SITE)}, time.perf_counter()
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored, if a shell started us with `&`
    ) as process:
        try:
            if moment is not None:
                time.sleep(moment)
                os.killpg(process.pid, signal.SIGINT)
            error = process.communicate(timeout=_PATIENCE)[1].decode()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Ended(None, _PATIENCE, "")
        ended = Ended(process.returncode, time.perf_counter() - begun, error)
    return ended


def _longest(ends: list[Ended]) -> float:
    return round(max(end.seconds for end in ends), 2)
