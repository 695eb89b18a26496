"""`python -m explorer train`."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

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
    from explorer.models import registry
    from explorer.serving import device as devices
    from explorer.training import data, run
    from explorer.types import Preprocessing

    row = registry.architecture(options.architecture)
    first, last = _layers(options.layers)
    recipe = run.Recipe(
        architecture=options.architecture,
        twicing_filter=registry.twicing_in(row.depth, first, last),
        epochs=options.epochs,
        small_epochs=options.small_epochs,
        small_size=options.small_size,
        batch_size=options.batch_size,
        lr=options.lr,
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
    pair = run.PairRun(recipe, train, validation, preprocessing, options.run_folder)
    for outcome in pair.epochs():
        print("  ".join(f"{key} {value}" for key, value in outcome.row().items()), flush=True)
    names = {"standard": options.title, "twicing": f"{options.title}-Twicing"}
    for path in run.export_pair(
        pair, options.out, options.prefix, names, options.data_note, _describe(recipe), _revision(), options.license
    ):
        print(path)
    return 0


def _layers(text: str) -> tuple[int, int]:
    """`10-12` or `12`, 1-based and inclusive."""
    from explorer.types import ExplorerError

    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise ExplorerError(f"Expected layers as FIRST-LAST, such as 10-12; {text!r} came.") from None


def _describe(recipe: object) -> str:
    return ", ".join(f"{key} {value}" for key, value in vars(recipe).items() if key != "twicing_filter")


def _revision() -> str:
    """The git revision of the code, with a + when the working tree differs from it."""
    here = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
