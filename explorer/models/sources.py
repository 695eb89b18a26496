"""Where files of weights may lie: the bundled folder, and others the operator of the server names.

A browser names a file by a label out of `files()`, never by a path.
"""

from __future__ import annotations

import os
from pathlib import Path

from explorer.models.weights import SUFFIXES
from explorer.types import ExplorerError

BUNDLED = Path(__file__).parents[2] / "checkpoints"
BUNDLED_PAIR = "deit-tiny-patch8-64-20c"
"""What the bundled pair's files begin with; others may lie beside them."""
VARIABLE = "EXPLORER_CHECKPOINTS"


def bundled(variant: str) -> Path:
    """The bundled `standard` or `twicing` model. Raises `ExplorerError` when the folder has none."""
    path = BUNDLED / f"{BUNDLED_PAIR}-{variant}.safetensors"
    if not path.exists():
        raise ExplorerError(f"The bundled {variant} model was expected as {BUNDLED.name}/{path.name}; it is not there.")
    return path


def folders() -> list[Path]:
    """The bundled folder, then those in the environment's `EXPLORER_CHECKPOINTS`, separated as in `PATH`.

    Raises `ExplorerError` for a folder that is not there.
    """
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    for folder in named:
        if not folder.is_dir():
            raise ExplorerError(f"{VARIABLE} was expected to name folders; {folder} is none.")
    return [BUNDLED, *named]


def files() -> dict[str, Path]:
    """Every file of weights in the folders by its label, which is the folder's name and the file's.

    A link that leads out of its folder is left out, as is anything but a file; of two equal labels the first counts.
    """
    found: dict[str, Path] = {}
    for folder in folders():
        root = folder.resolve(strict=True)
        for path in sorted(folder.iterdir()):
            try:
                inside = path.resolve(strict=True)
            except OSError:
                continue
            if path.suffix in SUFFIXES and inside.is_relative_to(root) and inside.is_file():
                found.setdefault(f"{root.name}/{path.name}", path)
    return found
