"""Rows of a long run: a file that outlives the process that writes it, and the table made of it at the end.

What of it still counts when a run goes on is decided in `is_same`, for every run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import filelock
import numpy as np

from explorer import files
from explorer.types import ExplorerError

Stamp = tuple[str, int, int]
"""A file's name, size in bytes and time of change in nanoseconds."""

Item = TypeVar("Item")

_LONGEST = 2**20
_GROUP = 2048
"""Rows of a row group of Parquet: the most that are in memory at once."""


@dataclass(frozen=True)
class Row:
    """One image: which file it was, and what came of it."""

    image: str
    size: int
    mtime_ns: int
    """As `size`, 0 where no stamp was taken: what is no file, and what earlier versions wrote of corruptions."""
    sha256: str
    """Empty for a file that could not be read."""
    error: str
    """One sentence, or empty."""
    numbers: tuple[str, ...] = ()
    """float32 in the fewest digits that tell it from every other, empty where there is none, or text; none beside an
    error."""

    @property
    def stamp(self) -> Stamp:
        return self.image, self.size, self.mtime_ns


def stamp_of(image: str, path: Path) -> Stamp:
    """Of what is there now; -1 for what is not."""
    try:
        info = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return image, -1, -1
    return image, info.st_size, info.st_mtime_ns


def is_same(row: Row, stamp: Stamp, read: Callable[[], bytes]) -> bool:
    """Whether a row is still of what is there now, so that it is not measured again.

    A file of the same name, size and time of change is the same. Where only the time differs, where there is no stamp,
    and where nothing could be read, what `read` gives decides: its SHA-256, or the `ExplorerError` it raises.
    """
    if row.image != stamp[0]:
        return False
    if row.size or row.mtime_ns:
        if row.size != stamp[1]:
            return False
        if row.sha256 and row.stamp == stamp:
            return True
    try:
        return row.sha256 == hashlib.sha256(read()).hexdigest()
    except ExplorerError as error:
        return not row.sha256 and row.error == str(error)


@dataclass(frozen=True)
class Lines(Generic[Item]):
    """How an item is written as a line of JSON, and read from it; `loads` raises `ValueError` for another line."""

    dumps: Callable[[Item], str]
    loads: Callable[[bytes], Item]


class Partial(Generic[Item]):
    """Items on disk, one line of JSON each, while a run lasts; one run at a time holds the file.

    What a kill or a full disk cut short is a tail that `rows` does not give and `cut` removes.
    """

    def __init__(self, path: Path, out: Path, lines: Lines[Item]) -> None:
        """Opens or creates `path`. Raises `ExplorerError`, naming `out`, when it cannot or another run has it."""
        self._path, self._lines = path, lines
        files.check_file(path)  # one that is there is read first, and a pipe would be waited for
        try:
            self._file: BinaryIO = open(  # noqa: SIM115 - closed by __exit__
                os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0
            )
        except OSError as error:
            raise ExplorerError(f"{out.name} could not be begun: {files.why(error, path)}.") from error
        _lock(self._file, out)

    def __enter__(self) -> Partial[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        is_empty = not os.fstat(self._file.fileno()).st_size
        self._file.close()
        if is_empty:
            self.remove()

    def read(self) -> bytes:
        """All that the file holds, with what was cut short."""
        self._file.seek(0)
        return self._file.read()

    def rows(self) -> Iterator[tuple[Item, int]]:
        """The items from the first, each with the offset of its end, up to the first line that is none."""
        end = 0
        with open(self._file.fileno(), "rb", closefd=False) as file:
            file.seek(0)
            while (line := file.readline(_LONGEST)).endswith(b"\n"):
                try:
                    row = self._lines.loads(line)
                except ValueError:
                    return
                end += len(line)
                yield row, end

    def cut(self, end: int) -> None:
        """Drops what comes after the offset `end`; items are appended there."""
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, rows: Iterable[Item]) -> None:
        """Hands the items to the system, which keeps them when this process is killed. Raises `OSError`."""
        data = "".join(self._lines.dumps(row) + "\n" for row in rows).encode("ascii")
        while data:
            data = data[self._file.write(data) :]

    def sync(self) -> None:
        """Waits until what was appended outlives the system as well. Raises `OSError`."""
        os.fsync(self._file.fileno())

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def write_table(rows: Iterable[Row], columns: Sequence[str], path: Path, texts: Collection[str] = ()) -> None:
    """Writes `image`, `sha256`, `error` and the named columns as CSV or Parquet, by the suffix; at constant memory.

    Columns are float32 but for the `texts` among them.
    CSV is UTF-8 with a header, fields quoted where needed, missing ones empty; in Parquet they are null.
    Raises `ExplorerError`, leaving the old file as it was.
    """
    with files.replacing(path) as temporary:
        WRITERS[path.suffix.lower()](rows, ("image", "sha256", "error", *columns), temporary, texts)


def settings_file(out: Path) -> Path:
    """The JSON beside a table, with what fixes its numbers."""
    return out.with_suffix(".json")


