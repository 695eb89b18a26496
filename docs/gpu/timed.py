"""A run of `explorer.training` in one process whose decays the clock plans, with small copies on the way."""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save as safetensors_bytes

from docs.gpu import home, loads
from docs.gpu.timetable import Paces, Timetable
from explorer import files
from explorer.cli import train as command
from explorer.cli.options import given
from explorer.models import registry, starts, weights
from explorer.serving import device as devices
from explorer.training import kept, plan, processes
from explorer.training.batches import TrainingBatch
from explorer.training.learner import Learner
from explorer.training.recipe import Decay, operators
from explorer.training.run import Process, bf16_pays
from explorer.training.settings import Schedule, TrainingRun
from explorer.training.track import Track
from explorer.types import ExplorerError

RECIPE = (
    *("--architecture", "deit_small_patch16_224", "--source-size", "64", "--sharp"),
    *("--operators", "standard,twicing", "--sizes", "112", "--last-size", "224", "--layer-decay", "0.85"),
    *("--batch-size", "256", "--lr", "2.5e-4", "--warmup-steps", "30"),
    # The same numbers of images as 400 steps of 32, and as 0.995 after each 32.
    *("--operator-warmup", "50", "--ema", "0.9607", "--evaluate-every", "200000"),
    *("--prefix", "deit-small-patch16-224-200c", "--title", "DeiT-Small", "--device", "cuda"),
    "--data-note",
    "Tiny-ImageNet (Stanford CS231n), 200 classes, 64x64 pixels: a subset of ImageNet, for non-commercial research and "
    "education",
)
"""`train`'s options. Others may be given after them, and replace them."""
COPIED_EVERY = 180.0
"""Seconds between two small copies of both averages."""
TRIAL = 30
"""Steps of the trial, of which a third does not count."""
SETTLING = 20
"""Steps after the operator's warm-up before the trial."""
SAID_EVERY = 200
"""Steps between two lines on the screen; the log has ten times as many."""
LOGS = "logs.json"


def options_of(folder: Path, extra: Sequence[str]) -> argparse.Namespace:
    """The recipe as `train` reads it, for the run in a folder."""
    parser = argparse.ArgumentParser()
    command.add_train(parser)
    parts = str(folder / "parts")
    places = ("--train", parts, "--val", parts, "--run-folder", str(folder))
    options = parser.parse_args([*RECIPE, *places, *extra])
    options.last_size = Schedule(**given(options, Schedule)).last_size
    return options


