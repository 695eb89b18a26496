"""From weights to a model that can be traced: strictly, with everything declared that weights cannot show.

Keys, shapes, types and finiteness are compared with the architecture before anything is copied, and random weights are
never a fallback. What is declared stands in a safetensors file's own metadata, in a JSON beside the file, or is asked
of whoever loads it; needed are `architecture` and `filter`, the rest has defaults that say so.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from explorer import files
from explorer.models import registry, weights
from explorer.models.twicing import set_filter
from explorer.models.weights import METADATA_KEY, State
from explorer.types import ExplorerError, Filter, ModelCard, Preprocessing

MODEL = "model"
"""The set of weights that counts when nobody names one."""
SET = "#"
"""Stands between a file and one of its sets of weights."""
UNDECLARED = "not declared"
ASKED = "whoever loaded it"
_NAMED_IN_A_SENTENCE = 4
_FLOATS = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
)
"""Types whose numbers are weights by themselves; smaller ones come packed, or as scales of others."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to be traced, and what is declared about it."""

    card: ModelCard
    module: Any
    """A model of timm whose attention was made filtered, in eval mode."""


def load(
    path: Path,
    device: str | torch.device = "cpu",
    *,
    answers: Mapping[str, Any] | None = None,
    which: str = MODEL,
) -> LoadedModel:
    """Loads a file of weights, strictly.

    `answers` declares what neither the file nor a JSON beside it does; `which` picks among the file's sets of weights:
    `x.pth#model_ema` is then the card's source, and its digest that of the file's digest, `#` and the set's name.

    Raises `ExplorerError` with one sentence naming what is undeclared, missing, unexpected, mis-shaped or not finite.
    """
    found = weights.read(path)
    told = found.declared or answers
    if told is None:
        raise ExplorerError(
            f"{path.name} carries no metadata, so neither its architecture nor its filter is known; "
            f"declare them in {path.with_suffix('.json').name} beside it, or on the Models page."
        )
    if which not in found.sets:
        raise ExplorerError(f"{path.name} holds {', '.join(found.sets)}; {which!r} was asked for.")
    by = found.declared_by if found.declared else ASKED
    source, digest = f"{path.parent.name}/{path.name}", found.digest
    if which != MODEL:
        source, digest = f"{source}{SET}{which}", hashlib.sha256(f"{digest}{SET}{which}".encode()).hexdigest()
    return build(path.name, found.sets[which], told, digest, by, source, device)


@dataclass(frozen=True)
class Inspection:
    """What can be said about a file before it is loaded; small, where the file may be large."""

    sets: tuple[str, ...]
    is_declared: bool
    architectures: tuple[str, ...]
    """The known architectures whose parameters are named and shaped like the file's."""
    named: str | None
    """What the training code called the model."""

    @property
    def looks_twicing(self) -> bool:
        """Whether that name is the paper's for its twicing models: a guess for a form, never a declaration."""
        return self.named is not None and any(word in self.named.lower() for word in ("sharp", "twicing"))


def inspect(path: Path) -> Inspection:
    """Looks into a file without loading it; raises `ExplorerError` like `load`."""
    found = weights.read(path)
    state = next(iter(found.sets.values()))
    return Inspection(tuple(found.sets), found.declared is not None, _fitting(state), found.named)


def _fitting(state: State) -> tuple[str, ...]:
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    return tuple(name for name in registry.ARCHITECTURES if registry.shapes(name, _outputs(state)) == shapes)


def build(
    name: str,
    state: State,
    told: Mapping[str, Any],
    digest: str,
    by: str,
    source: str,
    device: str | torch.device = "cpu",
) -> LoadedModel:
    """The model that a declaration describes, with these weights; `name` is what errors call them."""
    card = _card(name, state, told, digest, by, source)
    # Shapes first, so that a file that lies about its size costs nothing.
    module = registry.skeleton(card.architecture, card.outputs, card.filter)
    check_state(name, state, module.state_dict())
    copied = {key: value.to(torch.float32, copy=True) for key, value in state.items()}
    if infinite := [key for key, value in copied.items() if not bool(value.isfinite().all())]:
        raise ExplorerError(f"{name} does not fit its declared architecture: {_problem('not finite', infinite)}.")
    if any(True for _ in module.buffers()):  # buffers are computed, not loaded: made for real
        module = registry.create(card.architecture, card.outputs, card.filter)
    module.load_state_dict(copied, strict=True, assign=True)
    return LoadedModel(card, module.to(device).eval().requires_grad_(False))


def with_filter(model: LoadedModel, filter: Filter) -> LoadedModel:
    """The same weights, shared in memory, under another filter: a counterfactual unless it was trained so."""
    card = model.card.with_filter(filter)
    shared = [*model.module.parameters(), *model.module.buffers()]
    module = copy.deepcopy(model.module, {id(tensor): tensor for tensor in shared})
    set_filter(module, filter)
    return LoadedModel(card, module)


def save(
    path: Path, state: Mapping[str, Tensor], declared: Mapping[str, Any], dtype: torch.dtype = torch.float16
) -> None:
    """Writes weights, in fp16 by default, with their metadata; the file appears whole or not at all."""
    stored = {key: value.detach().to("cpu", dtype).contiguous() for key, value in state.items()}
    files.write_atomically(path, safetensors_bytes(stored, {METADATA_KEY: json.dumps(dict(declared), sort_keys=True)}))


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
    license: str = UNDECLARED,
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
        "license": license,
    }


