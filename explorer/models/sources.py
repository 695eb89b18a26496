"""Where files of weights may lie, and which pair opens: the bundled one, or another the operator of the server names.

A browser names a file by a label out of `files()`, never by a path.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from explorer.files import CHECKPOINTS as BUNDLED
from explorer.models.weights import SUFFIXES
from explorer.places import PAIR_VARIABLE as PAIR_VARIABLE
from explorer.places import VARIANTS as VARIANTS
from explorer.places import named_pair, pair_file
from explorer.types import ExplorerError

BUNDLED_PAIR = "deit-small-patch16-224-200c"
"""What the bundled pair's files begin with; others may lie beside them."""
CLEAREST_LAYER = 11
"""Of the bundled pair, the late block whose maps are most concentrated (docs/adr/0036): it is what opens first."""
VARIABLE = "EXPLORER_CHECKPOINTS"


def bundled(variant: str) -> Path:
    """The bundled `standard` or `twicing` model. Raises `ExplorerError` when the folder has none."""
    path = pair_file(BUNDLED / BUNDLED_PAIR, variant)
    if not path.exists():
        raise ExplorerError(f"The bundled {variant} model was expected as {label(path)}; it is not there.")
    return path


def prefix() -> Path:
    """What the files of the pair that opens begin with: the environment's `EXPLORER_PAIR`, else the bundled pair's."""
    own = BUNDLED / BUNDLED_PAIR
    given = named_pair() or own
    return own if given.name == own.name and given.parent.resolve() == BUNDLED.resolve() else given


def opens_bundled() -> bool:
    """Whether the pair that opens is the bundled one."""
    return prefix() == BUNDLED / BUNDLED_PAIR


def opening(variant: str) -> Path:
    """The `standard` or `twicing` model of the pair that opens, and that stands where nobody names a model.

    Raises `ExplorerError` when it is not there.
    """
    if opens_bundled():
        return bundled(variant)
    path = pair_file(prefix(), variant)
    if not path.is_file():
        raise ExplorerError(
            f"{PAIR_VARIABLE} was expected to be what the two files of a pair begin with; {path} is not there."
        )
    return path


def label(path: Path) -> str:
    """What cards, records and visitors call a file: its folder's name and its own."""
    return f"{path.parent.name}/{path.name}"


def opening_layer(sources: Iterable[str]) -> int | None:
    """The layer, from 1, that is shown first of models by where they come from; `None` for the last."""
    own = {label(pair_file(BUNDLED / BUNDLED_PAIR, variant)) for variant in VARIANTS}
    return CLEAREST_LAYER if set(sources) <= own else None


def labels() -> tuple[str, ...]:
    """What the two files of the pair that opens are called, whether they are there or not."""
    return tuple(label(pair_file(prefix(), variant)) for variant in VARIANTS)


def to_load() -> list[Path]:
    """What a server loads when it starts: the pair that opens; after the bundled one, what else its folder holds.

    Raises `ExplorerError` when a file of another pair is not there.
    """
    if not opens_bundled():
        return [opening(variant) for variant in VARIANTS]
    return sorted(BUNDLED.glob("*.safetensors"), key=lambda path: (not path.name.startswith(BUNDLED_PAIR), path.name))


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
    """Every file of weights in the folders, after a pair that is named, by its label: the folder's name and the file's.

    A link that leads out of its folder is left out, as is anything but a file; of two equal labels the first counts.
    """
    own = [] if opens_bundled() else [pair_file(prefix(), variant) for variant in VARIANTS]
    by_label = {label(path): path for path in own if path.is_file()}
    for folder in folders():
        root = folder.resolve(strict=True)
        for path in sorted(folder.iterdir()):
            try:
                inside = path.resolve(strict=True)
            except OSError:
                continue
            if path.suffix in SUFFIXES and inside.is_relative_to(root) and inside.is_file():
                by_label.setdefault(f"{root.name}/{path.name}", path)
    return by_label
