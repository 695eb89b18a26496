"""Token-similarity curves of every image in a folder, however many there are, under two models.

Memory does not grow with the number of images but for the names in one sub-folder. What was measured stays in a hidden
partial file beside the result, so that a run that was killed goes on; images are measured in chunks of consecutive
files of the sorted list, so that no number depends on where a run was stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer import files, provenance
from explorer.jobs.passes import SimilarityJob
from explorer.measures.settings import Definition
from explorer.pictures import images, preprocess
from explorer.runs.partial import (
    ROWS,
    Partial,
    Row,
    check_out,
    check_size,
    is_same,
    keeping,
    settings_file,
    stamp_of,
    write_table,
)
from explorer.serving.batches import map_batches
from explorer.serving.pair import ModelPair
from explorer.types import ROLES, ExplorerError, ImageInput, ModelCard, Preprocessing

CHUNK = 8
"""Images of a pass."""
MADE_BY = "python -m explorer similarity"
SECOND = "second"
"""What columns call the second model where its operator is not twicing."""


@dataclass(frozen=True)
class FolderStep:
    """How far a run has come; `done` counts the images of earlier runs and the `failed` ones."""

    done: int
    total: int
    failed: int


@dataclass(frozen=True)
class FolderEntry:
    """A file or a sub-folder of the walk: its path below the folder with `/`, and why it is not to be opened."""

    image: str
    path: Path
    error: str = ""

    def stamp(self) -> tuple[str, int, int]:
        return stamp_of(self.image, self.path)

    def read(self) -> bytes:
        """Raises `ExplorerError` for what is not to be read."""
        if self.error:
            raise ExplorerError(self.error)
        try:
            return files.read(self.path)
        except OSError as error:
            raise ExplorerError(f"This file cannot be read: {files.reason(error)}.") from error


@dataclass(frozen=True, eq=False)
class _Read:
    """A row without its numbers, and what the models see of the image: no more of it is kept or sent."""

    row: Row
    views: Mapping[Preprocessing, ImageInput] = field(default_factory=dict)


def measure(
    folder: Path, pair: ModelPair, out: Path, definition: Definition = Definition()
) -> Generator[FolderStep, None, None]:
    """Writes the curves of both models for each image below `folder` to `out`, CSV or Parquet by its suffix.

    Columns: `image` (path below the folder), `sha256`, `error`, `baseline_0..L` and `twicing_0..L`, or `second_0..L`
    where that model is not twicing (see `similarity.token_similarity`; 0 is the embedding). Hidden files and files
    without an image's suffix are skipped; an image or a sub-folder that cannot be read is a row with its error. Beside
    `out` a JSON holds the settings.

    Runs as the result is iterated. Started again, it goes on after the last chunk whose files are the same, see
    `partial.is_same`: what follows is measured anew, so that the table is always that of one folder.

    Raises `ExplorerError` for a folder without images, another suffix, or a file that cannot be written.
    """
    check_out(out, MADE_BY)
    check_size(out, provenance.of_pair(pair.cards))
    if not folder.is_dir():
        raise ExplorerError(f"A folder of images was expected; {folder} is {'none' if folder.exists() else 'missing'}.")
    identity = json.dumps(
        [str(folder.resolve()), CHUNK, settings(pair, definition), *(card.key for card in pair.cards)]
    )
    digest = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    total = sum(1 for _ in walk(folder))
    if not total:
        suffixes = ", ".join(sorted(images.SUFFIXES))
        raise ExplorerError(f"A folder with images ({suffixes}) was expected; {folder} holds none.")
    return _run(folder, pair, out, definition, out.with_name(f".{out.name}.{digest}.partial"), total)


def walk(folder: Path) -> Iterator[FolderEntry]:
    """The files with an image's suffix, sorted by their paths below `folder`; links to folders are not followed.

    Raises `ExplorerError` when the folder itself cannot be listed; a sub-folder that cannot is given with its error.
    """
    try:
        yield from _below(folder, "")
    except OSError as error:
        raise ExplorerError(f"{folder} cannot be listed: {files.reason(error)}.") from error


def columns(pair: ModelPair) -> list[str]:
    """Names of the columns of numbers, one for each state of each model."""
    return [f"{side}_{state}" for side, card in _sides(pair).items() for state in range(len(card.filter) + 1)]


def _sides(pair: ModelPair) -> dict[str, ModelCard]:
    """What columns call the models; only one that twices is called so."""
    return {ROLES[0]: pair.baseline, ROLES[1] if pair.twicing.is_twicing else SECOND: pair.twicing}


def settings(pair: ModelPair, definition: Definition) -> dict[str, Any]:
    """What fixes the numbers, beyond the images: the definition, the models, the kind of device and the versions."""
    return {
        "made_by": MADE_BY,
        "definition": definition.sentence(),
        **asdict(definition),
        "models": provenance.of_pair(pair.cards),
        "device": pair.engine.device.type,
        "versions": provenance.versions(),
    }


def _run(
    folder: Path, pair: ModelPair, out: Path, definition: Definition, unfinished: Path, total: int
) -> Generator[FolderStep, None, None]:
    names = columns(pair)
    with Partial(unfinished, out, ROWS) as rows:
        chunks = _chunks(walk(folder))
        done, failed, changed = _kept(rows, chunks, len(names))
        yield FolderStep(done, max(total, done), failed)
        answers = map_batches(pair.engine, SimilarityJob(definition), chain(changed, chunks), _reading(pair))
        with closing(answers):
            for chunk in (_rows(*answer, pair) for answer in answers):
                with keeping(out, done):
                    rows.append(chunk)
                done += len(chunk)
                failed += sum(bool(row.error) for row in chunk)
                yield FolderStep(done, max(total, done), failed)
        with keeping(out, done):
            said = settings(pair, definition) | {"images": done, "errors": failed}
            said["columns"] = {side: card.title for side, card in _sides(pair).items()}
            text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
            files.write_atomically(settings_file(out), text.encode())
            write_table((row for row, _ in rows.rows()), names, out)
        rows.remove()


def _below(folder: Path, prefix: str) -> Iterator[FolderEntry]:
    """A folder's name sorts as if it ended in `/`, which is the order of the paths below it."""
    with os.scandir(folder) as entries:
        visible = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if entry.name[0] != "."]
    chosen = [
        name + "/" * is_folder
        for name, is_folder in visible
        if is_folder or os.path.splitext(name)[1].lower() in images.SUFFIXES
    ]
    for name in sorted(chosen):
        label = os.fsencode(prefix + name).decode("utf-8", "backslashreplace")
        if not name.endswith("/"):
            yield FolderEntry(label, folder / name)
            continue
        below = _below(folder / name, prefix + name)
        try:
            yield from below
        except OSError as error:
            yield FolderEntry(label, folder / name, f"This folder cannot be listed: {files.reason(error)}.")


