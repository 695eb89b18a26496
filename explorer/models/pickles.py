"""Reading torch's files without running them.

They are pickles, programs for a stack machine, and those who wrote one choose what it computes. Even torch's own reader
for plain values can be led to fill the memory, to count for hours or to end the process, so pickles are read here: by
the few steps that `torch.save` writes, none of which calls anything, each of which takes as long as the file gives it
bytes. `argparse.Namespace` is among what is known, because the training code of DeiT and of the paper keeps `args` so.
"""

from __future__ import annotations

import argparse
import io
import math
import mmap
import os
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

_MAX_PICKLE_BYTES = 2**21
"""What the pickle of a checkpoint may weigh beside its tensors; DeiT-Base with its optimizer needs 0.2 MiB."""
_MAX_PICKLE_STEPS = 2**18


class RefusedError(Exception):
    """The rest of a sentence about a file."""


class _Storage(NamedTuple):
    key: str
    dtype: torch.dtype
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


class StoredView(NamedTuple):
    """A tensor as a pickle describes it."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


class _Global(NamedTuple):
    """A class or function that a pickle names. It is never looked up."""

    name: str


@dataclass(frozen=True, eq=False)
class Saved:
    """What a file holds: `top` is what was saved, with a `StoredView` for every tensor."""

    top: Any
    data: mmap.mmap
    places: Mapping[str, int]
    """Where the bytes of each storage begin."""

    @property
    def nbytes(self) -> int:
        return len(self.data)

    def tensor(self, view: StoredView) -> Tensor:
        """The tensor itself, mapped from the file; raises `ValueError` when its bytes are not there."""
        if not math.prod(view.size):
            return torch.empty(view.size, dtype=view.dtype)
        start, count = self.places[view.storage.key], view.storage.nbytes // view.dtype.itemsize
        last = view.offset + sum(stride * (length - 1) for stride, length in zip(view.stride, view.size, strict=True))
        if last >= count or start + view.storage.nbytes > self.nbytes:
            raise ValueError("cut off")
        vector = torch.frombuffer(self.data, dtype=view.dtype, count=count, offset=start)
        return vector.as_strided(view.size, view.stride, view.offset)


def read(file: BinaryIO) -> Saved:
    """Reads a file of `torch.save`.

    Raises `RefusedError` for what is refused on purpose, and nearly every kind of error for a damaged file.
    """
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # tensors lie in it until they are copied
    top, places = (_open_zip if data[:4] == b"PK\x03\x04" else _open_legacy)(file)
    return Saved(top, data, places)


_DTYPES = {f"torch {name}": dtype for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype)}
_STORAGES = {
    f"torch {name}Storage": dtype
    for name, dtype in {
        "Double": torch.float64,
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexFloat": torch.complex64,
        "ComplexDouble": torch.complex128,
    }.items()
} | {"torch.storage UntypedStorage": torch.uint8}
_DICT, _ARGS = "collections OrderedDict", "argparse Namespace"
_TENSOR, _TENSOR_OF, _PARAMETER = (f"torch._utils _rebuild_{kind}" for kind in ("tensor_v2", "tensor_v3", "parameter"))
_PLAIN = {
    "collections Counter",
    "__builtin__ set",
    "__builtin__ complex",
    "torch Size",
    "torch device",
    "_codecs encode",
}
"""What may stand beside weights in a training checkpoint; nobody asks for its value."""
_KNOWN = {_DICT, _ARGS, _TENSOR, _TENSOR_OF, _PARAMETER, *_PLAIN}


def _open_zip(file: BinaryIO) -> tuple[Any, Mapping[str, int]]:
    """torch's format since 2020, a pickle and a record for every storage: what was saved, where each storage begins."""
    file.seek(-98, os.SEEK_END)  # the ends of two directories, of which small archives need only the second
    wide, locator, narrow = struct.unpack("<40xQ8x4s28xL6x", file.read(98))
    if max(narrow, wide if locator == b"PK\x06\x07" else 0) > _MAX_PICKLE_BYTES:
        raise RefusedError("is an archive of very many entries; weights need far fewer")
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise RefusedError("holds compressed entries; torch saves weights uncompressed")
    root = entries[0].filename.partition("/")[0]
    if archive.getinfo(f"{root}/data.pkl").file_size > _MAX_PICKLE_BYTES:
        raise RefusedError("holds a pickle of more than 2 MiB; weights need far less beside their tensors")
    if f"{root}/byteorder" in archive.namelist() and archive.read(f"{root}/byteorder") != b"little":
        raise RefusedError("was saved on a machine of the other byte order")
    pickles = _Pickles(archive.read(f"{root}/data.pkl"))
    top, places = pickles.load(), {}
    for key, storage in pickles.storages.items():
        entry = archive.getinfo(f"{root}/data/{key}")
        if entry.file_size != storage.nbytes:
            raise ValueError("storage and pickle differ in length")
        file.seek(entry.header_offset + 26)  # the lengths of the name and of what follows it, then these themselves
        places[key] = entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
    return top, places


