"""Weights on disk: safetensors with everything that must be declared in the file's own metadata.

A checkpoint loads strictly or not at all: keys, shapes, types and finiteness are compared with the model before
anything is copied, and random weights are never a fallback.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save as safetensors_bytes
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.models import registry
from explorer.models.twicing import set_filter
from explorer.types import ExplorerError, Filter, ModelCard, Preprocessing

METADATA_KEY = "twicing_explorer"
_NAMED_IN_A_SENTENCE = 4


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to be traced, and what is declared about it."""

    card: ModelCard
    module: VisionTransformer


def load(path: Path, device: str | torch.device = "cpu") -> LoadedModel:
    """Reads one safetensors checkpoint, strictly.

    Raises `ExplorerError` with one sentence naming what is missing, unexpected, mis-shaped or not finite.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExplorerError(f"{path.name} cannot be read: {error.strerror}.") from error
    state, declared = _open(path, data)
    card = _card(path.name, hashlib.sha256(data).hexdigest(), declared)
    module = registry.create(card.architecture, len(card.classes), card.filter)
    check_state(path.name, state, module.state_dict())
    module.load_state_dict({key: value.float() for key, value in state.items()}, strict=True)
    return LoadedModel(card, module.to(device).eval().requires_grad_(False))


def with_filter(model: LoadedModel, filter: Filter) -> LoadedModel:
    """The same weights, shared in memory, under another filter: a counterfactual unless it was trained so."""
    card = model.card.with_filter(filter)
    module = registry.create(card.architecture, len(card.classes), filter)
    module.load_state_dict(model.module.state_dict(), strict=True, assign=True)
    set_filter(module, filter)
    return LoadedModel(card, module.eval().requires_grad_(False))


def save(path: Path, state: Mapping[str, Tensor], declared: Mapping[str, Any]) -> None:
    """Writes weights in fp16 with their metadata; the file appears whole or not at all."""
    halves = {key: value.detach().to("cpu", torch.float16).contiguous() for key, value in state.items()}
    write_atomically(path, safetensors_bytes(halves, {METADATA_KEY: json.dumps(dict(declared), sort_keys=True)}))


def write_atomically(path: Path, data: bytes) -> None:
    """Writes to a temporary name in the same folder, then renames."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def declare(
    *,
    name: str,
    architecture: str,
    filter: Filter,
    classes: tuple[str, ...],
    wnids: tuple[str, ...],
    preprocessing: Preprocessing,
    recipe: str,
    data: str,
    top1: float | None,
    git_revision: str,
) -> dict[str, Any]:
    """The metadata that `save` puts into the file and `load` expects back."""
    return {
        "name": name,
        "architecture": architecture,
        "filter": list(filter),
        "classes": list(classes),
        "wnids": list(wnids),
        "preprocessing": asdict(preprocessing),
        "recipe": recipe,
        "data": data,
        "top1": top1,
        "git_revision": git_revision,
    }


def check_state(name: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compares keys, shapes, types and finiteness; one sentence says everything that is wrong."""
    problems = [
        _problem("missing", sorted(expected.keys() - state.keys())),
        _problem("unexpected", sorted(state.keys() - expected.keys())),
    ]
    common = sorted(state.keys() & expected.keys())
    problems.append(
        _problem(
            "mis-shaped",
            [
                f"{key} (expected {list(expected[key].shape)}, came {list(state[key].shape)})"
                for key in common
                if state[key].shape != expected[key].shape
            ],
        )
    )
    problems.append(_problem("not floating-point", [key for key in common if not state[key].is_floating_point()]))
    if not any(problems):
        problems.append(_problem("not finite", [key for key in common if not bool(state[key].isfinite().all())]))
    found = "; ".join(problem for problem in problems if problem)
    if found:
        raise ExplorerError(f"{name} does not fit its declared architecture: {found}.")


def _problem(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _NAMED_IN_A_SENTENCE} more" if len(keys) > _NAMED_IN_A_SENTENCE else ""
    return f"{what}: {', '.join(keys[:_NAMED_IN_A_SENTENCE])}{more}"


def _open(path: Path, data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        state = safetensors.torch.load(data)
        with safetensors.safe_open(path, framework="pt") as file:
            declared = json.loads((file.metadata() or {})[METADATA_KEY])
        if not isinstance(declared, dict):
            raise ValueError(f"metadata is a {type(declared).__name__}")
    except KeyError:
        raise ExplorerError(
            f"{path.name} carries no {METADATA_KEY!r} metadata, so neither its architecture nor its filter is known."
        ) from None
    except (safetensors.SafetensorError, ValueError) as error:
        raise ExplorerError(f"{path.name} is not a readable safetensors file with JSON metadata.") from error
    return state, declared


def _card(name: str, digest: str, declared: dict[str, Any]) -> ModelCard:
    try:
        shown = declared["preprocessing"]
        source = shown["source_size"]
        card = ModelCard(
            name=str(declared["name"]),
            architecture=str(declared["architecture"]),
            filter=tuple(float(a) for a in declared["filter"]),
            trained_filter=tuple(float(a) for a in declared["filter"]),
            classes=tuple(str(c) for c in declared["classes"]),
            wnids=tuple(str(w) for w in declared["wnids"]),
            preprocessing=Preprocessing(
                input_size=(int(shown["input_size"][0]), int(shown["input_size"][1])),
                mean=_triple(shown["mean"]),
                std=_triple(shown["std"]),
                crop_pct=float(shown["crop_pct"]),
                source_size=None if source is None else (int(source[0]), int(source[1])),
            ),
            recipe=str(declared["recipe"]),
            data=str(declared["data"]),
            top1=None if declared["top1"] is None else float(declared["top1"]),
            git_revision=str(declared["git_revision"]),
            digest=digest,
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ExplorerError(f"{name} has incomplete metadata: {error!r}.") from error
    if not all(math.isfinite(a) for a in card.filter):
        raise ExplorerError(f"{name} declares the filter {card.filter}; finite coefficients were expected.")
    row = registry.architecture(card.architecture)
    pre = card.preprocessing
    if not (0 < pre.crop_pct <= 1 and min(pre.std) > 0 and pre.input_size == row.input_size and card.classes):
        raise ExplorerError(
            f"{name} declares crop {pre.crop_pct:g}, std {pre.std}, input {pre.input_size} and {len(card.classes)} "
            f"classes; a crop in (0, 1], positive std, input {row.input_size} and at least one class were expected."
        )
    if len(card.filter) != row.depth or len(card.wnids) != len(card.classes):
        raise ExplorerError(
            f"{name} declares {len(card.filter)} filter coefficients and {len(card.wnids)} wnids; "
            f"{row.depth} blocks and {len(card.classes)} classes were expected."
        )
    return card


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
