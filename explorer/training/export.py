"""A run's moving averages as checkpoints with complete metadata."""

from __future__ import annotations

from pathlib import Path

from explorer import files
from explorer.models import checkpoints, registry
from explorer.training.learner import VARIANTS
from explorer.training.run import PairRun


def export_pair(
    run: PairRun,
    folder: Path,
    prefix: str,
    names: dict[str, str],
    data: str,
    recipe: str,
    git_revision: str,
    license: str = checkpoints.UNDECLARED,
) -> list[Path]:
    """Writes both variants' moving averages with complete metadata, and the log of curves beside them.

    A run that is not at its end says so in the recipe; `top1` is that of the last epoch.
    """
    if run.epoch < run.recipe.epochs:
        recipe = f"{recipe}, after epoch {run.epoch}"
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for variant in VARIANTS:
        depth = registry.architecture(run.recipe.architecture).depth
        declared = checkpoints.declare(
            name=names[variant],
            architecture=run.recipe.architecture,
            filter=registry.uniform_filter(depth, 1.0) if variant == "standard" else run.recipe.twicing_filter,
            classes=tuple(c.name for c in run.train.classes),
            wnids=tuple(c.wnid for c in run.train.classes),
            preprocessing=run.preprocessing,
            recipe=recipe,
            data=data,
            top1=run.rows[-1][f"{variant}_top1"],
            git_revision=git_revision,
            license=license,
        )
        path = folder / f"{prefix}-{variant}.safetensors"
        checkpoints.save(path, run.export(variant), declared)
        written.append(path)
    log = folder / f"{prefix}-log.csv"
    files.write_atomically(log, run.log())
    return [*written, log]
