"""`serve` in a process of its own, with a token of its own, and the processes below it; ended for sure."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.running_app import ROOT

TOKEN = "e" * 64
_PATIENCE = 400


@dataclass(frozen=True)
class Served:
    """Where it answers, and its process."""

    address: str
    process: subprocess.Popen[bytes]
    environment: dict[str, str]

    def processes(self, words: str = "") -> list[psutil.Process]:
        """Those below it whose command or title has the words."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        chosen = []
        for process in below:
            with suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    chosen.append(process)
        return chosen


@contextmanager
def served(*options: str) -> Iterator[Served]:
    """Inside, `python -m explorer serve` answers to who has `TOKEN`."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # its sockets' paths may have 107 bytes
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_TOKEN": TOKEN,
        "HOME": str(folder),
    }
    log = folder / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "explorer", "serve", *options],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    below: list[psutil.Process] = []
    try:
        until = time.monotonic() + _PATIENCE
        while "Served at " not in (text := log.read_text()):
            assert process.poll() is None, text[-3000:]
            assert time.monotonic() < until, text[-3000:]
            time.sleep(0.2)
        yield Served(text.split("Served at ")[1].split()[0], process, environment)
    finally:
        with suppress(psutil.Error):
            below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        for left in below:
            with suppress(psutil.Error):
                left.kill()
        shutil.rmtree(folder, ignore_errors=True)
