"""From weights to a model that can be traced, strictly, and back into a file.

Keys, shapes, types and finiteness are compared with the declared architecture before anything is copied, one pass
shows whether the numbers stay within bounds, and random weights are never a fallback. Positions of another size are
resampled where somebody asks for an input size, and the card says so.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from explorer import files
from explorer.models import likeness, overflow, packed, positions, registry, sources, weights
from explorer.models.declaration import Declaration, Origin, declares_crop, read_declaration
from explorer.models.likeness import Likeness
from explorer.models.positions import Grids
from explorer.models.twicing import set_filter
from explorer.models.weights import METADATA_KEY, State, excerpt
from explorer.types import ExplorerError, Filter, ModelCard

MODEL = "model"
"""The set of weights that counts when nobody names one."""
SET = "#"
"""Stands between a file and one of its sets of weights."""
ASKED = "whoever loaded it"
ADDED = ("classes", "crop_pct")
"""What answers may add to a declaration that does not say it."""
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
    input_size: int | None = None,
) -> LoadedModel:
    """Loads a file of weights, strictly.

    `answers` declares what neither the file nor a JSON beside it does, and adds to these what `ADDED` names; `which`
    picks among the file's sets of weights: `x.pth#model_ema` is then the card's source, and its digest that of the
    file's digest, `#` and the set's name. `input_size` asks for so many pixels on a side, whatever is declared.

    Raises `ExplorerError` with one sentence naming what is undeclared, missing, unexpected, mis-shaped or not finite,
    and for weights with which a pass overflows.
    """
    stored = weights.read(path)
    added = {name: value for name, value in (answers or {}).items() if name in ADDED}
    metadata = {**added, **stored.declared} if stored.declared else answers
    if metadata is None:
        raise ExplorerError(
            f"{path.name} carries no metadata, so neither its architecture nor its filter is known; "
            f"declare them in {path.with_suffix('.json').name} beside it, or on the Models page."
        )
    if which not in stored.sets:
        raise ExplorerError(f"{path.name} holds {', '.join(stored.sets)}; {which!r} was asked for.")
    source, digest = sources.label(path), stored.digest
    if which != MODEL:
        source, digest = f"{source}{SET}{which}", hashlib.sha256(f"{digest}{SET}{which}".encode()).hexdigest()
    origin = Origin(path.name, source, digest, stored.declared_by if stored.declared else ASKED)
    state = stored.sets[which]
    return build(state, read_declaration(path.name, metadata, _outputs(state), input_size), origin, device)


@dataclass(frozen=True)
class Inspection:
    """What can be said about a file before it is loaded; small, where the file may be large."""

    sets: tuple[str, ...]
    is_declared: bool
    architecture: str | None
    """As it is declared."""
    declares_crop: bool
    likeness: Likeness | None
    """An architecture whose parameters are named and shaped like the file's."""
    named: str | None
    """What the training code called the model."""
    variant: str | None
    """The ImageNet variant with as many classes as the weights have outputs, where nobody says what these stand for."""

    @property
    def looks_twicing(self) -> bool:
        """Whether that name is the paper's for its twicing models: a guess for a form, never a declaration."""
        return self.named is not None and any(word in self.named.lower() for word in ("sharp", "twicing"))


def inspect(path: Path) -> Inspection:
    """Looks into a file without loading it; raises `ExplorerError` like `load`."""
    stored = weights.read(path)
    state, declared = next(iter(stored.sets.values())), stored.declared or {}
    outputs, architecture = _outputs(state), declared.get("architecture")
    return Inspection(
        sets=tuple(stored.sets),
        is_declared=stored.declared is not None,
        architecture=architecture if isinstance(architecture, str) else None,
        declares_crop=declares_crop(declared),
        likeness=likeness.of(state, outputs),
        named=stored.named,
        variant=None if "classes" in declared else registry.imagenet(outputs),
    )


def build(state: State, declaration: Declaration, origin: Origin, device: str | torch.device = "cpu") -> LoadedModel:
    """The declared model with these weights. Raises `ExplorerError` for weights that do not fit it."""
    architecture, outputs, filter = declaration.architecture, declaration.outputs, declaration.filter
    # Shapes first, so that a file that lies about its size costs nothing.
    module = registry.skeleton(architecture, outputs, filter, **declaration.options)
    if declaration.is_sized:
        positions.check_size(origin.name, module)
    grids = Grids.of(state, module)
    resampled = grids if grids and grids.differ and declaration.is_sized else None
    expected = module.state_dict()
    if resampled:
        expected = positions.as_if_fitting(expected, resampled)
    try:
        check_state(origin.name, state, expected)
    except ExplorerError as error:
        raise ExplorerError(f"{str(error).removesuffix('.')}{_hint(state, module, declaration)}.") from None
    copied = {
        key: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
        for key, value in state.items()
    }
    if infinite := [key for key, value in copied.items() if not bool(value.isfinite().all())]:
        raise ExplorerError(
            f"{origin.name} does not fit its declared architecture: {_problem('not finite', infinite)}."
        )
    if any(True for _ in module.buffers()):  # buffers are computed, not loaded: made for real
        module = registry.create(architecture, outputs, filter, **declaration.options)
    if resampled:
        copied[positions.KEY] = resampled.resampled(copied[positions.KEY])
    module.load_state_dict(copied, strict=True, assign=True)
    overflow.check(origin.name, module.eval())
    card = declaration.card(origin, (resampled.change,) if resampled else ())
    return LoadedModel(card, module.to(device).eval().requires_grad_(False))


