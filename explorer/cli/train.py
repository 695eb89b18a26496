"""`python -m explorer train`, `branch` and `keep`: models on the same batches, a pair off them, a small copy."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.models.starts import Start
    from explorer.training.recipe import Recipe
    from explorer.training.settings import Reading, TrainingRun
    from explorer.types import Operators, Preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_TRAIN = """\
Trains models that differ in their operator alone, from one start and on the same batches. The rate rises, then stays:
the run has no end of its own. `branch` takes a finished pair off it at any time, in a decay of the rate, and the run
goes on from before it; --core-hours ends it with such a decay, or once the validation loss stops falling.

A run is a folder. The same command goes on with it after any kill, losing five minutes at most. On a CPU each model has
a process and a core of its own; each line of their logs has the digest of all batches so far, and they are compared."""
_BRANCH = """\
Plans a decay of the rate in a run that is going on, or that goes on later: from the next step that no model has reached
the rate goes to 0 at --size pixels, the average's checkpoint is written, and the run goes on from before it."""
_KEEP = """\
Writes the average of every model of a run in 8 bits, one scale for each row: 22 MB for a DeiT-Small, enough to go on
from when the run's own folder is lost. `train --resume FOLDER` begins there, with new moments and a warm-up."""


def add_train(parser: argparse.ArgumentParser) -> None:
    from explorer.cli.options import declare
    from explorer.training.recipe import Augmentation, Recipe
    from explorer.training.settings import Reading, Schedule

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _TRAIN
    parser.set_defaults(run=_train)
    data = parser.add_argument_group("data")
    data.add_argument("--train", type=Path, nargs="+", required=True, metavar="DATA", help="Parquet files or a folder")
    data.add_argument("--val", type=Path, nargs="+", required=True, metavar="DATA", help="Parquet files or a folder")
    data.add_argument("--classes", type=Path, help="class list of Parquet data: index, wnid and name, tab-separated")
    data.add_argument("--wnids", help="comma-separated WordNet ids to keep; all by default")
    declare(data, Reading)
    models = parser.add_argument_group("models")
    models.add_argument("--architecture", default="deit_tiny_patch8_64", help="of all models; that of --init, if given")
    models.add_argument("--init", type=Path, metavar="FILE", help="start, as import-weights writes it; random without")
    models.add_argument("--operators", default="standard,twicing", help="as in standard,twicing,twicing@10-12")
    models.add_argument("--resume", type=Path, metavar="FOLDER", help="begin with what `keep` wrote, not at the start")
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument(
        "--sizes", default="112", metavar="PX[,PX@EPOCH]", help="pixels a side, as in 112,160@1.5,224@3"
    )
    declare(recipe, Recipe)
    recipe.add_argument("--scale", type=float, default=0.5, help="smallest crop, as a share of the area (0.5)")
    declare(recipe, Augmentation)
    declare(parser.add_argument_group("end"), Schedule)
    out = parser.add_argument_group("what comes out")
    out.add_argument("--run-folder", type=Path, required=True, help="of the run; goes on with what is there")
    out.add_argument("--prefix", required=True, help="first part of the checkpoints' file names")
    out.add_argument("--title", required=True, help="name of the standard model on the screen")
    out.add_argument("--data-note", required=True, help="what the data is and under which terms")
    out.add_argument("--license", help="terms of the weights; those of the start by default")
    parser.add_argument("--compile", action="store_true", help="torch.compile all models")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")


def add_branch(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _BRANCH
    parser.set_defaults(run=_branch)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--steps", type=int, required=True, help="of the decay")
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="pixels a side in it (224)")
    parser.add_argument("--last", action="store_true", help="the run ends with it")


