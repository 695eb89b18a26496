"""Commands with something that is no file, or is too large, in each place where they read what a user names.

Every command runs in a folder that `prepare` has filled; what a case names is then put in the way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch

from tests.helpers import picture, write_class_list, write_folder, write_parquet
from tests.pair import CLASSES

LARGE = 30 * 2**30
"""Bytes of a file without content, which takes no room on the disk."""


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, LARGE)


KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "sparse": _sparse,
}
"""What makes each; nobody ever writes to the pipe."""

_FIGURE = "figure heatmaps --dpi 36 --out y.png --images"
_ROBUSTNESS = "robustness --eps 0 --out y.jsonl --device cpu"
_EVALUATE = "evaluate --device cpu --source-size 32"
_TRAIN = (
    "train --source-size 32 --architecture test_vit --sizes 32 --batch-size 2 --run-folder run --prefix a --title A "
    "--data-note b --device cpu"
)
_DATA = "--train data.parquet --val data.parquet --classes classes.tsv"
_IMPORT = "import-weights --architecture deit_tiny_patch16_224 --origin a --license b --out y.safetensors"
CASES: tuple[tuple[str, str], ...] = (
    ("x.png", f"{_FIGURE} x.png"),
    ("x.safetensors", f"{_FIGURE} cat.png --baseline x.safetensors"),
    ("x.pth", f"{_FIGURE} cat.png --twicing x.pth"),
    ("weights.json", f"{_FIGURE} cat.png --twicing weights.pth"),
    ("x.jsonl", "figure robustness --out y.png --images x.jsonl"),
    ("x.json", "again x.json --out y.png"),
    ("x.png", "again x.png --out y.png"),
    ("x.png", "compare x.png --out out"),
    ("x.pt", "compare cat.png --out out --baseline x.pt"),
    ("x.png", "attribute x.png --out out --method saliency"),
    ("x.bin", "attribute cat.png --out out --method saliency --twicing x.bin"),
    ("folder/x.png", "similarity folder --out y.csv"),
    ("x", "similarity x --out y.csv"),
    ("y.json", "similarity folder --out y.csv"),
    ("x.png", "corruptions x.png --out y.csv --kind gaussian-noise --severities 1"),
    ("y.json", "corruptions cat.png --out y.csv"),
    ("x.parquet", f"{_ROBUSTNESS} x.parquet --classes classes.tsv"),
    ("x.tsv", f"{_ROBUSTNESS} data.parquet --classes x.tsv"),
    ("labelled/n01774384/x.png", f"{_ROBUSTNESS} labelled"),
    ("x", f"{_ROBUSTNESS} x"),
    ("y.jsonl", f"{_ROBUSTNESS} labelled"),
    ("x.safetensors", f"{_EVALUATE} x.safetensors --data labelled"),
    ("x.parquet", f"{_EVALUATE} PAIR-standard.safetensors --data x.parquet --classes classes.tsv"),
    ("x.tsv", f"{_EVALUATE} PAIR-standard.safetensors --data data.parquet --classes x.tsv"),
    ("classes.tsv", f"{_EVALUATE} PAIR-standard.safetensors --data data.parquet"),
    ("labelled/n01774384/x.png", f"{_EVALUATE} PAIR-standard.safetensors --data labelled"),
    ("x.parquet", f"{_TRAIN} --train x.parquet --val data.parquet --classes classes.tsv"),
    ("x.parquet", f"{_TRAIN} --train data.parquet --val x.parquet --classes classes.tsv"),
    ("labelled/n01774384/x.png", f"{_TRAIN} --train labelled --val labelled"),
    ("x.tsv", f"{_TRAIN} --train data.parquet --val data.parquet --classes x.tsv"),
    ("x.safetensors", f"{_TRAIN} {_DATA} --init x.safetensors"),
    ("kept/standard.int8.safetensors", f"{_TRAIN} {_DATA} --resume kept"),
    ("run", f"{_TRAIN} {_DATA}"),
    ("run/plan.json", f"{_TRAIN} {_DATA}"),
    ("run/start.safetensors", f"{_TRAIN} {_DATA}"),
    ("run/data/train/source.json", f"{_TRAIN} {_DATA}"),
    ("run/standard/state.pt", f"{_TRAIN} {_DATA}"),
    ("run/standard/log.jsonl", f"{_TRAIN} {_DATA}"),
    ("x", "branch x --steps 5"),
    ("begun/plan.json", "branch begun --steps 5"),
    ("begun/twicing/log.jsonl", "branch begun --steps 5"),
    ("x", "keep x --out out"),
    ("begun/standard/state.pt", "keep begun --out out"),
    ("x.onnx", f"{_IMPORT} x.onnx"),
    ("x.safetensors", f"{_IMPORT} x.safetensors"),
    ("x.pth", f"{_IMPORT} x.pth"),
)
"""What is put in the way, and the command; PAIR begins the names of the pair that opens."""

WRITING: dict[str, str] = {
    "figure": "figure heatmaps --dpi 72 --images cat.png --out disk/y.png",
    "figures": "figure heatmaps --dpi 72 --images cat.png --out disk/y.zip",
    "compare": "compare cat.png --out disk/out",
    "attribute": "attribute cat.png --out disk/out --method saliency",
    "evaluate": "evaluate PAIR-standard.safetensors --data labelled --device cpu --measures 1 --json disk/y.json",
    "robustness": "robustness labelled --eps 0 --device cpu --out disk/y.jsonl --csv disk/y.csv",
    "corruptions": "corruptions cat.png --out disk/y.csv --kind gaussian-noise --severities 1",
    "corruptions, parquet": "corruptions cat.png --out disk/y.parquet --kind gaussian-noise --severities 1",
    "similarity": "similarity folder --out disk/y.csv",
    "similarity, parquet": "similarity folder --out disk/y.parquet",
    "train": f"{_TRAIN} {_DATA}".replace("run-folder run", "run-folder disk/run"),
    "keep": "keep kept --out disk/out",
    "branch": "branch disk/run --steps 5",
}
"""Commands that write into the folder `disk`."""


def prepare(folder: Path) -> None:
    """What the commands read besides."""
    picture(1).save(folder / "cat.png")
    write_class_list(folder / "classes.tsv")
    write_parquet(folder / "data.parquet", [0, 1] * 2)
    write_folder(folder / "labelled", [*CLASSES][:2])
    write_folder(folder / "folder", ("a",))
    torch.save({"model": {"a": torch.zeros(2)}}, folder / "weights.pth")
    (folder / "begun" / "standard").mkdir(parents=True)
    line = json.dumps({"step": 20, "decay": None}) + "\n"
    (folder / "begun" / "standard" / "log.jsonl").write_text(line, encoding="utf-8")
    state = {"step": 20, "core_seconds": 1.0, "identity": {}, "ema": {"a": torch.zeros(99, 99)}}
    (folder / "kept" / "standard").mkdir(parents=True)
    torch.save(state, folder / "kept" / "standard" / "state.pt")


def put(folder: Path, name: str, kind: str) -> None:
    """Puts something of this kind in the way."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    KINDS[kind](path)


def words(command: str, pair: Path) -> list[str]:
    """The command as a shell would pass it on."""
    return [word.replace("PAIR", str(pair)) for word in command.split()]