def _hint(state: State, module: Any, declaration: Declaration) -> str:
    """What else to ask for, where weights do not fit and their shapes say what would: the end of a sentence."""
    grids = Grids.of(state, module)
    if grids and grids.differ and _shapes(state) == _shapes(positions.as_if_fitting(module.state_dict(), grids)):
        return f"; {grids.reason(declaration.architecture, module)}"
    like = likeness.of(state, _outputs(state))
    return "" if like is None or like.architecture == declaration.architecture else f"; its shapes look like {like}"


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def with_filter(model: LoadedModel, filter: Filter) -> LoadedModel:
    """The same weights, shared in memory, under another filter: a counterfactual unless it was trained so."""
    card = model.card.with_filter(filter)
    module = on_the_same_weights(model.module)
    set_filter(module, filter)
    return LoadedModel(card, module)


def with_packed_layers(model: LoadedModel) -> LoadedModel:
    """The same weights, and a copy of those of the linear layers as oneDNN lays them out, which these compute on.

    Raises `ExplorerError` elsewhere than on a CPU, and where torch has no oneDNN.
    """
    if not packed.is_possible(model.module):
        raise ExplorerError(
            f"Packed linear layers need float32 on a CPU and a torch with oneDNN; {model.card.name} has not all of it."
        )
    module = on_the_same_weights(model.module)
    packed.pack(module)
    return LoadedModel(replace(model.card, is_packed=True), module)


def with_quicker_layers(model: LoadedModel) -> LoadedModel:
    """With packed layers where they are possible and quicker, unless `EXPLORER_PACKED` says 0 or 1."""
    wanted = os.environ.get(packed.VARIABLE, "").strip()
    if wanted == "0" or not packed.is_possible(model.module):
        return model
    return with_packed_layers(model) if wanted == "1" or packed.is_quicker(model.module) else model


def in_bfloat16(model: LoadedModel) -> LoadedModel:
    """A copy of the model whose weights and passes are bfloat16, at 0.56 of the time where the CPU computes in it.

    Raises `ExplorerError` where it does not, or the model is not on a CPU.
    """
    if next(model.module.parameters()).device.type != "cpu" or not torch.cpu._is_avx512_bf16_supported():
        raise ExplorerError("bfloat16 is for CPUs with the instructions avx512_bf16, which are missing here.")
    return LoadedModel(replace(model.card, is_bfloat16=True), copy.deepcopy(model.module).to(torch.bfloat16))


def on_the_same_weights(module: Any) -> Any:
    """A copy of a model that shares the memory of its parameters and buffers."""
    shared = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in shared})


def save(
    path: Path, state: Mapping[str, Tensor], declared: Mapping[str, Any], dtype: torch.dtype = torch.float16
) -> None:
    """Writes weights, in fp16 by default, with their metadata; the file appears whole or not at all."""
    stored = {key: value.detach().to("cpu", dtype).contiguous() for key, value in state.items()}
    files.write_atomically(path, safetensors_bytes(stored, {METADATA_KEY: json.dumps(dict(declared), sort_keys=True)}))


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
        _problem("not floating-point", [key for key in common if not _has_its_type(state[key], expected[key])]),
        _problem("not plain numbers in memory", [key for key in common if not _is_plain(state[key])]),
    ]
    if any(problems):
        raise ExplorerError(f"{name} does not fit {of}: {'; '.join(filter(None, problems))}.")


def _has_its_type(tensor: Tensor, expected: Tensor) -> bool:
    """Floating-point where that is expected; the counts of batch norms are whole numbers of one type."""
    return tensor.dtype in _FLOATS if expected.is_floating_point() else tensor.dtype == expected.dtype


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized


def _problem(kind: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _NAMED_IN_A_SENTENCE} more" if len(keys) > _NAMED_IN_A_SENTENCE else ""
    return f"{kind}: {', '.join(excerpt(key, 120) for key in keys[:_NAMED_IN_A_SENTENCE])}{more}"


def _outputs(state: State) -> int:
    """How many logits the weights give: rows of the classifier, 0 without one."""
    head = state.get("head.weight")
    return head.shape[0] if head is not None and head.ndim == 2 and head.shape[0] < 10**6 else 0
