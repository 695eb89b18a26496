"""Files that appear whole or not at all, whatever stops the writing, and a guard before what is read.

What is no file, a pipe or a device, is never replaced: what is to go there is made elsewhere, then written to it.
"""

from __future__ import annotations

import errno
import math
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TextIO

import filelock

from explorer.places import SITE
from explorer.types import ExplorerError

ASSETS, CHECKPOINTS = SITE / "assets", SITE / "checkpoints"
"""What the explorer brings along beside its code."""
MAX_BYTES = 2**29
"""Of a file that is read at once: more than any image that is decoded takes, and it fits into memory."""
MAX_WEIGHTS_BYTES = 2**34
"""Of a file of weights: 16 GiB, twice what the largest transformer of timm's has in float32."""
_NOW = getattr(os, "O_NONBLOCK", 0) | getattr(
    os, "O_BINARY", 0
)  # a pipe is opened whether or not somebody writes to it


class UnwrittenError(ExplorerError):
    """A file or a folder that could not be written, as on a full disk: what comes next would not be, either."""


@cache
def asset(name: str) -> str:
    """The text of a file of `assets/`, read once: every run of a page asks for some."""
    return (ASSETS / name).read_text(encoding="utf-8")


def read(path: Path, at_most: int = MAX_BYTES) -> bytes:
    """What a file holds, a link's included.

    Raises `OSError`, and `ExplorerError` for what is no file, which might never end, and for one that is larger.
    """
    with open(os.open(path, os.O_RDONLY | _NOW), "rb") as file:
        info = os.fstat(file.fileno())
        _check_kind(path, info)
        if info.st_size <= at_most:
            data = file.read(at_most + 1)
            if len(data) <= at_most:
                return data
    raise _too_large(path, info, at_most)


def check_file(path: Path, at_most: float = math.inf) -> None:
    """Raises `ExplorerError` for what is there and is no file, and would be waited for by whoever opens it.

    And for a file of more bytes than it may have at most.
    """
    with suppress(OSError):  # which whoever opens it says
        info = path.stat()
        _check_kind(path, info)
        if info.st_size > at_most:
            raise _too_large(path, info, at_most)


def _too_large(path: Path, info: os.stat_result, at_most: float) -> ExplorerError:
    most, size = at_most / 2**20, info.st_size / 2**20
    return ExplorerError(f"{path.name} was expected to have at most {most:.6g} MiB; it has {size:.0f}.")


def _check_kind(path: Path, info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(info.st_mode):
        raise ExplorerError(f"{path.name} was expected to be a file; it is a device or a pipe.")


def write_atomically(path: Path, data: bytes) -> None:
    """Writes to a temporary name in the same folder, then renames.

    Raises `UnwrittenError` when that fails; the file is then as it was before.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to write to, which takes its place when the block ends well and else disappears.

    Its mode is that of the file it replaces, or what the umask gives a new one, `0o666 & ~umask`. A link stays one, and
    what it leads to is replaced. A pipe, a device and the standard output, by whatever name, are written to when the
    block ends well. What a killed process left of the same file is removed.
    Raises `UnwrittenError` for an `OSError` of the block, which should do nothing but write this file.
    """
    try:
        info = _info(path)
        output = _output(info)
        if output or (info and not stat.S_ISREG(info.st_mode)):
            with _temporary(Path(tempfile.gettempdir(), path.name), 0o600) as temporary:
                yield temporary
                _pass_on(temporary, path, output)
            return
        target, mode = Path(os.path.realpath(path)), stat.S_IMODE(info.st_mode) if info else None
        with _temporary(target, 0o666 if mode is None else mode | 0o600) as temporary:  # less what the umask takes
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # some file systems notice only now that the disk is full
            if mode is not None:
                temporary.chmod(mode)
            os.replace(temporary, target)
    except OSError as error:
        raise UnwrittenError(f"{path.name} could not be written: {why(error, path)}.") from error


def append(path: Path, data: bytes) -> None:
    """Adds to the end of a file, all of it or nothing. Raises `UnwrittenError`."""
    check_file(path)
    try:
        with path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise UnwrittenError(f"{path.name} could not be written: {why(error, path)}.") from error


def remove(path: Path) -> None:
    """Removes a file, if it is there, and what killed processes left of it."""
    path.unlink(missing_ok=True)
    _sweep(path)


def make_folder(folder: Path) -> None:
    """Makes a folder with those above it, unless it is there. Raises `UnwrittenError`, also where it is read-only."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwrittenError(f"{folder} cannot be made: {reason(error)}.") from error
    if not os.access(folder, os.W_OK):
        raise UnwrittenError(f"{folder} cannot be written to.")


def _info(path: Path) -> os.stat_result | None:
    """Of what is there, behind all links; none of a new name."""
    try:
        info = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return info


def _output(info: os.stat_result | None) -> TextIO | None:
    """The standard output or the one for errors, if it is what is there: `/dev/stdout`, or the file it goes to."""
    for output in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or another object, as in a notebook
            if info and os.path.samestat(info, os.fstat(output.fileno())):
                return output
    return None


def _pass_on(temporary: Path, path: Path, output: TextIO | None) -> None:
    """Writes a file to a pipe or a device; to what is an output already, behind what it was given before."""
    if output:
        output.flush()
    with temporary.open("rb") as file, open(os.dup(output.fileno()) if output else path, "wb") as stream:
        shutil.copyfileobj(file, stream)


@contextmanager
def _temporary(path: Path, mode: int) -> Iterator[Path]:
    """A new file with a name of its own beside `path`, locked while the block lasts, and gone afterwards."""
    _sweep(path)
    temporary, descriptor = _create(path, mode)
    try:
        yield temporary
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def _create(path: Path, mode: int) -> tuple[Path, int]:
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        _has_lock(descriptor)
        if temporary.exists():  # else another process has swept it away, before it was locked
            return temporary, descriptor
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Removes what killed processes left of a file: temporary names of it that nobody has locked."""
    ours = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{8}")
    with suppress(OSError):  # of a folder that cannot be listed
        for left in [entry for entry in path.parent.iterdir() if ours.fullmatch(entry.name)]:
            with suppress(OSError), open(os.open(left, os.O_RDWR | _NOW | os.O_NOFOLLOW), "rb") as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode) and _has_lock(file.fileno()):
                    left.unlink()


def _has_lock(descriptor: int) -> bool:
    """Whether the descriptor now has the lock of its file; none has it on file systems without locks."""
    try:
        return filelock.lock_descriptor(descriptor, blocking=False)
    except OSError:
        return False


def cell(text: str) -> str:
    """Text for a cell of a CSV, behind an apostrophe where a spreadsheet would take it for a formula."""
    return f"'{as_text(text)}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else as_text(text)


def cells(row: Iterable[object]) -> list[object]:
    """A row of a CSV: its texts as `cell` writes them, its numbers as they are."""
    return [cell(value) if isinstance(value, str) else value for value in row]


def as_text(name: str) -> str:
    """A name of a file as Unicode: bytes of it that are none become `\\udce9` and the like."""
    return name.encode("utf-8", "backslashreplace").decode()


def why(error: OSError, path: Path) -> str:
    """What kept `path` from being written, as the end of a sentence."""
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        return f"there is no folder {path.parent.name}"
    return reason(error)


def reason(error: OSError) -> str:
    """What the system says of an error; libraries wrap it in sentences of their own, with whole paths in them."""
    return (os.strerror(error.errno) if error.errno else str(error)).rstrip(".")