def check_out(out: Path, made_by: str) -> None:
    """Raises `ExplorerError` for a name that no table can have, and where something else than `made_by` has written
    the JSON that would be replaced."""
    if out.suffix.lower() not in WRITERS:
        raise ExplorerError(f"A name ending in .csv or .parquet was expected for the result; {out.name} came.")
    if out.is_dir():
        raise ExplorerError(f"A file was expected for the result; {out.name} is a folder.")
    path = settings_file(out)
    try:
        ours = not path.exists() or json.loads(files.read(path)).get("made_by") == made_by
    except (OSError, ValueError, AttributeError, ExplorerError):
        ours = False
    if not ours:
        raise ExplorerError(f"The settings would replace {path.name}, which is none of ours; choose another name.")


def check_size(out: Path, models: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `ExplorerError` where a table that is there is of these models' inputs at other sizes."""
    try:
        known = json.loads(files.read(settings_file(out)))["models"]
        before, now = ([of[role].get("input_size") for role in models] for of in (known, models))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ExplorerError):
        return  # no table, or none with two models
    if before != now:
        raise ExplorerError(
            f"{out.name} holds numbers at {_sizes(before)}; {_sizes(now)} was asked for, so choose another name."
        )


def _sizes(each: Sequence[Any]) -> str:
    words = ["an input of " + ("the models' own size" if size is None else f"{size[0]}x{size[1]} px") for size in each]
    return " and ".join(dict.fromkeys(words))


@contextmanager
def keeping(out: Path, done: int) -> Iterator[None]:
    """Says of what stops the writing that the rest is kept."""
    try:
        yield
    except (OSError, ExplorerError) as error:
        problem = (
            f"{out.name} could not be written: {files.why(error, out)}" if isinstance(error, OSError) else str(error)
        )
        kept = f"what was measured of {done} images is kept, and the same command goes on from there"
        raise ExplorerError(f"{problem.rstrip('.')}; {kept}.") from error


def _csv(rows: Iterable[Row], columns: Sequence[str], path: Path, texts: Collection[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(columns) + "\n")
        for row in rows:
            numbers = row.numbers or ("",) * (len(columns) - 3)
            if texts:
                numbers = tuple(
                    _quoted(files.cell(cell) if name in texts else cell)
                    for name, cell in zip(columns[3:], numbers, strict=True)
                )
            image, error = (_quoted(files.cell(cell)) for cell in (row.image, row.error))
            file.write(",".join((image, row.sha256, error, *numbers)) + "\n")


def _parquet(rows: Iterable[Row], columns: Sequence[str], path: Path, texts: Collection[str]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    kinds = [pa.string() if i < 3 or name in texts else pa.float32() for i, name in enumerate(columns)]
    schema = pa.schema(list(zip(columns, kinds, strict=True)))
    iterator = iter(rows)
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(iterator, _GROUP)):
            nothing = ("",) * (len(columns) - 3)
            cells = [(row.image, row.sha256, row.error, *(row.numbers or nothing)) for row in group]
            arrays = [_array(column, kind) for column, kind in zip(zip(*cells, strict=True), kinds, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _array(column: Sequence[str], kind: Any) -> Any:
    """Empty cells are null."""
    import pyarrow as pa

    if kind == pa.string():
        return pa.array([files.as_text(cell) or None for cell in column], kind)
    missing = np.array([not cell for cell in column])
    return pa.array(np.array([cell or "0" for cell in column]).astype(np.float32), kind, mask=missing)


WRITERS: dict[str, Callable[[Iterable[Row], Sequence[str], Path, Collection[str]], None]] = {
    ".csv": _csv,
    ".parquet": _parquet,
}


def _quoted(text: str) -> str:
    """Like Python's csv, which leaves a lone carriage return bare, for readers to take as the end of the row."""
    return '"' + text.replace('"', '""') + '"' if re.search('[",\r\n]', text) else text


def _line(row: Row) -> str:
    return json.dumps([*astuple(row)[:-1], *row.numbers], separators=(",", ":"))


def _row(line: bytes) -> Row:
    """Raises `ValueError` for anything but what `_line` gives."""
    values, kinds = json.loads(line), (str, int, int, str, str)
    if not isinstance(values, list) or len(values) < len(kinds):
        raise ValueError("not a row")
    if not all(map(isinstance, values, kinds)) or not all(isinstance(number, str) for number in values[5:]):
        raise ValueError("not a row")
    image, size, mtime_ns, sha256, error, *numbers = values
    return Row(image, size, mtime_ns, sha256, error, tuple(numbers))


ROWS = Lines(_line, _row)


def _lock(file: BinaryIO, out: Path) -> None:
    """Locks the file itself, not another beside it; the system lets go when the process ends, however it ends.

    A file system without locks locks nothing. Raises `ExplorerError`, with the file closed, when another run has it.
    """
    try:
        is_free = filelock.lock_descriptor(file.fileno(), blocking=False)
    except OSError:
        return
    if not is_free:
        file.close()
        raise ExplorerError(
            f"Another run is measuring into {out.name}; it was expected to end before another run begins."
        )