def _chunks(entries: Iterator[FolderEntry]) -> Iterator[list[FolderEntry]]:
    while chunk := list(islice(entries, CHUNK)):
        yield chunk


def _kept(
    rows: Partial[Row], chunks: Iterator[list[FolderEntry]], count: int
) -> tuple[int, int, list[list[FolderEntry]]]:
    """Keeps the leading chunks that were measured and whose files have not changed.

    Returns how many rows and errors these are, and the chunk that was taken and is to be measured, if there is one.
    """
    done = failed = end = 0
    measured = rows.rows()
    changed: list[list[FolderEntry]] = []
    for chunk in chunks:
        kept = list(islice(measured, CHUNK))
        whole = len(kept) == len(chunk) and all(len(row.numbers) == (0 if row.error else count) for row, _ in kept)
        pairs = zip(kept, chunk, strict=whole)
        if not whole or not all(is_same(row, entry.stamp(), entry.read) for (row, _), entry in pairs):
            changed = [chunk]
            break
        done, end = done + len(kept), kept[-1][1]
        failed += sum(bool(row.error) for row, _ in kept)
    rows.cut(end)
    return done, failed, changed


def _reading(pair: ModelPair) -> Callable[[list[FolderEntry]], tuple[list[_Read], dict[str, list[ImageInput]]]]:
    """What decodes a chunk, for `map_batches`."""
    wanted = {card.key: card.preprocessing for card in pair.cards}
    distinct = tuple(dict.fromkeys(wanted.values()))

    def read(chunk: list[FolderEntry]) -> tuple[list[_Read], dict[str, list[ImageInput]]]:
        files_read = [_read(entry, distinct) for entry in chunk]
        good = [file.views for file in files_read if file.views]
        return files_read, {key: [views[preprocessing] for views in good] for key, preprocessing in wanted.items()}

    return read


def _read(entry: FolderEntry, wanted: Sequence[Preprocessing]) -> _Read:
    """Decodes a file; whatever is wrong with it is said in the row."""
    stamp = entry.stamp()  # before its bytes: a file that changes meanwhile is measured anew when a run goes on
    try:
        data = entry.read()
    except ExplorerError as error:
        return _Read(Row(*stamp, "", str(error)))
    try:
        decoded = images.decode(data)
    except images.ImageError as error:
        return _Read(Row(*stamp, hashlib.sha256(data).hexdigest(), str(error)))
    views = {pre: replace(decoded, rgb=preprocess.model_view(decoded.rgb, pre), view_of=pre) for pre in wanted}
    return _Read(Row(*stamp, decoded.digest, ""), views)


def _rows(chunk: list[_Read], curves: Mapping[str, list[Tensor]], pair: ModelPair) -> list[Row]:
    """The rows of a chunk, with the numbers of what could be decoded."""
    if not curves:
        return [read.row for read in chunk]
    sides = [torch.stack(curves[card.key]).float().numpy() for card in pair.cards]
    numbers = iter(np.concatenate(sides, axis=1))  # (image, state of either model)
    return [
        Row(*read.row.stamp, read.row.sha256, "", tuple(map(str, next(numbers)))) if read.views else read.row
        for read in chunk
    ]
