"""Where the models of a run begin: at a start with a probed head, or at what was kept of a run that was lost.

Kept are the averages in 8 bits with a scale for each row: a quarter of float32, enough to go on from. Moments are not
kept, so the rate rises anew over a few steps.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from explorer import files
from explorer.models import weights
from explorer.training import probe, stored
from explorer.training.settings import TrainingRun
from explorer.types import ExplorerError

RISE = 200
"""Steps in which the rate rises again from what was kept."""
_SCALE = ".scale"
_SUFFIX = ".int8.safetensors"


@dataclass(frozen=True, eq=False)
class Beginning:
    """Weights of a model, and how far the trunk was with them."""

    state: Mapping[str, Tensor]
    step: int = 0
    core_seconds: float = 0.0
    rise: int | None = None
    """Steps of the warm-up from here; the recipe's where there are none."""


def begin(run: TrainingRun, start: Mapping[str, Tensor]) -> None:
    """Puts a head on the start and writes it into the run's folder, for every model; done once for a run."""
    if not run.start.exists():
        train = stored.open_stored(run.stored[0])
        state = probe.probed(start, run.recipe, train, run.preprocessing, run.device)
        files.write_atomically(run.start, safetensors_bytes({key: value.contiguous() for key, value in state.items()}))


def keep(folder: Path, out: Path) -> list[Path]:
    """Writes the average of every model of a run, as of its last saved state, into `out`.

    Raises `ExplorerError` where no model has a state that can be read.
    """
    states = sorted(folder.glob("*/state.pt"))
    if not states:
        raise ExplorerError(f"A run with a saved state was expected in {folder.name}; there is none.")
    files.make_folder(out)
    written = []
    for path in states:
        with reading_state(path, "cpu") as state:
            metadata = {"step": state["step"], "core_seconds": state["core_seconds"], "identity": state["identity"]}
            packed = pack(state["ema"])
        written.append(out / f"{path.parent.name}{_SUFFIX}")
        files.write_atomically(written[-1], safetensors_bytes(packed, {weights.METADATA_KEY: json.dumps(metadata)}))
    return written


@contextmanager
def reading_state(path: Path, device: torch.device | str) -> Iterator[dict[str, Any]]:
    """What a model's `state.pt` holds. Raises `ExplorerError` for what is none, also where the block finds it out."""
    try:
        files.check_file(path, files.MAX_WEIGHTS_BYTES)
        yield torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise ExplorerError(f"The state in {path.parent.name} cannot be read; choose another folder.") from error


def beginning(run: TrainingRun, name: str, identity: Mapping[str, object]) -> Beginning | None:
    """What the model called `name` begins with; `None` for random weights.

    Raises `ExplorerError` for what was kept of a run with another recipe or other data.
    """
    if run.resumed is None:
        if not run.start.exists():
            return None
        return Beginning(weights.read(run.start).sets["model"])
    read = {each: weights.read(run.resumed / f"{each}{_SUFFIX}") for each in run.operators}
    declared = {each: saved.declared or {} for each, saved in read.items()}
    if declared[name].get("identity") != identity:
        raise ExplorerError(f"{run.resumed.name} was kept of a run with another recipe or other data.")
    # From one step for all models, so that they meet the same batches: that of the one that was farthest.
    step = max(int(of_model["step"]) for of_model in declared.values())
    return Beginning(unpack(read[name].sets["model"]), step, float(declared[name]["core_seconds"]), RISE)


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8, `round(w / scale)` with one float32 `scale = max |row| / 127` a row; the rest as it is."""
    packed: dict[str, Tensor] = {}
    for key, value in state.items():
        if value.ndim < 2:
            packed[key] = value.contiguous()
            continue
        rows = value.flatten(1)
        scale = rows.abs().amax(dim=1).clamp_min(1e-12) / 127
        packed[key] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
        packed[key + _SCALE] = scale
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `pack` in float32, each within half a step of its row's scale."""
    return {
        key: value
        if key + _SCALE not in packed
        else (value.flatten(1) * packed[key + _SCALE][:, None]).view(value.shape)
        for key, value in packed.items()
        if not key.endswith(_SCALE)
    }
