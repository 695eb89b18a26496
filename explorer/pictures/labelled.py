"""Labelled images in class sub-folders or Parquet files: listed first, read one by one when they are asked for.

The page and the shell's `robustness` and `evaluate` read them here, so that one folder gives one accuracy.
What the operator of a server offers lies in the folders of the environment's `EXPLORER_DATA`; a browser names it by a
label out of `offered()`, never by a path.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from explorer import files
from explorer.models.classes import ClassName, class_index, read_classes
from explorer.pictures import images
from explorer.types import ExplorerError, ImageInput, ModelCard

VARIABLE = "EXPLORER_DATA"
CLASS_LIST = "classes.tsv"
_NAMED = 6
_WNID = re.compile(r"n\d{8}")

ClassIndices = tuple[int, ...]
"""The index of a class in each model."""
Classes = Callable[[str], ClassIndices | None]
"""The class of a name, `None` where a model has none of it, or several."""
Digest = str | Callable[[], str]
"""SHA-256 of some content, known or taken when it is called."""
FileStamp = tuple[int, int]
"""Size and time of a file, by which what was read of it is known to be the same."""


@dataclass(frozen=True, eq=False)
class File:
    """A file below a folder, whose name comes first in `path`."""

    path: str
    digest: Digest
    read: Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class Item:
    """An image with its class."""

    name: str
    """Of this image alone in its listing."""
    labels: ClassIndices
    content: Digest
    read: Callable[[], bytes]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, read when it is first asked for; empty where it cannot be read."""
        try:
            return self.content if isinstance(self.content, str) else self.content()
        except ExplorerError:
            return ""


@dataclass(frozen=True, eq=False)
class Listing:
    """The images of known classes, and a sentence for what is left out."""

    items: tuple[Item, ...]
    problems: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, contents and classes."""
        identity = repr([(item.name, item.digest, item.labels) for item in self.items])
        return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()

    def at_most(self, count: int | None) -> Listing:
        """So many images, drawn by their names alone: fewer are a part of more, and the order stays; `None` is all.

        Raises `ExplorerError` for less than one.
        """
        if count is None:
            return self
        if count < 1:
            raise ExplorerError(f"At least 1 of the images was expected; {count} came.")
        drawn = sorted(range(len(self.items)), key=lambda i: _drawn(self.items[i].name))[:count]
        return Listing(tuple(self.items[i] for i in sorted(drawn)), self.problems)


def classes_of(cards: Sequence[ModelCard]) -> Classes:
    """Classes by name, WordNet id or number, as `class_index` finds them, in all models."""

    @cache
    def labels(name: str) -> ClassIndices | None:
        try:
            return tuple(class_index(card, name) for card in cards)
        except ExplorerError:
            return None

    return labels


def in_folders(candidates: Iterable[File], classes: Classes) -> Listing:
    """The images of `folder/class/.../name`, or of `class/name`.

    Hidden files and files without an image's suffix are skipped; folders that are no class are said.
    """

    def folder(file: File) -> str:
        folders = _parts(file)[:-1]
        return folders[min(1, len(folders) - 1)] if folders else "no folder"

    return _listed("Folders", ((file, folder(file)) for file in candidates), classes)


def _by_names(candidates: Iterable[File], classes: Classes) -> Listing:
    """The images of a folder without sub-folders, by the WordNet ids in their names: `n02124075_cat.JPEG`."""
    ids = ((file, _WNID.search(_parts(file)[-1])) for file in candidates)
    return _listed("Classes", ((file, wnid[0] if wnid else "no WordNet id") for file, wnid in ids), classes)


def _listed(kind: str, pairs: Iterable[tuple[File, str]], classes: Classes) -> Listing:
    """The images among files with their classes' names."""
    items: list[Item] = []
    unknown: dict[str, int] = {}
    for file, name in pairs:
        parts = _parts(file)
        if any(part.startswith(".") for part in parts[min(1, len(parts) - 1) :]) or not _is_image(parts[-1]):
            continue
        labels = classes(name)
        if labels is None:
            unknown[name] = unknown.get(name, 0) + 1
        else:
            items.append(Item(file.path, labels, file.digest, file.read))
    return Listing(tuple(items), _left_out(kind, unknown))


def _parts(file: File) -> list[str]:
    return file.path.replace("\\", "/").split("/")


def decoded(items: Iterable[Item], broken: Callable[[str], object]) -> Iterator[tuple[Item, ImageInput]]:
    """The images that can be read, one by one; `broken` is told which cannot, and why."""
    for item in items:
        try:
            image = images.decode(item.read())
        except ExplorerError as error:
            broken(f"{item.name}: {error}")
            continue
        yield item, image


def offered() -> dict[str, Path]:
    """What the folders in `EXPLORER_DATA`, separated as in `PATH`, hold: by label a Parquet file or a folder.

    A folder is offered where it has sub-folders, a Parquet file where `classes.tsv` lies beside it. A link that leads
    out of its folder is left out; of two equal labels the first counts. Raises `ExplorerError` for a folder that is
    not there.
    """
    by_label: dict[str, Path] = {}
    for named in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        try:
            root = Path(named).resolve(strict=True)
            entries = sorted(root.iterdir())
        except OSError as error:
            raise ExplorerError(f"{VARIABLE} was expected to name folders; {Path(named).name} is none.") from error
        if any(entry.is_dir() and not entry.name.startswith(".") for entry in entries):
            by_label.setdefault(root.name, root)
        if not (root / CLASS_LIST).is_file():
            continue
        for path in entries:
            if path.suffix == ".parquet" and path.is_file() and path.resolve().is_relative_to(root):
                by_label.setdefault(f"{root.name}/{path.name}", path)
    return by_label