def _open_legacy(file: BinaryIO) -> tuple[Any, Mapping[str, int]]:
    """The same of torch's format before 2020: pickles (magic number, version, system, object, keys), then storages."""
    file.seek(0)
    pickles = _Pickles(file.read(_MAX_PICKLE_BYTES))
    if pickles.load() != torch.serialization.MAGIC_NUMBER:
        raise ValueError("the magic number was expected")
    _version, _system, top, keys = (pickles.load() for _ in range(4))
    at, places = pickles.stream.tell(), {}
    for key in keys:
        file.seek(at)
        if int.from_bytes(file.read(8), "little") != pickles.storages[key].numel:
            raise ValueError("storage and pickle differ in length")
        places[key] = at + 8
        at += 8 + pickles.storages[key].nbytes
    return top, places


class _Pickles:
    """Reads the pickles that `torch.save` writes: containers, plain values, and descriptions of tensors."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)
        self.storages: dict[str, _Storage] = {}
        self.steps = 0

    def load(self) -> Any:
        """The next pickle; raises nearly every kind of error for one that is damaged."""
        stack: list[Any] = []
        marks: list[int] = []
        memo: dict[int, Any] = {}

        def pop_marked() -> list[Any]:
            mark = marks.pop()
            taken = stack[mark:]
            del stack[mark:]
            return taken

        arg: Any
        for opcode, arg, _ in pickletools.genops(self.stream):
            self.steps += 1
            if self.steps > _MAX_PICKLE_STEPS:
                raise RefusedError(f"holds a pickle of more than {_MAX_PICKLE_STEPS} steps; weights need far fewer")
            match opcode.name:
                case "PROTO":
                    pass
                case (
                    "NONE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINSTRING"
                ):
                    stack.append(arg)
                case "NEWTRUE" | "NEWFALSE":
                    stack.append(opcode.name == "NEWTRUE")
                case "EMPTY_DICT":
                    stack.append({})
                case "EMPTY_LIST" | "EMPTY_SET":
                    stack.append([])
                case "EMPTY_TUPLE":
                    stack.append(())
                case "MARK":
                    marks.append(len(stack))
                case "TUPLE":
                    stack.append(tuple(pop_marked()))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    count = int(opcode.name[-1])
                    stack[-count:] = [tuple(stack[-count:])]
                case "APPEND" | "APPENDS":
                    items = [stack.pop()] if opcode.name == "APPEND" else pop_marked()
                    _expect(stack[-1], list).extend(items)
                case "SETITEM" | "SETITEMS":
                    if opcode.name == "SETITEM":
                        marks.append(len(stack) - 2)
                    items = pop_marked()
                    # Other keys are not weights, and the hash of a tuple of tuples can take for ever.
                    keys = [_expect(key, str | int | float) for key in items[::2]]
                    _expect(stack[-1], dict).update(zip(keys, items[1::2], strict=True))
                case "BINPUT" | "LONG_BINPUT":
                    memo[arg] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[arg])
                case "GLOBAL":
                    stack.append(_global(arg))
                case "REDUCE" | "NEWOBJ":
                    args, called = stack.pop(), stack.pop()
                    stack.append(_result_of(_expect(called, _Global).name, _expect(args, tuple)))
                case "BUILD":
                    state = stack.pop()
                    if isinstance(stack[-1], argparse.Namespace):
                        stack[-1].model = _expect(state, dict).get("model")
                case "BINPERSID":
                    stack.append(self._storage(stack.pop()))
                case "STOP":
                    return stack.pop()
                case other:
                    raise ValueError(f"torch does not write {other}")
        raise ValueError("cut off")

    def _storage(self, reference: Any) -> _Storage:
        if (
            len(_expect(reference, tuple)) not in (5, 6)
            or reference[0] != "storage"
            or reference[5:] not in ((), (None,))
        ):
            raise ValueError("a storage was expected")
        _, dtype, key, _location, numel = reference[:5]
        storage = _Storage(_expect(key, str), _expect(dtype, torch.dtype), _expect(numel, int))
        if storage.numel < 0 or self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError("one length and type for each storage was expected")
        return storage


def _expect(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{kind} was expected")
    return value


def _global(name: str) -> torch.dtype | _Global:
    if name in _DTYPES or name in _STORAGES:
        return _DTYPES.get(name) or _STORAGES[name]
    if name not in _KNOWN:
        raise RefusedError(
            "holds objects beside dense tensors and plain values, which are never loaded because loading can run code"
        )
    return _Global(name)


def _result_of(name: str, args: tuple[Any, ...]) -> Any:
    """What a call would give, without calling."""
    if name == _DICT and not args:
        return {}
    if name == _ARGS and not args:
        return argparse.Namespace(model=None)
    if name == _PARAMETER:
        return _expect(args[0], StoredView)
    if name in (_TENSOR, _TENSOR_OF):
        beyond = 7 if name == _TENSOR_OF else 6
        if len(args) > 8 or any(args[beyond:]):
            raise ValueError("a tensor without conjugate or negative bit was expected")
        storage, offset, size, stride = args[:4]
        dtype = args[6] if name == _TENSOR_OF else _expect(storage, _Storage).dtype
        if not len(_expect(size, tuple)) == len(_expect(stride, tuple)) <= 64:
            raise ValueError("as many strides as lengths were expected")
        numbers = (offset, *size, *stride)
        if not all(isinstance(number, int) and 0 <= number < 2**63 for number in numbers):
            raise ValueError("lengths were expected")
        return StoredView(_expect(storage, _Storage), offset, size, stride, _expect(dtype, torch.dtype))
    if name in _PLAIN:
        return None
    raise ValueError(f"{name} was not expected to be called")
