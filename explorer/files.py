"""Files that appear whole or not at all, whatever stops the writing: a full disk included."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from explorer.places import SITE
from explorer.types import ExplorerError

ASSETS, CHECKPOINTS = SITE / "assets", SITE / "checkpoints"
"""What the explorer brings along beside its code."""


def write_atomically(path: Path, data: bytes) -> None:
    """Writes to a temporary name in the same folder, then renames.

    Raises `ExplorerError` when that fails; the file is then as it was before.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to write to, which takes its place when the block ends well and else disappears.

    Its mode is that of the file it replaces, or what the umask gives a new one, `0o666 & ~umask`.
    Raises `ExplorerError` for an `OSError` of the block, which should do nothing but write this file.
    """
    temporary = None
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        beside.touch(0o666 if mode is None else mode | 0o600, exist_ok=False)  # less what the umask takes
        temporary = beside
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # some file systems notice only now that the disk is full
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except OSError as error:
        raise ExplorerError(f"{path.name} could not be written: {why(error, path)}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def why(error: OSError, path: Path) -> str:
    """What kept `path` from being written, as the end of a sentence."""
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        return f"there is no folder {path.parent.name}"
    return reason(error)


def reason(error: OSError) -> str:
    """What the system says of an error; libraries wrap it in sentences of their own, with whole paths in them."""
    return (os.strerror(error.errno) if error.errno else str(error)).rstrip(".")
