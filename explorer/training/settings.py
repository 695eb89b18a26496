"""All that a process needs to train its part of a run, as plain data, because it travels to other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from explorer.settings import MANY, SIDES, check, setting
from explorer.training.recipe import Recipe
from explorer.types import Filter, Preprocessing

_IMAGES = (1, 10**9)


@dataclass(frozen=True)
class Reading:
    """How images are read."""

    source_size: int = setting(64, "pixels a side of the training images", SIDES)
    sharp: bool = setting(False, "the checkpoints read photographs at their input size, not through that")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Schedule:
    """When a run is evaluated, and when and how it ends by itself."""

    core_hours: float | None = setting(
        None, "of all models together, the last decay included; endless without", (0.0, float(MANY))
    )
    last_decay: int = setting(20_000, "images of the last decay", _IMAGES)
    last_size: int | None = setting(None, "pixels a side in it; the input size by default", SIDES)
    evaluate_every: int = setting(20_000, "images between evaluations", _IMAGES)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class About:
    """What checkpoints of a run declare in words."""

    prefix: str
    """First part of their file names."""
    title: str
    """Name of the standard model on the screen; others have their operator behind it."""
    recipe: str
    data: str
    license: str
    git_revision: str
    origin: str | None = None
    """Who made the start, where there is one."""


@dataclass(frozen=True)
class TrainingRun:
    """What is trained, how, from what and where."""

    folder: Path
    recipe: Recipe
    operators: Mapping[str, Filter]
    preprocessing: Preprocessing
    """What the checkpoints declare; training and validation resize on their own."""
    about: About
    resumed: Path | None = None
    """Folder of what `kept.keep` wrote, to begin with."""
    device: str = "cpu"
    compiled: bool = False
    validation_images: int = 2000
    evaluate_every: int = 20_000
    """Images between two evaluations of the trunk; a decay is evaluated at its end."""

    @property
    def stored(self) -> tuple[Path, Path]:
        """Folders of the decoded training and validation images."""
        return self.folder / "data" / "train", self.folder / "data" / "validation"

    @property
    def start(self) -> Path:
        """All weights that every model starts from."""
        return self.folder / "start.safetensors"
