"""Disks that are full or read-only: exit code 2, a sentence, nothing half-written; with room, runs go on."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from explorer import cli
from explorer.models import sources
from explorer.serving import pair as pairs
from explorer.training import processes
from explorer.training.processes import Ending
from explorer.training.run import Process
from explorer.training.settings import TrainingRun
from tests import hostile
from tests.cli.test_hostile import load_once
from tests.disks import Disk, mounted
from tests.helpers import assert_one_sentence

Run = Callable[[str], int]

RESUMED = ("robustness", "corruptions", "corruptions, parquet", "similarity", "similarity, parquet", "train")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in a folder with what it reads; a pair that was loaded before is not loaded again."""
    monkeypatch.setattr(pairs, "load_named", load_once)
    monkeypatch.setattr(processes, "train", some_steps)
    monkeypatch.chdir(tmp_path)
    hostile.prepare(tmp_path)
    return lambda command: cli.main(hostile.words(command, sources.prefix()))


def some_steps(run: TrainingRun, ending: Ending, say: Callable[[str], None]) -> None:
    """A few of them in this process, then the state."""
    process = Process(run, list(run.operators))
    for _ in range(2):
        process._step(list(process.tracks.values()))
    process._save()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Of 64 kB, on the folder `disk`."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(mounted(tmp_path / "disk", "64k"))
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("a file system can be mounted by root alone, and not everywhere")
        yield disk


def refused(code: int, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    err = capsys.readouterr().err
    assert code == 2, err
    assert any(word in err for word in words), err
    assert_one_sentence(err.removeprefix("explorer: "))


@pytest.mark.parametrize("leave", [0, 4096])
@pytest.mark.parametrize("name", hostile.WRITING)
def test_a_full_disk(run: Run, disk: Disk, capsys: pytest.CaptureFixture[str], name: str, leave: int) -> None:
    shutil.copytree("begun", disk.folder / "run", dirs_exist_ok=True)
    before = disk.names()
    disk.fill(leave)
    if (code := run(hostile.WRITING[name])) == 0:
        assert leave  # what fits is written
        return
    refused(code, capsys, "No space left on device")
    left = [path for path in disk.names() if path not in before and path != "filler"]
    assert not [path for path in left if Path(path).name.startswith(".") and not path.endswith(".partial")]
    assert name in RESUMED or not left


@pytest.mark.parametrize("name", hostile.WRITING)
def test_a_disk_that_is_read_only(run: Run, disk: Disk, capsys: pytest.CaptureFixture[str], name: str) -> None:
    shutil.copytree("begun", disk.folder / "run")
    disk.lock()
    refused(run(hostile.WRITING[name]), capsys, "Read-only file system", "cannot be written to")


@pytest.mark.parametrize("name", [name for name in hostile.WRITING if name != "branch"])
def test_a_folder_that_cannot_be_made(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "disk").touch()
    refused(
        run(hostile.WRITING[name].replace("disk/", "disk/folder/")), capsys, "Not a directory", "no folder", "cannot be"
    )
    assert (tmp_path / "disk").stat().st_size == 0


@pytest.mark.parametrize("name", [name for name in RESUMED if name != "train"])
def test_a_run_goes_on_when_there_is_room(run: Run, disk: Disk, tmp_path: Path, name: str) -> None:
    filler = disk.fill(leave=4096)
    assert run(hostile.WRITING[name]) == 2
    (kept,) = [path for path in disk.names() if path != "filler"]
    first = (disk.folder / kept).read_bytes().splitlines()[0]
    filler.unlink()
    disk.grow("1m")
    assert run(hostile.WRITING[name]) == 0
    result = disk.folder / hostile.WRITING[name].partition("--out disk/")[2].split()[0]
    (tmp_path / "fresh").mkdir()
    assert run(hostile.WRITING[name].replace("disk/", "fresh/")) == 0
    assert result.read_bytes() == (tmp_path / "fresh" / result.name).read_bytes()
    assert not kept.endswith(".jsonl") or result.read_bytes().splitlines()[0] == first
    assert not [path for path in disk.names() if Path(path).name.startswith(".")]


def test_training_goes_on_when_there_is_room(run: Run, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    disk.grow("16m")
    assert run(hostile.WRITING["train"]) == 0
    filler = disk.fill(leave=8192)
    known = disk.names()
    refused(run(hostile.WRITING["train"]), capsys, "No space left on device")
    assert disk.names() == known
    filler.unlink()
    assert run(hostile.WRITING["train"]) == 0
    state = torch.load(disk.folder / "run" / "standard" / "state.pt", weights_only=True)
    assert state["step"] == 4  # what did not fit was lost, and nothing else


def test_an_output_that_is_full_is_a_sentence() -> None:
    """Of the command itself, as in `figure ... > file`: what was printed would be lost without a word."""
    code = "import sys; from explorer import cli; cli._run = lambda _: print('x' * 9) or 0; sys.exit(cli.command())"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "explorer: No space left on device.\n")