def add_keep(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _KEEP
    parser.set_defaults(run=_keep)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a file for each model goes there")


def _train(options: argparse.Namespace) -> int:
    from explorer import files
    from explorer.cli.options import given
    from explorer.models import registry, starts
    from explorer.models.classes import read_classes
    from explorer.serving import device as devices
    from explorer.training import kept, processes, stored
    from explorer.training.recipe import operators
    from explorer.training.settings import Reading, Schedule

    reading, schedule = Reading(**given(options, Reading)), Schedule(**given(options, Schedule))
    start = starts.load_start(options.init) if options.init else None
    architecture = start.architecture if start else options.architecture
    row = registry.architecture(architecture)
    chosen = operators(options.operators, row.depth)
    recipe = _recipe(options, architecture, start)
    device = devices.device_called(options.device)
    run = _run(options, recipe, chosen, start, str(device))
    classes = read_classes(options.classes) if options.classes else None
    wnids = options.wnids.split(",") if options.wnids else None
    files.make_folder(run.folder)  # before hours go into the data
    for folder, paths in zip(run.stored, (options.train, options.val), strict=True):
        stored.store(folder, paths, reading.source_size, classes, wnids)
    if start:
        kept.begin(run, start.state)
    steps = max(1, schedule.last_decay // recipe.batch_size)
    ending = processes.Ending(schedule.core_hours, steps, schedule.last_size or row.input_size[0])
    processes.train(run, ending, lambda text: print(text, flush=True))
    return 0


def _recipe(options: argparse.Namespace, architecture: str, start: Start | None) -> Recipe:
    from explorer.cli.options import given
    from explorer.training.recipe import Augmentation, Recipe
    from explorer.training.settings import Reading
    from explorer.types import Interpolation

    sizes, source_size = _sizes(options.sizes), Reading(**given(options, Reading)).source_size
    return Recipe(
        architecture=architecture,
        start=start.digest if start else None,
        sizes=sizes,
        augmentation=Augmentation(
            scale=(options.scale, 1.0),
            interpolation=Interpolation.BICUBIC if sizes[0][1] > source_size else Interpolation.BILINEAR,
            **given(options, Augmentation),
        ),
        **given(options, Recipe),
    )


def _run(
    options: argparse.Namespace,
    recipe: Recipe,
    operators: Mapping[str, Operators],
    start: Start | None,
    device: str,
) -> TrainingRun:
    from explorer.cli.options import given
    from explorer.models.declaration import UNDECLARED
    from explorer.training.settings import About, Reading, Schedule, TrainingRun

    about = About(
        prefix=options.prefix,
        title=options.title,
        recipe=_describe(recipe),
        data=options.data_note,
        license=options.license or (start.license if start else UNDECLARED),
        git_revision=_revision(),
        origin=f"{start.origin}; {'; '.join(start.changes)}" if start else None,
    )
    return TrainingRun(
        folder=options.run_folder,
        recipe=recipe,
        operators=operators,
        preprocessing=_preprocessing(Reading(**given(options, Reading)), recipe.architecture),
        about=about,
        device=device,
        compiled=options.compile,
        resumed=options.resume,
        evaluate_every=Schedule(**given(options, Schedule)).evaluate_every,
    )


def _preprocessing(reading: Reading, architecture: str) -> Preprocessing:
    from explorer.models import registry
    from explorer.types import Preprocessing

    size = registry.architecture(architecture).input_size
    source = (reading.source_size, reading.source_size)
    return Preprocessing(
        input_size=size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        source_size=source if source < size and not reading.sharp else None,
    )


def _branch(options: argparse.Namespace) -> int:
    from explorer.training import plan

    decay = plan.add(options.run_folder, options.steps, options.size, options.last)
    print(f"A decay of {decay.steps} steps at {decay.size} px begins at step {decay.at}.")
    return 0


def _keep(options: argparse.Namespace) -> int:
    from explorer.training import kept

    for path in kept.keep(options.run_folder, options.out):
        print(path)
    return 0


def _sizes(text: str) -> tuple[tuple[float, int], ...]:
    """`112,160@1.5` as pixels a side from an epoch on; the first is from epoch 0."""
    from explorer.types import ExplorerError

    try:
        parts = [part.partition("@") for part in text.split(",")]
        return tuple((float(epoch or 0), int(size)) for size, _, epoch in parts)
    except ValueError:
        raise ExplorerError(f"Sizes such as 112,160@1.5,224@3 were expected; {text[:60]!r} came.") from None


def _describe(recipe: Recipe) -> str:
    """Every setting in words; the checkpoints declare the operator by itself."""
    settings = {key: value for key, value in vars(recipe).items() if key != "augmentation"}
    sizes = ", ".join(f"{size} from epoch {epoch:g}" for epoch, size in recipe.sizes)
    return f"{_listed(settings | {'sizes': sizes})}; augmentation: {_listed(vars(recipe.augmentation))}"


def _listed(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_said(value)}" for key, value in settings.items())


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_said, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _revision() -> str:
    """The git revision of the code, with a + when the working tree differs from it; of a checkout only."""
    from explorer.places import SITE

    here = Path(__file__).parents[1]
    if SITE.is_relative_to(here):  # installed, and the repository around it, if there is one, is another's
        return "unknown"

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
