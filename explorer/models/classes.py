"""Classes by their names: of a model, and of data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer import files
from explorer.types import ExplorerError, ModelCard

_MAX_LIST_BYTES = 2**26


@dataclass(frozen=True)
class ClassName:
    """A class of the data: its WordNet id and its English name."""

    wnid: str
    name: str


def class_index(card: ModelCard, text: str) -> int:
    """The class called `text`: its name, WordNet id or number from 0.

    Raises `ExplorerError` when the model has none of that name, or several: ImageNet-1k has two cranes.
    """
    wanted = text.strip().casefold()
    for known in (card.wnids, card.classes):
        indices = [index for index, name in enumerate(known) if name.casefold() == wanted]
        if len(indices) > 1:
            ids = ", ".join(card.wnids[index] if card.wnids else str(index) for index in indices)
            raise ExplorerError(f"{card.name} calls several classes {text[:60]!r}: one of {ids} was expected.")
        if indices:
            return indices[0]
    if wanted.isdecimal() and int(wanted) < card.outputs:
        return int(wanted)
    raise ExplorerError(
        f"A class of {card.name} was expected, by its name, WordNet id or number from 0 to {card.outputs - 1}; "
        f"{text[:60]!r} came."
    )


def class_name(card: ModelCard, index: int) -> str:
    """What a model's class is called."""
    return card.classes[index] if card.classes else f"class {index}"


def read_classes(path: Path) -> tuple[ClassName, ...]:
    """Reads `index <tab> wnid <tab> name, synonyms` lines in any order; the first name is kept.

    Raises `ExplorerError` unless the indices are 0, 1, 2, ...: they are the labels of Parquet files.
    """
    try:
        text = files.read(path, _MAX_LIST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ExplorerError(f"{path.name} cannot be read as a class list.") from error
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    if any(len(row) < 3 for row in rows):
        raise ExplorerError(f"{path.name} needs lines of index, wnid and name separated by tabs.")
    by_index = {row[0].strip(): ClassName(row[1], row[2].split(",")[0].strip()) for row in rows}
    expected = [str(index) for index in range(len(rows))]
    if by_index.keys() != set(expected):
        raise ExplorerError(f"{path.name} needs the indices 0 to {len(rows) - 1}, each once, in its first column.")
    return tuple(map(by_index.__getitem__, expected))


def select(classes: Sequence[ClassName], wnids: Iterable[str] | None) -> tuple[int, ...]:
    """Indices into `classes` of the chosen WordNet ids, in the order of `classes`; all of them for `None`."""
    if wnids is None:
        return tuple(range(len(classes)))
    wanted = set(wnids)
    unknown = sorted(wanted - {c.wnid for c in classes})
    if unknown:
        raise ExplorerError(f"The data has no classes called {', '.join(unknown)}.")
    return tuple(i for i, c in enumerate(classes) if c.wnid in wanted)
