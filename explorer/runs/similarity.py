"""Token-similarity curves of every image in a folder, however many there are, under two models.

Memory does not grow with the number of images but for the names in one sub-folder. What was measured stays in a hidden
partial file beside the result, so that a run that was killed goes on; images are measured in chunks of consecutive
files of the sorted list, so that no number depends on where a run was stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from explorer import files, provenance
from explorer.measures import similarity
from explorer.measures.similarity import Definition
from explorer.models import LoadedModel
from explorer.models.trace import geometry, states
from explorer.pictures import images, preprocess
from explorer.runs.partial import ROWS, Partial, Row, check_out, is_same, keeping, settings_file, stamp_of, write_table
from explorer.serving.device import is_out_of_memory
from explorer.types import ROLES, ExplorerError, Preprocessing

LoadedPair = tuple[LoadedModel, LoadedModel]
"""The baseline and the twicing model."""

Measure = Callable[[list["FolderEntry"]], list[Row]]

CHUNK = 8
"""Images of a pass."""
MADE_BY = "python -m explorer similarity"
_MAX_BYTES = 2**29
"""Of a file: more than any image of `images.MAX_PIXELS` takes, and little enough to be read into memory."""


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
            info = self.path.stat()
            if not stat.S_ISREG(info.st_mode):
                raise ExplorerError("A file was expected; a device, pipe or folder came.")
            if info.st_size > _MAX_BYTES:
                size = f"{_MAX_BYTES // 2**20} MiB was expected; {info.st_size // 2**20} MiB came"
                raise ExplorerError(f"An image file of at most {size}.")
            return self.path.read_bytes()
        except OSError as error:
            raise ExplorerError(f"This file cannot be read: {files.reason(error)}.") from error


@dataclass(frozen=True, eq=False)
class _Read:
    """A row without its numbers, and what the models see of the image."""

    row: Row
    views: Mapping[Preprocessing, UInt8[np.ndarray, "height width 3"]] = field(default_factory=dict)


def measure(
    folder: Path, pair: LoadedPair, out: Path, definition: Definition = Definition()
) -> Generator[FolderStep, None, None]:
    """Writes the curves of both models for each image below `folder` to `out`, CSV or Parquet by its suffix.

    Columns: `image` (path below the folder), `sha256`, `error`, `baseline_0..L` and `twicing_0..L` (see
    `similarity.token_similarity`; 0 is the embedding). Hidden files and files without an image's suffix are skipped;
    an image or a sub-folder that cannot be read is a row with its error. Beside `out` a JSON holds the settings.

    Runs as the result is iterated. Started again, it goes on after the last chunk whose files are the same, see
    `partial.is_same`: what follows is measured anew, so that the table is always that of one folder.

    Raises `ExplorerError` for a folder without images, another suffix, or a file that cannot be written.
    """
    check_out(out, MADE_BY)
    if not folder.is_dir():
        raise ExplorerError(f"A folder of images was expected; {folder} is {'none' if folder.exists() else 'missing'}.")
    identity = json.dumps([str(folder.resolve()), CHUNK, settings(pair, definition), *(m.card.key for m in pair)])
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


def columns(pair: LoadedPair) -> list[str]:
    """Names of the columns of numbers, one for each state of each model."""
    depths = [geometry(model.module).depth for model in pair]
    return [f"{side}_{state}" for side, depth in zip(ROLES, depths, strict=True) for state in range(depth + 1)]


def settings(pair: LoadedPair, definition: Definition) -> dict[str, Any]:
    """What fixes the numbers, beyond the images: the definition, the models, the kind of device and the versions."""
    return {
        "made_by": MADE_BY,
        "definition": definition.sentence(),
        **asdict(definition),
        "models": provenance.of_pair([model.card for model in pair]),
        "device": _device(pair[0]).type,
        "versions": provenance.versions(),
    }


def _run(
    folder: Path, pair: LoadedPair, out: Path, definition: Definition, unfinished: Path, total: int
) -> Generator[FolderStep, None, None]:
    names = columns(pair)
    with Partial(unfinished, out, ROWS) as rows:
        chunks = _chunks(walk(folder))
        done, failed, changed = _kept(rows, chunks, len(names))
        yield FolderStep(done, max(total, done), failed)
        with closing(_in_order(chain(changed, chunks), _measuring(pair, definition))) as measured:
            for chunk in measured:
                with keeping(out, done):
                    rows.append(chunk)
                done += len(chunk)
                failed += sum(bool(row.error) for row in chunk)
                yield FolderStep(done, max(total, done), failed)
        with keeping(out, done):
            said = settings(pair, definition) | {"images": done, "errors": failed}
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


def _in_order(chunks: Iterable[list[FolderEntry]], measure: Measure) -> Generator[list[Row], None, None]:
    """The rows of the chunks, each measured by one of as many threads as torch has, none of which uses more than one.

    On a CPU that keeps the cores busier than threads within a pass, which wait for one another whenever a file is
    decoded meanwhile, and makes the numbers independent of how many there are. Few chunks wait, so memory is bounded.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "explorer-folder", torch.set_num_threads, (1,))
    waiting: deque[Future[list[Row]]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(measure, chunk))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # what a thread sets is what later threads start with


def _measuring(pair: LoadedPair, definition: Definition) -> Measure:
    """What measures a chunk; passes on anything but a CPU take turns, for its memory and because some need it."""
    turns = nullcontext() if _device(pair[0]).type == "cpu" else threading.Lock()
    wanted = tuple({model.card.preprocessing for model in pair})

    def measure(chunk: list[FolderEntry]) -> list[Row]:
        files_read = [_read(entry, wanted) for entry in chunk]
        with turns:
            return _measured(files_read, pair, definition)

    return measure


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
    views = {preprocessing: preprocess.model_view(decoded.rgb, preprocessing) for preprocessing in wanted}
    return _Read(Row(*stamp, decoded.digest, ""), views)


def _measured(chunk: list[_Read], pair: LoadedPair, definition: Definition) -> list[Row]:
    """The rows of a chunk, with the numbers of what could be decoded."""
    good = [read for read in chunk if read.views]
    if not good:
        return [read.row for read in chunk]
    batches = {pre: preprocess.batch([read.views[pre] for read in good], pre) for pre in good[0].views}
    sides = [_curves(model, batches[model.card.preprocessing], definition) for model in pair]
    numbers = iter(np.concatenate(sides, axis=1))  # (image, state of either model)
    return [
        Row(*read.row.stamp, read.row.sha256, "", tuple(map(str, next(numbers)))) if read.views else read.row
        for read in chunk
    ]


@torch.inference_mode()
def _curves(
    model: LoadedModel, pixels: Float32[torch.Tensor, "image 3 height width"], definition: Definition
) -> Float32[np.ndarray, "image state"]:
    prefix = model.module.num_prefix_tokens
    try:
        passed = states(model.module, pixels.to(_device(model)))
        curves = [similarity.of_tokens(tokens, definition, prefix) for tokens in passed]
        return torch.stack(curves, dim=1).float().cpu().numpy()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ExplorerError(f"The device has no room for {len(pixels)} images in {model.card.name}.") from error


def _device(model: LoadedModel) -> torch.device:
    return torch.device(next(model.module.parameters()).device)