def check_state(name: str, state: State, expected: State, of: str = "its declared architecture") -> None:
    """Compares keys, shapes and types with those `of` a model; one sentence says everything that is wrong."""
    common = sorted(state.keys() & expected.keys())
    shapes = [
        f"{key} (expected {list(expected[key].shape)}, came {list(state[key].shape)[:8]})"
        for key in common
        if state[key].shape != expected[key].shape
    ]
    problems = [
        _problem("missing", sorted(expected.keys() - state.keys())),
        _problem("unexpected", sorted(state.keys() - expected.keys())),
        _problem("mis-shaped", shapes),
        _problem("not floating-point", [key for key in common if state[key].dtype not in _FLOATS]),
        _problem("not plain numbers in memory", [key for key in common if not _is_plain(state[key])]),
    ]
    if any(problems):
        found = "; ".join(filter(None, problems))
        raise ExplorerError(f"{name} does not fit {of}: {found}.")


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized


def _problem(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _NAMED_IN_A_SENTENCE} more" if len(keys) > _NAMED_IN_A_SENTENCE else ""
    return f"{what}: {', '.join(shown(key, 120) for key in keys[:_NAMED_IN_A_SENTENCE])}{more}"


def shown(text: str, length: int) -> str:
    """The start of a text out of a file, fit for one sentence: what breaks lines or ends sentences is replaced."""
    return re.sub(r"[^ -~]|(?<=\.) ", "?", text[:length])


def _card(name: str, state: State, told: Mapping[str, Any], digest: str, by: str, source: str) -> ModelCard:
    try:
        row = registry.architecture(str(told["architecture"]))
        classes = told.get("classes")
        names = registry.class_names(_outputs(state)) if classes is None else tuple(str(c) for c in classes)
        card = ModelCard(
            name=str(told.get("name", name.rpartition(".")[0])),
            architecture=str(told["architecture"]),
            filter=_filter(name, told["filter"], row.depth),
            trained_filter=_filter(name, told["filter"], row.depth),
            classes=names,
            wnids=registry.wnids(_outputs(state)) if classes is None else tuple(str(w) for w in told["wnids"]),
            outputs=len(names) or _outputs(state),
            preprocessing=_preprocessing(told.get("preprocessing"), row),
            recipe=str(told.get("recipe", UNDECLARED)),
            data=str(told.get("data", UNDECLARED)),
            top1=None if told.get("top1") is None else float(told["top1"]),
            git_revision=str(told.get("git_revision", UNDECLARED)),
            digest=digest,
            source=source,
            declared_by=by,
            license=str(told.get("license", UNDECLARED)),
        )
    except ExplorerError as error:
        if str(error).startswith(name):
            raise
        raise ExplorerError(f"{name} declares what is not known: {shown(str(error).rstrip('.'), 1000)}.") from error
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RuntimeError) as error:
        raise ExplorerError(f"{name} has incomplete metadata: {shown(repr(error), 200)}.") from error
    pre = card.preprocessing
    # A tiny crop or a huge source would have every picture resized beyond what memory holds.
    if not (0.5 <= pre.crop_pct <= 1 and min(pre.std) > 0 and pre.input_size == row.input_size):
        raise ExplorerError(
            f"{name} declares crop {pre.crop_pct:g}, std {pre.std} and input {pre.input_size}; "
            f"a crop of 0.5 to 1, positive std and input {row.input_size} were expected."
        )
    if not all(0 < source <= given for source, given in zip(pre.source_size or (1, 1), pre.input_size, strict=True)):
        raise ExplorerError(
            f"{name} declares that its images were of size {pre.source_size}; at most {pre.input_size} was expected."
        )
    if card.top1 is not None and not 0 <= card.top1 <= 100:
        raise ExplorerError(f"{name} declares a top-1 accuracy of {card.top1:g}; 0 to 100 percent was expected.")
    if len(card.wnids) != len(card.classes):
        raise ExplorerError(
            f"{name} declares {len(card.wnids)} wnids for {len(card.classes)} classes; one for each was expected."
        )
    return card


def _filter(name: str, told: Any, depth: int) -> Filter:
    """One coefficient for all blocks, or one for each."""
    filter = tuple(float(a) for a in told) if isinstance(told, list | tuple) else (float(told),) * depth
    if len(filter) != depth or not all(math.isfinite(a) for a in filter):
        raise ExplorerError(
            f"{name} declares the filter {shown(str(told), 80)}; one finite coefficient for each of {depth} blocks "
            "was expected."
        )
    return filter


def _preprocessing(told: Mapping[str, Any] | None, row: registry.Architecture) -> Preprocessing:
    if told is not None and not isinstance(told, Mapping):
        raise TypeError(f"preprocessing is a {type(told).__name__}")
    told = {**asdict(registry.preprocessing(row)), **(told or {})}
    source, interpolation, crop_mode = told["source_size"], told["interpolation"], told["crop_mode"]
    registry.check_transform(interpolation, crop_mode)
    return Preprocessing(
        input_size=(int(told["input_size"][0]), int(told["input_size"][1])),
        mean=_triple(told["mean"]),
        std=_triple(told["std"]),
        crop_pct=float(told["crop_pct"]),
        source_size=None if source is None else (int(source[0]), int(source[1])),
        interpolation=interpolation,
        crop_mode=crop_mode,
    )


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"{values} is not finite")
    return red, green, blue


def _outputs(state: State) -> int:
    """How many logits the weights give: rows of the classifier, 0 without one."""
    head = state.get("head.weight")
    return head.shape[0] if head is not None and head.ndim == 2 and head.shape[0] < 10**6 else 0
