"""A training run: any number of models that differ in their operator alone, on the same batches, in one folder.

On a CPU every model has a single-threaded process of its own; elsewhere one process trains them all. Either way the
batches are a function of the step, and the digest of all batches so far stands in every line of the logs.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import filelock
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer import files
from explorer.models import checkpoints
from explorer.models.declaration import declare
from explorer.models.pixels import normalise, resized
from explorer.paper import operators
from explorer.training import plan, stored
from explorer.training.batches import Batches
from explorer.training.data import Dataset, draw
from explorer.training.kept import beginning
from explorer.training.learner import Learner
from explorer.training.recipe import Decay
from explorer.training.settings import TrainingRun
from explorer.training.track import Track
from explorer.types import ExplorerError, Preprocessing

SAVED_EVERY = 300.0
"""Seconds between two states, by the clock: what a kill may cost."""


class Process:
    """The models that one process trains, in step with each other."""

    def __init__(self, run: TrainingRun, names: list[str]) -> None:
        self.run = run
        device = torch.device(run.device)
        train, validation = (stored.open_stored(folder) for folder in run.stored)
        if train.classes != validation.classes:
            raise ExplorerError(
                f"Training and validation data need the same classes; {len(train.classes)} and "
                f"{len(validation.classes)} came, or other names."
            )
        self.images, self.classes = len(train), train.classes
        chosen = draw(len(validation), min(run.validation_images, len(validation)), run.recipe.seed).sort().values
        self.validation = Dataset(validation.images[chosen], validation.labels[chosen], validation.classes).to(device)
        self.batches = Batches(train.to(device), run.recipe, run.preprocessing)
        self.bf16 = bf16_pays(device)
        identity = {"recipe": _plain(asdict(run.recipe)), "wnids": [class_name.wnid for class_name in train.classes]}
        self.tracks = {
            name: self._track(name, {**identity, "operator": operators.written(run.operators[name])}) for name in names
        }
        self._stopping, self._parent = False, os.getppid()
        self._saved = time.monotonic()

    def _track(self, name: str, identity: dict[str, Any]) -> Track:
        run, device = self.run, torch.device(self.run.device)
        first = beginning(run, name, identity)
        state = first.state if first else None
        learner = Learner(run.recipe, run.operators[name], len(self.classes), device, state, run.compiled)
        return Track(learner, run.folder / name, identity, first)

    def stop(self, *_: object) -> None:
        """Ends `train` after the step under way, with everything saved; usable as a signal's handler."""
        self._stopping = True

    def train(self) -> None:
        """Trains until the last decay is done, `stop` is asked for, or whoever started this process has ended."""
        while not self._stopping and os.getppid() == self._parent:
            unfinished = self._settle(plan.decays(self.run.folder))
            if not unfinished:
                break
            hindmost = min(track.position for track in unfinished)
            self._step([track for track in unfinished if track.position == hindmost])
            if time.monotonic() - self._saved > SAVED_EVERY:
                self._save()
        self._save()

    def _settle(self, planned: list[Decay]) -> list[Track]:
        """Begins and ends the decays that are due; returns the tracks that have something left to do."""
        last = [decay.at for decay in planned if decay.last]
        for name, track in self.tracks.items():
            if not last or last[0] not in track.finished:
                track.enter(planned)
            if track.decay and track.step == track.decay.end:
                self._finish(name, track)
        return [track for track in self.tracks.values() if not last or last[0] not in track.finished]

    def _step(self, tracks: list[Track]) -> None:
        began = time.process_time()
        first = tracks[0]
        size = first.decay.size if first.decay else self.run.recipe.size(first.step, self.images)
        batch = self.batches.batch(first.step, size)
        for track in tracks:
            track.take(batch, self.bf16)
        if self.batches.train.images.is_cuda and any(track.is_line_due for track in tracks):
            torch.cuda.synchronize()  # only then: after every step it would leave the device without work
        for track in tracks:
            track.spend((time.process_time() - began) / len(tracks), size, self.bf16)
            if track.decay is None and self._is_due(track.step):
                self._evaluate(track, size)

    def _is_due(self, step: int) -> bool:
        batch, every = self.run.recipe.batch_size, self.run.evaluate_every
        return step * batch // every > (step - 1) * batch // every

    def _evaluate(self, track: Track, size: int) -> float:
        """A line with loss and accuracy of the average on the validation images; returns top-1 in percent."""
        began = time.process_time()
        loss, top1 = evaluate(track.learner.ema.module, self.validation, self.run.preprocessing, size, self.bf16)
        track.core_seconds += time.process_time() - began
        track.note(size=size, validation_loss=round(loss, 4), validation_top1=round(top1, 2), of=len(self.validation))
        return top1

    def _finish(self, name: str, track: Track) -> None:
        assert track.decay is not None
        top1 = self._evaluate(track, track.decay.size)
        self._export(name, track, top1)
        track.leave()

    def _export(self, name: str, track: Track, top1: float) -> None:
        assert track.decay is not None
        run, step, batch = self.run, track.decay.at, self.run.recipe.batch_size
        about = run.about
        declared = declare(
            name=about.title if name == "standard" else f"{about.title}-{name.capitalize()}",
            architecture=run.recipe.architecture,
            filter=run.operators[name],
            classes=tuple(class_name.name for class_name in self.classes),
            wnids=tuple(class_name.wnid for class_name in self.classes),
            preprocessing=run.preprocessing,
            recipe=f"{about.recipe}; {step * batch:,} images at a constant rate, then {track.decay.steps * batch:,} at "
            f"{track.decay.size} px while it went to 0",
            data=about.data,
            top1=round(top1, 2),
            git_revision=about.git_revision,
            license=about.license,
        )
        path = track.folder / track.decay.name / f"{about.prefix}-{name}.safetensors"
        checkpoints.save(path, track.average(), {**declared, "origin": about.origin} if about.origin else declared)

    def _save(self) -> None:
        for track in self.tracks.values():
            track.save()
        self._saved = time.monotonic()


