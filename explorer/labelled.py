"""Labelled images in class sub-folders or Parquet files: listed first, read one by one when they are asked for.

What the operator of a server offers lies in the folders of the environment's `EXPLORER_DATA`; a browser names it by a
label out of `offered()`, never by a path.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from explorer import files, images
from explorer.attribution.classes import class_index
from explorer.training.data import read_classes
from explorer.types import ExplorerError, ModelCard

VARIABLE = "EXPLORER_DATA"
CLASS_LIST = "classes.tsv"
_NAMED = 6

Labels = tuple[int, ...]
"""The index of a class in each model."""
Classes = Callable[[str], Labels | None]
"""The class of a name, `None` where a model has none of it."""


@dataclass(frozen=True, eq=False)
class File:
    """A file below a folder, whose name comes first in `path`."""

    path: str
    digest: str
    """Changes with the content."""
    read: Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class Item:
    """An image with its class."""

    name: str
    """Of this image alone in its listing."""
    labels: Labels
    digest: str
    read: Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class Listing:
    """The images of known classes, and a sentence for what is left out."""

    items: tuple[Item, ...]
    problems: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, contents and classes."""
        told = repr([(item.name, item.digest, item.labels) for item in self.items])
        return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()

    def at_most(self, count: int) -> Listing:
        """So many images, drawn by their names alone: fewer are a part of more, and the order stays."""
        drawn = sorted(range(len(self.items)), key=lambda i: _drawn(self.items[i].name))[:count]
        return Listing(tuple(self.items[i] for i in sorted(drawn)), self.problems)


def classes_of(cards: Sequence[ModelCard], counts: Sequence[int]) -> Classes:
    """Classes by name, WordNet id or number, as `class_index` finds them, in all models; `counts` are their classes."""

    @cache
    def labels(name: str) -> Labels | None:
        try:
            return tuple(class_index(card, count, name) for card, count in zip(cards, counts, strict=True))
        except ExplorerError:
            return None

    return labels


def in_folders(found: Iterable[File], classes: Classes) -> Listing:
    """The images of `folder/class/.../name`, or of `class/name`.

    Hidden files and files without an image's suffix are skipped; folders that are no class are said.
    """
    items: list[Item] = []
    unknown: dict[str, int] = {}
    for file in found:
        *folders, name = file.path.replace("\\", "/").split("/")
        if any(part.startswith(".") for part in (*folders[1:], name)) or not _is_image(name):
            continue
        folder = folders[min(1, len(folders) - 1)] if folders else ""
        labels = classes(folder)
        if labels is None:
            unknown[folder] = unknown.get(folder, 0) + 1
        else:
            items.append(Item(file.path, labels, file.digest, file.read))
    return Listing(tuple(items), _left_out("Folders", unknown))


def offered() -> dict[str, Path]:
    """What the folders in `EXPLORER_DATA`, separated as in `PATH`, hold: by label a Parquet file or a folder.

    A folder is offered where it has sub-folders, a Parquet file where `classes.tsv` lies beside it. A link that leads
    out of its folder is left out; of two equal labels the first counts. Raises `ExplorerError` for a folder that is
    not there.
    """
    found: dict[str, Path] = {}
    for named in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        try:
            root = Path(named).resolve(strict=True)
            entries = sorted(root.iterdir())
        except OSError as error:
            raise ExplorerError(f"{VARIABLE} was expected to name folders; {Path(named).name} is none.") from error
        if any(entry.is_dir() and not entry.name.startswith(".") for entry in entries):
            found.setdefault(root.name, root)
        if not (root / CLASS_LIST).is_file():
            continue
        for path in entries:
            if path.suffix == ".parquet" and path.is_file() and path.resolve().is_relative_to(root):
                found.setdefault(f"{root.name}/{path.name}", path)
    return found


def listing(path: Path, classes: Classes) -> Listing:
    """The images of a folder or a Parquet file out of `offered()`. Raises `ExplorerError` for what cannot be read."""
    return in_folders(_below(path), classes) if path.is_dir() else _in_parquet(path, classes)


def _below(root: Path) -> Iterator[File]:
    """Files below the folder, sorted by path; links to folders are not followed, and none that leads out."""
    for folder, names, inside in os.walk(root):
        names.sort()
        for name in sorted(inside):
            path = Path(folder, name)
            if not _is_image(name) or (path.is_symlink() and not path.resolve().is_relative_to(root)):
                continue
            try:
                info = path.stat()
            except OSError:
                continue
            shown = (Path(root.name) / path.relative_to(root)).as_posix()
            yield File(shown, f"{shown}:{info.st_size}:{info.st_mtime_ns}", partial(_bytes, path))


def _in_parquet(path: Path, classes: Classes) -> Listing:
    known = read_classes(path.parent / CLASS_LIST)
    by_label = [classes(one.wnid) or classes(one.name) for one in known]
    try:
        stamp = path.stat().st_mtime_ns
        column = pq.read_table(path, columns=["label"])["label"].to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ExplorerError(f"{path.name} is not a Parquet file with the columns image and label.") from error
    items: list[Item] = []
    unknown: dict[str, int] = {}
    for row, label in enumerate(column):
        is_known = isinstance(label, int) and 0 <= label < len(known)
        labels = by_label[label] if is_known else None
        if labels is None:
            name = known[label].name if is_known else f"label {label}"
            unknown[name] = unknown.get(name, 0) + 1
        else:
            name = f"{path.name}:{row}"
            items.append(Item(name, labels, f"{name}:{stamp}", partial(_row, path, stamp, row)))
    return Listing(tuple(items), _left_out("Classes", unknown))


def _row(path: Path, stamp: int, row: int) -> bytes:
    try:
        start = 0
        for group, rows in enumerate(_groups(path, stamp)):
            if row < start + rows:
                data = _group(path, stamp, group)[row - start].as_py()
                if isinstance(data, bytes):
                    return data
                break
            start += rows
    except (OSError, pa.ArrowException) as error:
        raise ExplorerError(f"{path.name} cannot be read.") from error
    raise ExplorerError(f"{path.name} was expected to hold the bytes of images; row {row} holds something else.")


@lru_cache(maxsize=8)
def _groups(path: Path, stamp: int) -> tuple[int, ...]:
    """Rows in each row group of the file as it was at `stamp`."""
    metadata = pq.ParquetFile(path).metadata
    return tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))


@lru_cache(maxsize=1)
def _group(path: Path, stamp: int, group: int) -> Any:
    """The images of one row group; only the last one is kept."""
    return pq.ParquetFile(path).read_row_group(group, columns=["image"])["image"]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExplorerError(f"{path.name} cannot be read: {files.reason(error)}.") from error


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in images.SUFFIXES


def _drawn(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _left_out(what: str, unknown: dict[str, int]) -> tuple[str, ...]:
    if not unknown:
        return ()
    names = [name[:40] or "no folder" for name in unknown]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    count = sum(unknown.values())
    return (
        f"{what} that are no class of both models are left out: {', '.join(names[:_NAMED])}{more} ({count} images).",
    )
