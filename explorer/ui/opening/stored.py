"""The bytes of the start page as it opens, which were made by a command and are painted before anything is loaded.

`docs/make_opening.py` writes them. They are of the bundled pair and of one photograph, and are used for nothing else:
the digests of the three files must be those in their header. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from explorer.files import ASSETS, CHECKPOINTS
from explorer.places import named_pair
from explorer.types import ExplorerError

FILE = ASSETS / "opening.bin"


def stored() -> bytes | None:
    """The bytes, or nothing where the file is not there."""
    try:
        return FILE.read_bytes()
    except OSError:
        return None


def header_of(payload: bytes) -> dict[str, Any]:
    """The header of the bytes of a start page."""
    header: dict[str, Any] = json.loads(payload[8 : 8 + int.from_bytes(payload[4:8], "little")])
    return header


def provenance_of(payload: bytes) -> dict[str, Any]:
    """What the bytes were made of: `image`, its SHA-256, and `models`."""
    said: dict[str, Any] = header_of(payload)["provenance"]
    return said


def of_files() -> bytes | None:
    """The bytes, where the pair that will be loaded and the first example are what they were made of."""
    payload = None if named_pair() else stored()
    if payload is None:
        return None
    from explorer.pictures import examples  # with numpy and Pillow, which a server that starts does not wait for

    said = provenance_of(payload)
    try:
        photograph = examples.read(examples.EXAMPLES[0])
        files = [CHECKPOINTS.parent / model["source"] for model in said["models"]]
        digests = [hashlib.sha256(photograph).hexdigest(), *map(_digest, files)]
    except (OSError, ExplorerError):
        return None
    return payload if digests == [said["image"], *(model["sha256"] for model in said["models"])] else None


def for_view(digest: str, models: Sequence[Mapping[str, Any]], link: Mapping[str, str]) -> bytes | None:
    """The bytes, where they are of this photograph and of these models as they are loaded, and lead to the same view.

    Whether linear layers compute on packed weights, which depends on the machine, changes no picture that can be seen.
    """
    payload = stored()
    asked = {"image": digest, "models": [_without_packing(model) for model in models]}
    return payload if payload and provenance_of(payload) == asked and header_of(payload)["link"] == dict(link) else None


def _without_packing(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key != "packed"}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
