"""A view of an upload as a ZIP: the image as it came and the viewer's state, to be opened again by the explorer."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from explorer.types import ExplorerError

STATE = "view.json"
_MAX_BYTES = 20 * 2**20
_MAX_STATE_BYTES = 10_000
_MAX_DIRECTORY = 200_000
"""Bytes of an archive's list of two files: names of at most 64 KB each."""
_END = struct.Struct("<4s4H2LH")
"""The end of a ZIP without a comment: a mark, numbers, the bytes of its list and where it starts."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those of which `zipfile` unpacks no more than it is asked for; bzip2 and LZMA make gigabytes of a kilobyte."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """An image file and the state of the viewer, in the words of its address."""

    name: str
    image: bytes
    state: Mapping[str, str]


def pack(bundle: Bundle) -> bytes:
    """The same bundle gives the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        state = json.dumps(dict(bundle.state), indent=2, sort_keys=True)
        archive.writestr(zipfile.ZipInfo(STATE, _EPOCH), state)
        archive.writestr(zipfile.ZipInfo(PurePosixPath(bundle.name).name or "image", _EPOCH), bundle.image)
    return stream.getvalue()


def unpack(data: bytes) -> Bundle:
    """Reads what `pack` wrote. Raises `ExplorerError` for any other ZIP, and for contents of more than 20 MB."""
    try:
        _check_directory(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            (name,) = entries.keys() - {STATE}
            if entries[name].file_size > _MAX_BYTES or entries[STATE].file_size > _MAX_STATE_BYTES:
                raise ValueError("too large")
            state = msgspec.json.decode(_bounded(archive, entries[STATE], _MAX_STATE_BYTES), type=dict[str, str])
            return Bundle(PurePosixPath(name).name, _bounded(archive, entries[name], _MAX_BYTES), state)
    except Exception as error:  # the archive's reader raises nearly every kind
        raise ExplorerError(
            "A ZIP that the explorer saved, with one image and its view, was expected; another one came."
        ) from error


def _check_directory(data: bytes) -> None:
    """Half a million names fit into 20 MB, and `zipfile` makes a record of each before it can be asked how many."""
    start = len(data) - _END.size
    mark, _, _, _, count, size, _, _ = _END.unpack_from(data, start)
    if mark != b"PK\5\6" or count != 2 or size > _MAX_DIRECTORY or data[start - 20 : start - 16] == b"PK\6\7":
        raise ValueError("not an archive of two files")


def _bounded(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    if entry.compress_type not in _METHODS:
        raise ValueError("packed in another way")
    with archive.open(entry) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError("too large")
    return data
