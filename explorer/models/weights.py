"""Reading files of weights that come from anywhere: nothing in them is executed or believed.

Safetensors hold tensors only. torch's files are pickles, of which torch's `weights_only` reader takes tensors and plain
values; `argparse.Namespace` is allowed besides, because the training code of DeiT and of the paper keeps its `args` so.
Read is the top level alone: `model`, `state_dict`, `model_ema`, and the model's name in `args`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from explorer.types import ExplorerError

METADATA_KEY = "twicing_explorer"
SAFE, TORCH = (".safetensors",), (".pth", ".pt", ".bin", ".ckpt")
SUFFIXES = SAFE + TORCH

_SETS = ("model", "state_dict", "model_ema")
_MAX_PICKLE_BYTES = 2**21
"""What the pickle of a checkpoint may weigh beside its tensors; DeiT-Base with its optimizer needs 0.2 MiB."""
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
        if path.suffix in SAFE:
            weights = _read_safetensors(path)
        elif path.suffix in TORCH:
            weights = _read_torch(path)
        else:
            raise ExplorerError(f"{path.name} was expected to end in one of {', '.join(SUFFIXES)}.")
        beside = path.with_suffix(".json")
        if weights.declared is None and beside.is_file():
            declared = _json(beside.name, beside.read_bytes())
            return Weights(weights.sets, declared, f"{beside.name} beside the file", weights.named, weights.digest)
        return weights
    except OSError as error:
        raise ExplorerError(f"{path.name} cannot be read: {error.strerror or 'it is damaged'}.") from error


def _read_safetensors(path: Path) -> Weights:
    data = path.read_bytes()
    try:
        state = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError, KeyError, RecursionError, MemoryError) as error:
        raise ExplorerError(f"{path.name} is not a complete safetensors file.") from error
    text = metadata.get(METADATA_KEY)
    declared = None if text is None else _json(f"the metadata of {path.name}", text.encode())
    return Weights({"model": state}, declared, "the file's own metadata", None, hashlib.sha256(data).hexdigest())


def _read_torch(path: Path) -> Weights:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    top = _unpickle(path)
    if not isinstance(top, dict):
        raise ExplorerError(
            f"{path.name} holds a {type(top).__name__}; a state dict, or a dict with one, was expected."
        )
    args = top.get("args")
    named = vars(args).get("model") if isinstance(args, argparse.Namespace) else None
    sets = {name: _state(path, top[name]) for name in _SETS if isinstance(top.get(name), dict)}
    return Weights(
        sets=sets or {"model": _state(path, top)},
        declared=None,
        declared_by="nobody",
        named=named[:100] if isinstance(named, str) else None,
        digest=digest,
    )


def _unpickle(path: Path) -> Any:
    """The top level of a torch file, by torch's reader for tensors and plain values."""
    zipped = zipfile.is_zipfile(path)
    if zipped:
        _check_archive(path)
    source: Any = path if zipped else _Bounded(path.read_bytes())
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(source, map_location="cpu", weights_only=True, mmap=zipped)
    except ExplorerError:
        raise
    except Exception as error:  # torch's readers raise nearly every kind; its advice to allow code is not passed on
        foreign = "unsupported global" in str(error).lower() or "not an allowed global" in str(error).lower()
        why = (
            "holds objects beside tensors and plain values, which are never loaded because loading them can run code"
            if foreign
            else "is not a complete file of weights as torch saves them"
        )
        raise ExplorerError(f"{path.name} {why}.") from error


def _check_archive(path: Path) -> None:
    """Refuses archives that would take long to read: torch stores tensors uncompressed beside one small pickle."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ExplorerError(f"{path.name} is not a complete file of weights as torch saves them.") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ExplorerError(f"{path.name} holds compressed entries; torch saves weights uncompressed.")
    if any(entry.filename.endswith(".pkl") and entry.file_size > _MAX_PICKLE_BYTES for entry in entries):
        raise ExplorerError(
            f"{path.name} holds a pickle of more than 2 MiB; weights need far less beside their tensors."
        )


class _Bounded(io.BytesIO):
    """A file in torch's format of before 2020, where pickle and tensors share one stream: bounds the pickle's steps."""

    steps = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._step()
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        self._step()
        return super().readline(size)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _MAX_PICKLE_BYTES // 2:
            raise ValueError("too many steps")


def _state(path: Path, top: Mapping[Any, Any]) -> State:
    """A state dict; the prefix that parallel training puts before every key is taken off."""
    if not top or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in top.items()):
        raise ExplorerError(
            f"{path.name} was expected to hold a state dict, by itself or as one of {', '.join(_SETS)}; it does not."
        )
    prefix = "module." if all(key.startswith("module.") for key in top) else ""
    return {key.removeprefix(prefix): value for key, value in top.items()}


def _json(name: str, data: bytes) -> Mapping[str, Any]:
    try:
        if len(data) > _MAX_JSON_BYTES:
            raise ValueError("too long")
        declared = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ExplorerError(f"JSON of at most 1 MiB was expected in {name}; something else came.") from error
    if not isinstance(declared, dict):
        raise ExplorerError(f"A JSON object was expected in {name}; a {type(declared).__name__} came.")
    return declared
