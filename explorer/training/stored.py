"""A decoded data set on disk, mapped into memory by every process that trains on it and decoded once for all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from explorer import files
from explorer.models.classes import ClassName
from explorer.training import data
from explorer.training.data import Dataset
from explorer.types import ExplorerError


def store(
    folder: Path, paths: Sequence[Path], size: int, classes: tuple[ClassName, ...] | None, wnids: Sequence[str] | None
) -> None:
    """Decodes a split into `folder`, unless the same files were decoded there already (by name, size and time).

    Raises `ExplorerError` as `data.load` does.
    """
    source = _source(paths, size, classes, wnids)
    if (folder / "source.json").exists() and _described(folder)["source"] == source:
        return
    split = data.load(paths, size, classes, wnids)
    files.make_folder(folder)
    for name, tensor in (("images", split.images), ("labels", split.labels)):
        array = np.ascontiguousarray(tensor.numpy())
        with files.replacing(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            # `np.save` says of a full disk how many values it has written, and not that it is full.
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            file.write(array.data)
    described = {"source": source, "classes": [asdict(class_name) for class_name in split.classes]}
    files.write_atomically(folder / "source.json", json.dumps(described).encode())


def open_stored(folder: Path) -> Dataset:
    """What `store` left, its images mapped from the file: they take memory as they are looked at, once for all."""
    described = _described(folder)
    # torch wants what may be written: copied if it ever is.
    images, labels = (_array(folder / f"{name}.npy") for name in ("images", "labels"))
    classes = tuple(ClassName(**fields) for fields in described["classes"])
    return Dataset(torch.from_numpy(images), torch.from_numpy(labels), classes)


def _described(folder: Path) -> dict[str, Any]:
    """What the folder's images were decoded from, and their classes."""
    try:
        described: dict[str, Any] = json.loads(files.read(folder / "source.json"))
        if {"source", "classes"} <= described.keys():
            return described
    except (OSError, ValueError, AttributeError) as error:
        raise _damaged(folder) from error
    raise _damaged(folder)


def _array(path: Path) -> np.ndarray:
    files.check_file(path)
    try:
        array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path.parent) from error
    return array


def _damaged(folder: Path) -> ExplorerError:
    return ExplorerError(
        f"Decoded images were expected in data/{folder.name} of the run; remove it to decode them anew."
    )


def _source(
    paths: Sequence[Path], size: int, classes: tuple[ClassName, ...] | None, wnids: Sequence[str] | None
) -> list[Any]:
    try:
        read = [
            [path.name, (stat := path.stat()).st_size, stat.st_mtime_ns]
            for given in paths
            for path in (sorted(given.rglob("*")) if given.is_dir() else [given])
        ]
    except OSError as error:
        raise ExplorerError(f"Expected Parquet files or a folder; {files.reason(error)}: {error.filename}.") from error
    return [read, size, [class_name.wnid for class_name in classes or ()], list(wnids) if wnids is not None else None]
