"""`python -m explorer train`."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.training.learner import Recipe
    from explorer.training.run import PairRun

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def add_train(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_train)
    parser.add_argument(
        "--train", type=Path, nargs="+", required=True, metavar="DATA", help="Parquet files or a folder"
    )
    parser.add_argument("--val", type=Path, nargs="+", required=True, metavar="DATA", help="Parquet files or a folder")
    parser.add_argument("--wnids", help="comma-separated WordNet ids to keep; all by default")
    parser.add_argument("--source-size", type=int, default=64, help="pixels a side of the training images (64)")
    parser.add_argument("--architecture", default="deit_tiny_patch8_64")
    parser.add_argument("--layers", default="1-12", metavar="FIRST-LAST", help="blocks of the twicing model that twice")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--small-epochs", type=int, default=20, help="first epochs at the small size")
    parser.add_argument("--small-size", type=int, default=32, help="pixels a side in those epochs")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warmup-epochs", type=int, default=2)
    parser.add_argument("--mixup", type=float, default=0.2, help="alpha of Mixup (0.2); CutMix's is 1")
    parser.add_argument("--mix-probability", type=float, default=0.5, help="that a batch is mixed (0.5)")
    parser.add_argument("--drop-path", type=float, default=0.05, help="stochastic depth of the last block (0.05)")
    parser.add_argument(
        "--minutes",
        type=float,
        help="measure the pace, then train as many epochs as fit, with the same share of small ones",
    )
    parser.add_argument(
        "--export-every",
        type=int,
        metavar="EPOCHS",
        help="write both checkpoints as training goes, not at its end only",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast, where the hardware has it")
    parser.add_argument("--compile", action="store_true", help="torch.compile both models")
    parser.add_argument(
        "--run-folder", type=Path, required=True, help="state and log of the run; resumes what is there"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the two checkpoints")
    parser.add_argument("--prefix", required=True, help="first part of the checkpoints' file names")
    parser.add_argument("--title", required=True, help="name of the standard model on the screen")
    parser.add_argument("--data-note", required=True, help="what the data is and under which terms")
    parser.add_argument("--license", default="not declared", help="terms of the weights")
    parser.add_argument("--classes", type=Path, help="class list of Parquet data: index, wnid and name, tab-separated")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")


def _train(options: argparse.Namespace) -> int:
    import torch

    from explorer.models import registry
    from explorer.serving import device as devices
    from explorer.training import data, run
    from explorer.training.learner import Recipe
    from explorer.types import Preprocessing

    row = registry.architecture(options.architecture)
    first, last = _layers(options.layers)
    recipe = Recipe(
        architecture=options.architecture,
        twicing_filter=registry.twicing_in(row.depth, first, last),
        epochs=options.epochs,
        small_epochs=options.small_epochs,
        small_size=options.small_size,
        batch_size=options.batch_size,
        lr=options.lr,
        warmup_epochs=options.warmup_epochs,
        mixup=options.mixup,
        mix_probability=options.mix_probability,
        drop_path=options.drop_path,
        seed=options.seed,
        bf16=options.bf16,
        compile=options.compile,
    )
    source = (options.source_size, options.source_size)
    preprocessing = Preprocessing(
        input_size=row.input_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        source_size=source if source < row.input_size else None,
    )
    device = devices.choose(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    classes = data.read_classes(options.classes) if options.classes else None
    wnids = options.wnids.split(",") if options.wnids else None
    train, validation = (
        data.load(paths, options.source_size, classes, wnids).to(device) for paths in (options.train, options.val)
    )
    print(f"{len(train)} training and {len(validation)} validation images of {len(train.classes)} classes", flush=True)
    if options.bf16 and device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # for the evaluations, which are not under autocast
    pair = run.PairRun(recipe, train, validation, preprocessing, options.run_folder, options.minutes)
    print(_planned(pair), flush=True)
    for outcome in pair.epochs():
        print("  ".join(f"{key} {value}" for key, value in outcome.row().items()), flush=True)
        if options.export_every and pair.epoch % options.export_every == 0:
            _export(pair, options)
    for path in _export(pair, options):
        print(path)
    return 0


def _planned(pair: PairRun) -> str:
    recipe, pace = pair.recipe, pair.pace
    said = f"{recipe.epochs} epochs of {pair.steps} steps, {recipe.small_epochs} of them at {recipe.small_size} px"
    if pace is None:
        return said
    return (
        f"{said}: measured {pace.small:.4f} s a step there, {pace.full:.4f} s at {recipe.full_size} px, "
        f"{pace.after:.2f} s after each epoch"
    )


def _export(pair: PairRun, options: argparse.Namespace) -> list[Path]:
    from explorer.training.export import export_pair

    names = {"standard": options.title, "twicing": f"{options.title}-Twicing"}
    recipe = _describe(pair.recipe)
    return export_pair(
        pair, options.out, options.prefix, names, options.data_note, recipe, _revision(), options.license
    )


def _layers(text: str) -> tuple[int, int]:
    """`10-12` or `12`, 1-based and inclusive."""
    from explorer.types import ExplorerError

    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise ExplorerError(f"Expected layers as FIRST-LAST, such as 10-12; {text!r} came.") from None


def _describe(recipe: Recipe) -> str:
    """Every setting in words; the checkpoints declare the filter by itself."""
    settings = {key: value for key, value in vars(recipe).items() if key not in ("twicing_filter", "augmentation")}
    return f"{_listed(settings)}; augmentation: {_listed(vars(recipe.augmentation))}"


def _listed(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_said(value)}" for key, value in settings.items())


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_said, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _revision() -> str:
    """The git revision of the code, with a + when the working tree differs from it."""
    here = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
