"""Starts: weights that training goes on from, with who made them and what was done to them since.

A start is a checkpoint like any other, without a classifier: the explorer opens it as a model without classes, and
training puts a classifier of its own on it. Its weights are float32, and its metadata name origin and licences, so that
those of whatever is trained from it can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from explorer.models import checkpoints, dinov2, folding, registry, weights
from explorer.models.declaration import UNDECLARED, declare
from explorer.models.dinov2 import Dinov2, check_finite
from explorer.models.weights import State, excerpt
from explorer.types import STANDARD, ExplorerError

_START = "start"
_EXAMPLES = {"origin": "DINOv2 ViT-S/14, Meta AI", "license": "Apache-2.0"}


@dataclass(frozen=True, eq=False)
class Start:
    """Weights without a classifier, and what is declared about them."""

    architecture: str
    state: State
    """Float32, strictly those of the architecture without `head`."""
    origin: str
    """Who made the weights, and where they are from."""
    license: str
    changes: tuple[str, ...]
    """What was done to the weights since."""
    source: str
    """Name of the file they were made from."""
    source_digest: str
    """SHA-256 of that file."""
    digest: str
    """SHA-256 of the start's own file."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion came to; errors are relative to the largest value."""

    source: Dinov2
    changes: tuple[str, ...]
    fold_error: float
    graph_error: float | None
    """None where the file is no graph."""


def convert(
    path: Path, out: Path, architecture: str, origin: str | None = None, license: str | None = None
) -> Conversion:
    """Makes a start of `architecture` out of a file that holds a vision transformer like DINOv2's.

    `origin` and `license` are taken from the file's metadata where they are not given. Raises `ExplorerError` with one
    sentence for files that hold anything else, for weights that do not compute what the file computes, and where nobody
    names a licence; nothing is written then.
    """
    if out.suffix not in weights.SAFE:
        raise ExplorerError(f"{out.name} was expected to end in {weights.SAFE[0]}.")
    source = dinov2.read(path)
    origin, license = _declared(source, "origin", origin), _declared(source, "license", license)
    folding.check_fits(source, architecture)
    graph_error = folding.graph_error(source, architecture)
    folded = folding.fold(source)
    fold_error = folding.fold_error(source, folded, architecture)
    state = folding.resample(folded, architecture)
    changes = _changes(source, state)
    _write(out, Start(architecture, state, origin, license, changes, source.name, source.digest, digest=""))
    return Conversion(source, changes, fold_error, graph_error)


def load_start(path: Path) -> Start:
    """Reads a start, strictly.

    Raises `ExplorerError` with one sentence for files that are none: without origin or license, with a classifier, or
    with weights that do not fit their architecture.
    """
    stored = weights.read(path)
    declared = stored.declared or {}
    start, origin, license = (declared.get(field) for field in (_START, *_EXAMPLES))
    if not (isinstance(start, dict) and isinstance(origin, str) and isinstance(license, str) and origin and license):
        raise ExplorerError(
            f"{path.name} was expected to be a start that names its origin and license, as import-weights writes it; "
            "something else came."
        )
    architecture, state = str(declared.get("architecture")), stored.sets.get(checkpoints.MODEL, {})
    checkpoints.check_state(path.name, state, _skeleton(architecture).state_dict(), f"{architecture} without a head")
    state = {key: value.float() for key, value in state.items()}
    check_finite(path.name, state)
    changes = start.get("changes")
    return Start(
        architecture=architecture,
        state=state,
        origin=origin,
        license=license,
        changes=tuple(map(str, changes)) if isinstance(changes, list) else (),
        source=str(start.get("source", UNDECLARED)),
        source_digest=str(start.get("source_digest", UNDECLARED)),
        digest=stored.digest,
    )


def _declared(source: Dinov2, field: str, given: str | None) -> str:
    """What the command says, or else what the file says of itself."""
    text = source.declared.get(field) if given is None else given
    if not isinstance(text, str) or not text.strip():
        raise ExplorerError(
            f"The {field} of {source.name} was expected, as in --{field} {_EXAMPLES[field]!r}; neither the command nor "
            "the file names it."
        )
    return text.strip()


def _changes(source: Dinov2, state: State) -> tuple[str, ...]:
    """What a conversion did, a phrase for each step."""
    patch, grid = state["patch_embed.proj.weight"].shape[-1], math.isqrt(state["pos_embed"].shape[1] - 1)
    steps = ["LayerScale folded into attn.proj and mlp.fc2"]
    if patch != source.patch:
        steps.append(f"patch embedding resampled from {source.patch} to {patch} pixels a side, by pseudo-inverse")
    if grid != source.grid:
        steps.append(f"positions resampled from {source.grid}x{source.grid} to {grid}x{grid}, bicubic")
    if parts := sorted({key.partition(".")[0] for key in source.left_out}):
        steps.append(f"left out: {excerpt(', '.join(parts), 120)}")
    return tuple(steps)


def _write(path: Path, start: Start) -> None:
    row = registry.architecture(start.architecture)
    checkpoints.check_state(start.source, start.state, _skeleton(start.architecture).state_dict(), start.architecture)
    declared = declare(
        name=path.stem,
        architecture=start.architecture,
        filter=registry.uniform_filter(row.depth, STANDARD),
        classes=(),
        wnids=(),
        preprocessing=registry.preprocessing(row),
        recipe=f"{start.origin}, not trained since; changed: {'; '.join(start.changes)}",
        data=UNDECLARED,
        top1=None,
        git_revision=UNDECLARED,
        license=start.license,
    )
    history = {"source": start.source, "source_digest": start.source_digest, "changes": list(start.changes)}
    checkpoints.save(path, start.state, {**declared, "origin": start.origin, _START: history}, torch.float32)


def _skeleton(architecture: str) -> Any:
    depth = registry.architecture(architecture).depth
    return registry.skeleton(architecture, 0, registry.uniform_filter(depth, STANDARD))
