"""Disks that are full or read-only: exit code 2, a sentence, nothing half-written; with room, runs go on."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
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
from tests.cli.test_hostile import _loaded
from tests.disks import Disk, mounted
from tests.helpers import assert_one_sentence

Run = Callable[[str], int]

TRAIN = f"{hostile._TRAIN.replace('run-folder run', 'run-folder disk/run')} {hostile._DATA}"
COMMANDS = {
    "figure": "figure heatmaps --dpi 72 --images cat.png --out disk/y.png",
    "figures": "figure heatmaps --dpi 72 --images cat.png --out disk/y.zip",
    "compare": "compare cat.png --out disk/out",
    "attribute": "attribute cat.png --out disk/out --method saliency",
    "evaluate": "evaluate PAIR-standard.safetensors --data labelled --device cpu --measures 1 --json disk/y.json",
    "robustness": "robustness labelled --eps 0 --device cpu --out disk/y.jsonl --csv disk/y.csv",
    "corruptions": "corruptions cat.png --out disk/y.csv --kind gaussian-noise --severities 1",
    "corruptions, parquet": "corruptions cat.png --out disk/y.parquet --kind gaussian-noise --severities 1",
    "similarity": "similarity folder --out disk/y.csv",
    "similarity, parquet": "similarity folder --out disk/y.parquet",
    "train": TRAIN,
    "keep": "keep kept --out disk/out",
    "branch": "branch disk/run --steps 5",
}
RESUMED = ("robustness", "corruptions", "corruptions, parquet", "similarity", "similarity, parquet", "train")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in a folder with what it reads; a pair that was loaded before is not loaded again."""
    monkeypatch.setattr(pairs, "load_pair", _loaded)
    monkeypatch.setattr(processes, "train", some_steps)
    monkeypatch.chdir(tmp_path)
    hostile.prepare(tmp_path)
    state = {"step": 20, "core_seconds": 1.0, "identity": {}, "ema": {"a": torch.zeros(99, 99)}}
    (tmp_path / "kept" / "standard").mkdir(parents=True)
    torch.save(state, tmp_path / "kept" / "standard" / "state.pt")
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
    with mounted(tmp_path / "disk", "64k") as disk:
        yield disk


def fill(disk: Disk, leave: int) -> Path:
    """Fills a disk but for so many bytes."""
    path = disk.folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(file.tell() - leave)
    return path


def refused(code: int, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    err = capsys.readouterr().err
    assert code == 2, err
    assert any(word in err for word in words), err
    assert_one_sentence(err.removeprefix("explorer: "))


@pytest.mark.parametrize("leave", [0, 4096])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(run: Run, disk: Disk, capsys: pytest.CaptureFixture[str], name: str, leave: int) -> None:
    shutil.copytree("begun", disk.folder / "run", dirs_exist_ok=True)
    before = disk.names()
    fill(disk, leave)
    if (code := run(COMMANDS[name])) == 0:
        assert leave  # what fits is written
        return
    refused(code, capsys, "No space left on device")
    left = [path for path in disk.names() if path not in before and path != "filler"]
    assert not [path for path in left if Path(path).name.startswith(".") and not path.endswith(".partial")]
    assert name in RESUMED or not left


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_read_only(run: Run, disk: Disk, capsys: pytest.CaptureFixture[str], name: str) -> None:
    shutil.copytree("begun", disk.folder / "run")
    disk.lock()
    refused(run(COMMANDS[name]), capsys, "Read-only file system")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "branch"])
def test_a_folder_that_cannot_be_made(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "disk").touch()
    refused(run(COMMANDS[name].replace("disk/", "disk/folder/")), capsys, "Not a directory", "no folder", "cannot be")
    assert (tmp_path / "disk").stat().st_size == 0


@pytest.mark.parametrize("name", [name for name in RESUMED if name != "train"])
def test_a_run_goes_on_when_there_is_room(run: Run, disk: Disk, tmp_path: Path, name: str) -> None:
    filler = fill(disk, leave=4096)
    assert run(COMMANDS[name]) == 2
    (kept,) = [path for path in disk.names() if path != "filler"]
    first = (disk.folder / kept).read_bytes().splitlines()[0]
    filler.unlink()
    disk.grow("1m")
    assert run(COMMANDS[name]) == 0
    result = disk.folder / COMMANDS[name].partition("--out disk/")[2].split()[0]
    (tmp_path / "fresh").mkdir()
    assert run(COMMANDS[name].replace("disk/", "fresh/")) == 0
    assert result.read_bytes() == (tmp_path / "fresh" / result.name).read_bytes()
    assert not kept.endswith(".jsonl") or result.read_bytes().splitlines()[0] == first
    assert not [path for path in disk.names() if Path(path).name.startswith(".")]


def test_training_goes_on_when_there_is_room(run: Run, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    disk.grow("16m")
    assert run(COMMANDS["train"]) == 0
    filler = fill(disk, leave=8192)
    known = disk.names()
    refused(run(COMMANDS["train"]), capsys, "No space left on device")
    assert disk.names() == known
    filler.unlink()
    assert run(COMMANDS["train"]) == 0
    state = torch.load(disk.folder / "run" / "standard" / "state.pt", weights_only=True)
    assert state["step"] == 4  # what did not fit was lost, and nothing else


def test_an_output_that_is_full_is_a_sentence() -> None:
    """Of the command itself, as in `figure ... > file`: what was printed would be lost without a word."""
    code = "import sys; from explorer import cli; cli._run = lambda _: print('x' * 9) or 0; sys.exit(cli.command())"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "explorer: No space left on device.\n")
