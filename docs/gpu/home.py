"""The way back: a file in parts under 16 MiB, and here the parts as a file again, if all bytes are the same.

parts.json                by the name of each file: its SHA-256 and the names of its parts
<digest>-<number>.part    a part; one of an older copy is gone once the manifest knows the new one
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from explorer import files
from explorer.types import ExplorerError

PART = 15 * 2**20
"""Bytes of a part: 16 MiB may travel at once."""
_MANIFEST = "parts.json"
_DIGITS = 12
"""Of a digest, in the names of its parts."""


def split(content: bytes, name: str, out: Path) -> None:
    """Puts a file into `out` in parts; a copy of the same name is replaced once the new one is there as a whole."""
    digest = hashlib.sha256(content).hexdigest()
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, first in enumerate(range(0, len(content), PART), start=1):
        parts.append(f"{digest[:_DIGITS]}-{number}.part")
        files.write_atomically(out / parts[-1], content[first : first + PART])
    _write(out, _read(out) | {name: {"sha256": digest, "parts": parts}})


def drop(name: str, out: Path) -> None:
    """Takes a file out again, if it is there: the way is narrow."""
    manifest = _read(out)
    if manifest.pop(name, None):
        _write(out, manifest)


def join(folder: Path, out: Path) -> list[Path]:
    """Writes all files of a folder of parts into `out`.

    Raises `ExplorerError` for a folder without a manifest, a part that is missing, and bytes that are not the same.
    """
    if not (manifest := _read(folder)):
        raise ExplorerError(f"A folder with parts and their {_MANIFEST} was expected; {folder.name} is none.")
    out.mkdir(parents=True, exist_ok=True)
    for name, entry in manifest.items():
        if missing := [part for part in entry["parts"] if not (folder / part).exists()]:
            raise ExplorerError(f"{len(entry['parts'])} parts of {name} were expected; {missing[0]} is missing.")
        content = b"".join((folder / part).read_bytes() for part in entry["parts"])
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ExplorerError(f"The bytes of {name} were expected to have its SHA-256; they came with another.")
        files.write_atomically(out / name, content)
    return [out / name for name in manifest]


def _read(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_bytes())
        return manifest
    except FileNotFoundError:
        return {}


def _write(out: Path, manifest: dict[str, Any]) -> None:
    """The manifest first, then what it does not know goes."""
    files.write_atomically(out / _MANIFEST, json.dumps(manifest, indent=1).encode())
    known = {part for entry in manifest.values() for part in entry["parts"]}
    for path in out.glob("*.part"):
        if path.name not in known:
            path.unlink()
