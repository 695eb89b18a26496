"""The way there: data and start cut into loads that fit a narrow way, decoded there while the next one travels.

load-1/ ... load-N/     Parquet pieces; the first load has the start in fp16 and whatever else goes along
load-*/manifest.json    the pieces of all loads in their order, the same in every load
RUN/parts/<piece>/      a decoded piece
RUN/data/               all pieces as two data sets, as a run opens them
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import torch

from explorer import files
from explorer.models import checkpoints, weights
from explorer.models.classes import read_classes
from explorer.training import stored
from explorer.training.data import draw
from explorer.types import ExplorerError

LARGEST = 60 * 2**20
"""Bytes of a load: the code travels beside it, and 64 MiB may."""
_PIECES = 128
"""Of the training images: small ones, so that the loads come out alike and every core has one to decode."""
_MANIFEST, _CLASSES, START = "manifest.json", "classes.tsv", "begin.safetensors"
_SPLITS = ("train", "validation")
_LOOK = 0.5
"""Seconds between two looks for pieces that are being decoded."""


@dataclass(frozen=True)
class Sources:
    """What the loads are cut from."""

    train: Sequence[Path]
    """Parquet files with the columns `image` and `label`, as are those of `validation`."""
    validation: Sequence[Path]
    classes: Path
    start: Path
    extras: Sequence[Path] = ()
    """Files that go along in the first load: packages that the other machine lacks."""


@dataclass(frozen=True)
class Manifest:
    """What all loads hold together."""

    train: tuple[str, ...]
    """Names of the pieces, in the order of the images."""
    validation: tuple[str, ...]
    size: int
    """Pixels a side of the decoded images."""
    revision: str
    """Git revision of the code that trains: a copy of the code has none."""

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises `ExplorerError` where there is none."""
        try:
            return cls(**json.loads((folder / _MANIFEST).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise ExplorerError(f"A {_MANIFEST} of `cut` was expected in {folder.name}; there is none.") from error


def cut(sources: Sources, out: Path, loads: int, validation_images: int, size: int, revision: str) -> list[Path]:
    """Writes the loads into `out`, with so many validation images, drawn at random.

    Raises `ExplorerError` where one is there already, or comes out larger than `LARGEST`.
    """
    if there := sorted(out.glob("load-*")):
        raise ExplorerError(f"A folder without loads was expected; {there[0].name} is in {out.name}.")
    pieces = _pieces(sources, validation_images)
    names = {split: tuple(name for name in pieces if name.startswith(split)) for split in _SPLITS}
    manifest = json.dumps(asdict(Manifest(**names, size=size, revision=revision)))
    folders = [out / f"load-{number}" for number in range(1, loads + 1)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / _MANIFEST).write_text(manifest, encoding="utf-8")
        shutil.copyfile(sources.classes, folder / _CLASSES)
    start = weights.read(sources.start)
    checkpoints.save(folders[0] / START, start.sets[checkpoints.MODEL], start.declared or {})
    for path in sources.extras:
        shutil.copyfile(path, folders[0] / path.name)
    for name, place in _spread(pieces, weigh(folders[0]), loads).items():
        path = folders[place] / f"{name}.parquet"
        pq.write_table(pieces[name], path, use_dictionary=False, write_statistics=False)
    for folder in folders:
        if weigh(folder) > LARGEST:
            raise ExplorerError(f"{LARGEST:,} bytes at most were expected in {folder.name}; it has {weigh(folder):,}.")
    return folders


def weigh(folder: Path) -> int:
    """Bytes of all files of a load."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _pieces(sources: Sources, validation_images: int) -> dict[str, pa.Table]:
    """Slices of both splits by their names."""
    train, validation = (
        pa.concat_tables([pq.read_table(path, columns=["image", "label"]) for path in paths])
        for paths in (sources.train, sources.validation)
    )
    chosen = draw(len(validation), min(validation_images, len(validation))).sort().values
    pieces = {}
    for split, table in zip(_SPLITS, (train, validation.take(chosen.numpy())), strict=True):
        rows = max(1, -(-len(train) // _PIECES))
        for number, first in enumerate(range(0, len(table), rows)):
            pieces[f"{split}-{number:03}"] = table.slice(first, rows)
    return pieces


def _spread(pieces: Mapping[str, pa.Table], before: int, loads: int) -> dict[str, int]:
    """The load of each piece: in order, each load of about the same weight, the first with `before` in it already."""
    share = (before + sum(table.nbytes for table in pieces.values())) / loads
    places, weight = {}, before
    for name, table in pieces.items():
        places[name] = min(loads - 1, int((weight + table.nbytes / 2) / share))
        weight += table.nbytes
    return places


def decode(load: Path, folder: Path, workers: int) -> int:
    """Decodes the pieces of one load into a run's folder, in so many processes; returns how many.

    Loads may be decoded at the same time, and again: what is there is left alone.
    """
    size, classes = Manifest.read(load).size, read_classes(load / _CLASSES)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (_MANIFEST, START):
        if (load / name).exists():
            files.write_atomically(folder / name, (load / name).read_bytes())
    paths = sorted(load.glob("*.parquet"))
    jobs = [(folder / "parts" / path.stem, [path], size, classes, None) for path in paths]
    if workers == 1:
        for job in jobs:
            stored.store(*job)
    else:
        context = multiprocessing.get_context("forkserver")  # imports once, for all; a fork of this one could hang
        context.set_forkserver_preload([stored.__name__])
        with context.Pool(workers) as pool:
            pool.starmap(stored.store, jobs, chunksize=1)
    return len(jobs)


def assemble(folder: Path, patience: float = 120.0) -> None:
    """Makes the pieces of all loads the two data sets of a run, in the order of the images; waits for those to come.

    Raises `ExplorerError` when one is not there after so many seconds.
    """
    manifest = Manifest.read(folder)
    for split in _SPLITS:
        place, pieces = folder / "data" / split, getattr(manifest, split)
        if (place / "source.json").exists():
            continue
        parts = [folder / "parts" / name for name in pieces]
        _wait(parts, time.monotonic() + patience)
        sets = [stored.open_stored(part) for part in parts]
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / "images.npy", torch.cat([each.images for each in sets]).numpy())
        np.save(place / "labels.npy", torch.cat([each.labels for each in sets]).numpy())
        described = {"source": list(pieces), "classes": [asdict(each) for each in sets[0].classes]}
        files.write_atomically(place / "source.json", json.dumps(described).encode())


def _wait(parts: Sequence[Path], until: float) -> None:
    while missing := [part for part in parts if not (part / "source.json").exists()]:
        if time.monotonic() > until:
            raise ExplorerError(
                f"All {len(parts)} pieces were expected to be decoded; {len(missing)} are not, {missing[0].name} first."
            )
        time.sleep(_LOOK)