@torch.inference_mode()
def evaluate(
    model: nn.Module, data: Dataset, preprocessing: Preprocessing, size: int, bf16: bool = False, batch: int = 50
) -> tuple[float, float]:
    """Mean cross-entropy in nats and top-1 in percent at an input of `size` pixels a side."""
    parts = []
    for start in range(0, len(data), batch):
        chosen = slice(start, start + batch)
        pixels = normalise(resized(data.images[chosen], (size, size)), preprocessing)
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=bf16):
            logits: Tensor = model(pixels)
        loss = F.cross_entropy(logits.float(), data.labels[chosen], reduction="sum")
        parts.append(torch.stack([loss, (logits.argmax(1) == data.labels[chosen]).float().sum()]))
    loss_sum, hits = torch.stack(parts).double().sum(dim=0).tolist()  # waits for the device once
    return loss_sum / len(data), 100 * hits / len(data)


def bf16_pays(device: torch.device) -> bool:
    """Whether bfloat16 products are faster than float32's: tried, because CPUs without them take 20 times as long."""
    if device.type != "cpu":
        return device.type == "cuda"
    x, w = torch.randn(256, 384), torch.randn(384, 384)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = x.to(dtype), w.to(dtype)
        _ = a @ b
        began = time.perf_counter()
        for _ in range(5):
            _ = a @ b
        seconds[dtype] = time.perf_counter() - began
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]


def _plain(value: Any) -> Any:
    """Tuples as lists, choices as their spelling: what a state holds is compared with what was asked for."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def work(run: TrainingRun, names: list[str]) -> None:
    """The life of one process, which holds the lock of each of its models and ends well when it is told to."""
    with ExitStack() as held:
        for name in names:
            files.make_folder(run.folder / name)
            held.enter_context(lock(run.folder / name))
        if run.device == "cpu":
            torch.set_num_threads(1)
        process = Process(run, names)
        signal.signal(signal.SIGTERM, process.stop)
        signal.signal(signal.SIGINT, process.stop)
        process.train()


def lock(folder: Path) -> filelock.BaseFileLock:
    """One process a model. Raises `ExplorerError` where another one holds it."""
    held = filelock.FileLock(folder / "lock", blocking=False)
    try:
        held.acquire()
    except filelock.Timeout:
        raise ExplorerError(f"The run in {folder.parent.name} is going on already, in another process.") from None
    except OSError as error:
        raise files.UnwrittenError(f"{folder} cannot be written to: {files.reason(error)}.") from error
    return held
