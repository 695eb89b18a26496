"""Reading files of weights that come from anywhere: nothing in them is executed or believed.

Safetensors hold tensors only; torch's files are read by `pickles`. Made into tensors is what stands at the top level as
`model`, `state_dict` or `model_ema`; of the rest only the model's name in `args` is looked at.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from explorer import files
from explorer.models import pickles
from explorer.types import ExplorerError

METADATA_KEY = "twicing_explorer"
SAFE, TORCH = (".safetensors",), (".pth", ".pt", ".bin", ".ckpt")
SUFFIXES = SAFE + TORCH

_SETS = ("model", "state_dict", "model_ema")
_MAX_HEADER_BYTES = 2**22
_MAX_JSON_BYTES = 2**20

State = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Weights:
    """What a file holds."""

    sets: Mapping[str, State]
    """State dicts by name: `model`, and `model_ema` where training kept an average."""
    declared: Mapping[str, Any] | None
    """What the file, or a JSON beside it, declares about the weights."""
    declared_by: str
    named: str | None
    """What the training code called the model (`args.model`): a hint, never a declaration."""
    digest: str


def read(path: Path) -> Weights:
    """Reads a file of weights.

    Raises `ExplorerError` with one sentence for a file that cannot be read, is damaged, or holds anything else.
    """
    try:
        if path.suffix not in SUFFIXES:
            raise ExplorerError(f"{path.name} was expected to end in one of {', '.join(SUFFIXES)}.")
        files.check_file(path, files.MAX_WEIGHTS_BYTES)
        weights = _read_safetensors(path) if path.suffix in SAFE else _read_torch(path)
        beside = path.with_suffix(".json")
        if weights.declared is None and beside.is_file():
            with beside.open("rb") as file:
                declared = _json(beside.name, file.read(_MAX_JSON_BYTES + 1))
            return Weights(weights.sets, declared, f"{beside.name} beside the file", weights.named, weights.digest)
        return weights
    except OSError as error:
        raise ExplorerError(f"{path.name} cannot be read: {error.strerror or 'it is damaged'}.") from error


def excerpt(text: str, length: int) -> str:
    """The start of a text out of a file, fit for one sentence: what breaks lines or ends sentences is replaced."""
    return re.sub(r"[^ -~]|(?<=\.) ", "?", text[:length])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_safetensors(path: Path) -> Weights:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    try:
        if length > _MAX_HEADER_BYTES:
            raise ValueError("the header is too long")
        with safetensors.safe_open(path, "pt") as stored:
            state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            text = (stored.metadata() or {}).get(METADATA_KEY)
    except Exception as error:  # the reader raises several kinds
        raise ExplorerError(f"{path.name} is not a complete safetensors file.") from error
    declared = None if text is None else _json(f"the metadata of {path.name}", text.encode())
    return Weights({"model": state}, declared, "the file's own metadata", None, _digest(path))


def _read_torch(path: Path) -> Weights:
    with path.open("rb") as file:
        try:
            saved = pickles.read(file)
            if not isinstance(saved.top, dict):
                raise ValueError("a dict was expected")
            top = saved.top
            states = {name: top[name] for name in _SETS if isinstance(top.get(name), dict)} or {"model": top}
            if "state_dict" in states:  # other code's word for it
                states = {"model": states.pop("state_dict"), **states}
            sets = {name: _state(state, saved) for name, state in states.items()}
        except pickles.RefusedError as error:
            raise ExplorerError(f"{path.name} {error}.") from error
        except Exception as error:  # readers of damaged files raise nearly every kind
            raise ExplorerError(f"{path.name} is not a complete file of weights as torch saves them.") from error
    args = top.get("args")
    named = args.model if isinstance(args, argparse.Namespace) else None
    return Weights(
        sets=sets,
        declared=None,
        declared_by="nobody",
        named=named[:100] if isinstance(named, str) and named.isprintable() else None,
        digest=_digest(path),
    )


def _state(state: Mapping[Any, Any], saved: pickles.Saved) -> State:
    """A state dict, mapped from the file; the prefix that parallel training puts before every key is taken off.

    No more is made of a file than it weighs: tensors that repeat a few bytes over and over are refused.
    """
    if not state or not all(
        isinstance(key, str) and isinstance(value, pickles.StoredView) for key, value in state.items()
    ):
        raise pickles.RefusedError(
            f"was expected to hold a state dict, by itself or as one of {', '.join(_SETS)}; it does not"
        )
    if sum(math.prod(view.size) * view.dtype.itemsize for view in state.values()) > saved.nbytes:
        raise pickles.RefusedError("holds tensors that share their memory; each was expected to have its own")
    prefix = "module." if all(key.startswith("module.") for key in state) else ""
    return {key.removeprefix(prefix): saved.tensor(view) for key, view in state.items()}


def _json(name: str, data: bytes) -> Mapping[str, Any]:
    try:
        if len(data) > _MAX_JSON_BYTES:
            raise ValueError("too long")
        declared = json.loads(data)
        json.dumps(declared, ensure_ascii=False).encode()  # half a character is none that a page can show
    except (ValueError, RecursionError) as error:
        raise ExplorerError(f"JSON of at most 1 MiB was expected in {name}; something else came.") from error
    if not isinstance(declared, dict):
        raise ExplorerError(f"A JSON object was expected in {name}; a {type(declared).__name__} came.")
    return declared