class Timed(Process):
    """Models in step with each other. Between two steps it looks at the clock, and copies what there is."""

    def __init__(self, run: TrainingRun, timetable: Timetable, out: Path) -> None:
        super().__init__(run, list(run.operators))
        self.timetable, self.out = timetable, out
        self.paces = Paces(timetable.trial // 3)
        self._copied, self._ended = time.monotonic(), set[str]()
        self._lines = {name: len(track.rows) for name, track in self.tracks.items()}

    def _settle(self, planned: list[Decay]) -> list[Track]:
        track = next(iter(self.tracks.values()))
        in_decay = track.decay
        if in_decay and not in_decay.last and self.run.device.startswith("cuda"):
            torch.cuda.synchronize()  # what is measured here has to be over
        now = time.monotonic()
        self.paces.begin(in_decay.size if in_decay else self.run.recipe.size(track.step, self.images), now)
        if in_decay is None and (decay := self.timetable.due(track.step, planned, self.paces, now)):
            planned = [*planned, decay]
            write_plan(self.run.folder, planned)
            print(f"At step {decay.at} a decay of {decay.steps} steps at {decay.size} px begins.", flush=True)
        unfinished = super()._settle(planned)
        if in_decay and track.decay is None:
            self.timetable.finish = time.monotonic() - now
        if self.timetable.is_over(now):
            self.stop()
        if now - self._copied > COPIED_EVERY:
            self.copy()
        self._say()
        return unfinished

    def _export(self, name: str, track: Track, top1: float) -> None:
        super()._export(name, track, top1)
        if track.decay and track.decay.last:  # its average is the trunk's again in a moment
            self._copy(name, track)
            self._ended.add(name)

    def copy(self) -> None:
        """The averages as they are, but for those of a last decay that is done; and the logs."""
        for name, track in self.tracks.items():
            if name not in self._ended:
                self._copy(name, track)
        self.out.mkdir(parents=True, exist_ok=True)
        logs = {name: track.rows for name, track in self.tracks.items()}
        files.write_atomically(self.out / LOGS, json.dumps(logs).encode())
        self._copied = time.monotonic()

    def _copy(self, name: str, track: Track) -> None:
        """An average in 8 bits, as `kept.keep` declares it."""
        declared = {"step": track.step, "core_seconds": track.core_seconds, "identity": track.identity}
        packed = {key: value.cpu() for key, value in kept.pack(track.average()).items()}
        home.split(safetensors_bytes(packed, {weights.METADATA_KEY: json.dumps(declared)}), copy_name(name), self.out)

    def summary(self) -> str:
        """What came of it, in one line."""
        batch, last = self.run.recipe.batch_size, next((d for d in plan.decays(self.run.folder) if d.last), None)
        logs = [track.rows for track in self.tracks.values()]
        paces = ", ".join(f"{batch / pace:,.0f} pairs/s at {size} px" for size, pace in self.paces.all().items())
        steps = f"{last.at * batch:,} + {last.steps * batch:,} pairs" if last else "no last decay"
        return f"{steps}; {paces}; {plan.check_batches(logs)} lines of the logs are of the same batches."

    def _say(self) -> None:
        for name, track in self.tracks.items():
            for row in track.rows[self._lines[name] :]:
                if "validation_loss" in row or row["step"] % SAID_EVERY == 0:
                    print(processes.line(name, row), flush=True)
            self._lines[name] = len(track.rows)


def checkpoint(folder: Path, model: str) -> Path:
    """What the last decay of a model wrote. Raises `ExplorerError` where it did not get that far."""
    for decay in plan.decays(folder):
        if decay.last and (paths := sorted((folder / model / decay.name).glob("*.safetensors"))):
            return paths[0]
    raise ExplorerError(f"A last decay that is done was expected of {model}; its small copy is what there is.")


def copy_name(model: str) -> str:
    """Name of a model's small copy, as `train --resume` looks for it."""
    return f"{model}.int8.safetensors"


def write_plan(folder: Path, decays: Sequence[Decay]) -> None:
    """The decays of a run as `plan.decays` reads them. This process alone trains, so none of them is late."""
    files.write_atomically(folder / "plan.json", json.dumps([vars(decay) for decay in decays]).encode())


def train(
    folder: Path,
    out: Path,
    until: float,
    steps: tuple[int, int] | None,
    extra: Sequence[str],
    eager: bool = False,
) -> Timed:
    """Trains all models until a moment of `time.monotonic`, or so many steps of trunk and last decay.

    Told to end before, it saves and copies what there is. Raises `ExplorerError` where a load is missing.
    """
    options, start = options_of(folder, extra), starts.load_start(folder / loads.START)
    run = run_of(folder, options, start)
    run = replace(run, compiled=not eager and (run.compiled or run.device.startswith("cuda")))
    if run.device == "cpu":
        torch.set_num_threads(1)
    loads.assemble(folder)
    kept.begin(run, start.state)
    first = run.recipe.operator_warmup + SETTLING
    timetable = Timetable(options.last_size, first, TRIAL, until)
    if steps:
        timetable = replace(timetable, first=min(first, steps[0] // 2), trial=3, steps=steps)
    process = Timed(run, timetable, out)
    before = {number: signal.signal(number, process.stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        process.train()
        process.copy()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return process


def run_of(folder: Path, options: argparse.Namespace, start: starts.Start) -> TrainingRun:
    """The run that `train`'s options describe, with every validation image there is."""
    depth = registry.architecture(start.architecture).depth
    recipe = command._recipe(options, start.architecture, start)
    device = str(devices.device_called(options.device))
    run = command._run(options, recipe, operators(options.operators, depth), start, device)
    return replace(
        run,
        about=replace(run.about, git_revision=loads.Manifest.read(folder).revision),
        validation_images=10**9,
    )


def warm(operator: str, size: int, classes: int, extra: Sequence[str]) -> float:
    """Compiles one model at one size, on random pixels, into the compiler's cache on disk; returns the seconds."""
    began = time.monotonic()
    options = options_of(Path(), extra)
    recipe, device = command._recipe(options, options.architecture, None), devices.device_called(options.device)
    (filter,) = operators(operator, registry.architecture(recipe.architecture).depth).values()
    learner = Learner(recipe, filter, classes, device, compiled=options.compile or device.type == "cuda")
    pixels = torch.randn(recipe.batch_size, 3, size, size, device=device)
    target = F.one_hot(torch.arange(recipe.batch_size, device=device) % classes, classes).float()
    for _ in range(3):
        learner.step(TrainingBatch(pixels, target, b""), recipe.operator_warmup, 0.0, bf16=bf16_pays(device)).tolist()
    return time.monotonic() - began
