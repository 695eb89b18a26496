"""Labelled images in memory as uint8, from image-label Parquet files or a folder.

In a folder, a sub-folder is a class; without sub-folders, the WordNet id in each file's name is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from explorer import files
from explorer.models.classes import ClassName, select
from explorer.pictures import images, preprocess
from explorer.types import ExplorerError, Preprocessing

_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """All images of one split on one device, square, with labels that index `classes`."""

    images: UInt8[Tensor, "image 3 height width"]
    labels: Int64[Tensor, " image"]
    classes: tuple[ClassName, ...]

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device) -> Dataset:
        return Dataset(self.images.to(device), self.labels.to(device), self.classes)


def from_parquet(paths: Sequence[Path], classes: Sequence[ClassName], keep: Sequence[int], size: int) -> Dataset:
    """Reads Parquet files with the columns `image` (encoded bytes) and `label` (index into `classes`)."""
    new_label = {old: new for new, old in enumerate(keep)}
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    for path in paths:
        files.check_file(path)
        try:
            table = pq.read_table(path, columns=["image", "label"])
        except (OSError, pa.ArrowException) as error:
            raise ExplorerError(f"{path.name} is not a Parquet file with the columns image and label.") from error
        for row, (encoded, label) in enumerate(zip(table["image"], table["label"].to_pylist(), strict=True)):
            if label in new_label:
                pixels.append(_square(encoded.as_py(), size, f"{path.name}, row {row}"))
                labels.append(new_label[label])
    return dataset(pixels, labels, [classes[i] for i in keep])


def from_folder(folder: Path, size: int, wnids: Sequence[str] | None = None) -> Dataset:
    """Reads `folder/<class>/*.jpg` and the like; the folder's name is both the class's id and its name.

    A folder without sub-folders is read by the WordNet ids in its files' names (`n02124075_cat.JPEG`): pictures of
    other classes than `wnids` are left out, and a class may have none.
    """
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        return _from_names(folder, size, wnids)
    everything = [ClassName(name, name) for name in names]
    classes = [everything[i] for i in select(everything, wnids)]
    return _from_files(
        ((path, label) for label, c in enumerate(classes) for path in sorted((folder / c.name).rglob("*"))),
        classes,
        size,
    )


def _from_names(folder: Path, size: int, wnids: Sequence[str] | None) -> Dataset:
    named = [(path, match[0]) for path in sorted(folder.iterdir()) if (match := _WNID.search(path.name))]
    names = sorted({wnid for _, wnid in named}) if wnids is None else list(wnids)
    label = {wnid: i for i, wnid in enumerate(names)}
    files = ((path, label[wnid]) for path, wnid in named if wnid in label)
    return _from_files(files, [ClassName(name, name) for name in names], size)


def _from_files(labelled: Iterable[tuple[Path, int]], classes: Sequence[ClassName], size: int) -> Dataset:
    pictures = [
        (path, label)
        for path, label in labelled
        if path.suffix.lower() in images.SUFFIXES and not path.name.startswith(".")
    ]
    pixels = [_square(_bytes(path), size, path.name) for path, _ in pictures]
    return dataset(pixels, [label for _, label in pictures], classes)


def load(
    paths: Sequence[Path], size: int, classes: tuple[ClassName, ...] | None = None, wnids: Sequence[str] | None = None
) -> Dataset:
    """Reads a split from Parquet files (which need `classes`) or from one image folder."""
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise ExplorerError(f"Expected Parquet files or a folder; there is no {', '.join(missing)}.")
    if len(paths) == 1 and paths[0].is_dir():
        return from_folder(paths[0], size, wnids)
    if classes is None:
        raise ExplorerError("Parquet data needs a class list (index, wnid, name); none was given.")
    return from_parquet(paths, classes, select(classes, wnids), size)


def read_at(size: int) -> Preprocessing:
    """Shorter side to `size`, then the centre: how images are read for training, and for `--source-size`."""
    return Preprocessing((size, size), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def _bytes(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise ExplorerError(f"{path.name} cannot be read: {files.reason(error)}.") from error


def _square(encoded: bytes, size: int, name: str) -> np.ndarray:
    try:
        return preprocess.model_view(images.decode(encoded).rgb, read_at(size))
    except ExplorerError as error:
        raise ExplorerError(f"{name}: {error}") from error


def dataset(pixels: Sequence[np.ndarray], labels: Sequence[int], classes: Sequence[ClassName] = ()) -> Dataset:
    """Square views and their labels as one. Raises `ExplorerError` when there are none."""
    if not pixels:
        raise ExplorerError("The data holds no image of the chosen classes.")
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Dataset(stacked, torch.tensor(labels, dtype=torch.int64), tuple(classes))


def draw(count: int, wanted: int, seed: int = 0) -> Int64[Tensor, " image"]:
    """Positions of `wanted` images out of `count`, all of them where there are no more, at random from a seed."""
    if wanted < 1:
        raise ExplorerError(f"At least 1 image to measure was expected; {wanted} came.")
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:wanted]
