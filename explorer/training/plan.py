"""A run's folder as everybody reads it: which decays are planned, how far each model is, and when it should end.

    plan.json                 the decays, in the order of their steps
    <model>/log.jsonl         a line every so many steps, and one for every evaluation
    <model>/state.pt          what the trunk goes on from
    <model>/decay-<step>/     the same of a decay, and at its end the checkpoint

A decay is planned for a step that no model has reached, so that all take it at the same one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from explorer import files
from explorer.training.recipe import Decay
from explorer.types import ExplorerError

EVERY = 20
"""Steps between two lines of a log."""
_AHEAD = 3 * EVERY
"""How far ahead a decay is planned of the last line of a log, behind which its model may already be."""
GAIN, WITHIN = 0.01, 40_000
"""A run has stopped gaining when its validation loss fell by less than this in so many images."""

PlanRow = dict[str, Any]


def decays(folder: Path) -> list[Decay]:
    """The planned decays of a run. Raises `ExplorerError` for a plan that cannot be read."""
    path = folder / "plan.json"
    try:
        rows = json.loads(files.read(path)) if path.exists() else []
        return [Decay(**row) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise ExplorerError(f"A list of decays was expected in {path.name}; something else is there.") from error


def add(folder: Path, steps: int, size: int, last: bool = False) -> Decay:
    """Plans a decay from a step that no model of the run has reached.

    Raises `ExplorerError` where no model has begun, or the run already has its last decay.
    """
    planned = decays(folder)
    if any(decay.last for decay in planned):
        raise ExplorerError("A run that goes on was expected; its last decay is already planned.")
    logs = [log(part) for part in sorted(folder.iterdir()) if (part / "log.jsonl").exists()]
    if not logs or not all(logs):
        raise ExplorerError(f"A run whose models have all begun was expected in {folder.name}; there is none yet.")
    at = max(max(trunk_step(rows) for rows in logs) + _AHEAD, *(decay.at + 1 for decay in planned), 0)
    planned.append(Decay(at, steps, size, last))
    files.write_atomically(folder / "plan.json", (json.dumps([asdict(decay) for decay in planned]) + "\n").encode())
    return planned[-1]


def log(model: Path) -> list[PlanRow]:
    """The lines of a model's log; one that is being written is left out."""
    try:
        lines = files.read(model / "log.jsonl").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    try:
        return [json.loads(line) for line in lines if line.endswith(b"\n")]
    except ValueError as error:
        raise ExplorerError(
            f"Lines of JSON were expected in {model.name}/log.jsonl; something else is there."
        ) from error


def trunk_step(rows: Sequence[PlanRow]) -> int:
    """The last step of the trunk that a log knows."""
    return max((row["step"] for row in rows if row["decay"] is None), default=0)


def check_batches(logs: Sequence[Sequence[PlanRow]]) -> int:
    """How many lines of several logs tell of the same batches.

    Raises `ExplorerError` where two models met other ones: each line has the digest of all batches up to its step.
    """
    chains = [{(row["decay"], row["step"]): row["batches"] for row in rows if "batches" in row} for rows in logs]
    common = set.intersection(*(set(chain) for chain in chains)) if chains else set()
    for place in sorted(common, key=str):
        if len({chain[place] for chain in chains}) > 1:
            raise ExplorerError(f"The same batches were expected for all models; at step {place[1]} they differ.")
    return len(common)


def core_hours(logs: Sequence[Sequence[PlanRow]]) -> float:
    """What all models have taken of all cores, in hours."""
    return sum(max((row["core_seconds"] for row in rows), default=0.0) for rows in logs) / 3600


def seconds_a_step(rows: Sequence[PlanRow], size: int) -> float:
    """Core-seconds that a model takes for a step at a size: measured there, else at the nearest, by its area."""
    paces = {row["size"]: row["core_seconds_a_step"] for row in rows if "core_seconds_a_step" in row}
    if not paces:
        return 0.0
    nearest = min(paces, key=lambda other: abs(other - size))
    return float(paces[nearest] * (size / nearest) ** 2)


def has_stopped_gaining(rows: Sequence[PlanRow]) -> bool:
    """Whether the validation loss of the trunk's average, at one size, fell by less than `GAIN` in `WITHIN` images."""
    measured = [row for row in rows if "validation_loss" in row and row["decay"] is None]
    if not measured:
        return False
    latest = measured[-1]
    before = [row for row in measured if row["size"] == latest["size"] and row["images"] <= latest["images"] - WITHIN]
    return bool(before) and before[-1]["validation_loss"] - latest["validation_loss"] < GAIN


def should_end(logs: Sequence[Sequence[PlanRow]], budget: float, steps: int, size: int) -> bool:
    """Whether the last decay, of so many steps, is due: of the budget in core-hours no more is left than it takes, or
    no model gains any more."""
    cost = steps * sum(seconds_a_step(rows, size) for rows in logs) / 3600
    return core_hours(logs) + cost >= budget or (bool(logs) and all(map(has_stopped_gaining, logs)))