def from_paths(paths: Sequence[Path], cards: Sequence[ModelCard], class_list: Path | None = None) -> Listing:
    """The images of Parquet files and folders, for whoever may read every file: links are followed.

    A folder without sub-folders is read by the WordNet ids in its files' names. Parquet files take their classes from
    `class_list`, or from the `classes.tsv` beside them; where no model names its classes, labels are their numbers.
    Raises `ExplorerError` for what cannot be read, for two images of one name, and when none is of the models' classes.
    """
    given = read_classes(class_list) if class_list else None
    classes = classes_of(cards)
    listings = []
    for path in map(Path.absolute, paths):
        known, beside = given, path.parent / CLASS_LIST
        if not path.exists():
            raise ExplorerError(f"Expected Parquet files or a folder; there is no {path.name}.")
        if path.is_file() and known is None:
            if not beside.is_file():
                raise ExplorerError("Parquet data needs a class list (index, wnid, name); none was given.")
            known = read_classes(beside)
        if known and not any(card.wnids or card.classes for card in cards):
            known = tuple(ClassName(str(label), class_name.name) for label, class_name in enumerate(known))
        listings.append(listing(path, classes, known, follow=True))
    items = tuple(item for part in listings for item in part.items)
    problems = tuple(problem for part in listings for problem in part.problems)
    if len({item.name for item in items}) < len(items):
        raise ExplorerError(f"Data of different names were expected; {', '.join(path.name for path in paths)} came.")
    if not items:
        why = f": {problems[0][0].lower()}{problems[0][1:]}" if problems else "."
        raise ExplorerError(f"Images of classes of the models were expected; none came{why}")
    return Listing(items, problems)


def listing(
    path: Path, classes: Classes, class_list: Sequence[ClassName] | None = None, *, follow: bool = False
) -> Listing:
    """The images of a folder or a Parquet file, such as those out of `offered()`; `follow` takes links out of it, too.

    Raises `ExplorerError` for what cannot be read.
    """
    if not path.is_dir():
        return _in_parquet(path, classes, read_classes(path.parent / CLASS_LIST) if class_list is None else class_list)
    candidates = _below(path, follow)
    has_folders = any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir())
    return in_folders(candidates, classes) if has_folders else _by_names(candidates, classes)


def _below(root: Path, follow: bool) -> Iterator[File]:
    """Files below the folder, sorted by path. Links that lead out are left out, unless they are to be followed: those
    to files and those to folders of classes, but none deeper, which might lead in circles."""
    for folder, names, inside in os.walk(root, followlinks=follow):
        names[:] = sorted(name for name in names if Path(folder) == root or not Path(folder, name).is_symlink())
        for name in sorted(inside):
            path = Path(folder, name)
            if not _is_image(name) or (not follow and path.is_symlink() and not path.resolve().is_relative_to(root)):
                continue
            try:
                stamp = _stamp(path)
            except OSError:
                continue
            relative = (Path(root.name) / path.relative_to(root)).as_posix()
            yield File(relative, partial(_sha256, path, stamp), partial(_bytes, path))


def _in_parquet(path: Path, classes: Classes, known: Sequence[ClassName]) -> Listing:
    by_label = [classes(class_name.wnid) or classes(class_name.name) for class_name in known]
    try:
        files.check_file(path)
        stamp = _stamp(path)
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
            items.append(Item(name, labels, partial(_sha256, path, stamp, row), partial(_row, path, stamp, row)))
    return Listing(tuple(items), _left_out("Classes", unknown))


def _stamp(path: Path) -> FileStamp:
    info = path.stat()
    return info.st_size, info.st_mtime_ns


@lru_cache(maxsize=8192)
def _sha256(path: Path, stamp: FileStamp, row: int | None = None) -> str:
    """Of a file, or of the image in one row of it, as it was at `stamp`."""
    return hashlib.sha256(_bytes(path) if row is None else _row(path, stamp, row)).hexdigest()


def _row(path: Path, stamp: FileStamp, row: int) -> bytes:
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
def _groups(path: Path, stamp: FileStamp) -> tuple[int, ...]:
    """Rows in each row group of the file as it was at `stamp`."""
    metadata = pq.ParquetFile(path).metadata
    return tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))


@lru_cache(maxsize=1)
def _group(path: Path, stamp: FileStamp, group: int) -> Any:
    """The images of one row group; only the last one is kept."""
    return pq.ParquetFile(path).read_row_group(group, columns=["image"])["image"]


def _bytes(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise ExplorerError(f"{path.name} cannot be read: {files.reason(error)}.") from error


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in images.SUFFIXES


def _drawn(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _left_out(kind: str, unknown: dict[str, int]) -> tuple[str, ...]:
    if not unknown:
        return ()
    names = [name[:40] for name in unknown]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    count = sum(unknown.values())
    said = f"{', '.join(names[:_NAMED])}{more} ({count} images)"
    return (f"{kind} that are not one class of the models are left out: {said}.",)
