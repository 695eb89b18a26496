"""What is asked of work over images; without torch, for the commands whose options these are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from explorer.disturb.corruptions import SEVERITIES, Corruption
from explorer.measures.settings import Queries
from explorer.settings import SEEDS, SIDES, Option, check, setting
from explorer.types import ExplorerError

_SOME = (1, math.inf)
_AT_ONCE = (1, 4096)
"""Images of a batch."""


@dataclass(frozen=True)
class Plan:
    """Which disturbances every image goes through; the clean picture comes with each kind."""

    kinds: tuple[Corruption, ...] = setting(tuple(Corruption), "what is done to each image", flag="kind")
    severities: tuple[int, ...] = setting(
        (),
        "ImageNet-C's, or at 64 px Tiny-ImageNet-C's, such as 1,3-5; 1-5 by default",
        (SEVERITIES[0], SEVERITIES[-1]),
    )
    strength: tuple[float, ...] = setting((), "any strength up to 5, such as 2.5; instead of severities or with them")
    seed: int = setting(0, "of noise and occlusion", (0, 9999))
    first_token: bool = setting(False, "attention rows of the first token, CLS, instead of all")
    final_jpeg: bool = setting(False, "pictures end as JPEG of quality 85, as ImageNet-C's files do")

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ExplorerError("At least one corruption was expected; none came.")
        for strength in self.strength:
            if not 0 < strength <= SEVERITIES[-1]:  # NaN is neither
                raise ExplorerError(f"strength: numbers above 0 and up to 5 were expected; {strength:g} came.")
        check(self)

    @property
    def strengths(self) -> tuple[float, ...]:
        """Severities and others in order, above 0."""
        return tuple(sorted({*map(float, self.severities), *self.strength})) or tuple(map(float, SEVERITIES))

    @property
    def queries(self) -> Queries:
        return Queries.FIRST if self.first_token else Queries.ALL


@dataclass(frozen=True)
class Evaluation:
    """What is measured of checkpoints besides their accuracy, and on which of the images."""

    source_size: int | None = setting(
        None, "read the data at so many pixels a side, instead of as the models see pictures", SIDES
    )
    images: int | None = setting(
        None, "evaluate at most so many of them, drawn by their names alone; all by default", _SOME
    )
    measures: int | None = setting(None, "measure on so many of the images too", _SOME)
    seed: int = setting(0, "of the draw of those images", SEEDS)
    times: tuple[int, ...] = setting((), "time forward passes of batches of so many images too, as in 1,64", _AT_ONCE)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Sample:
    """Which of the images are attacked, how many at a time, and how they are read."""

    images: int | None = setting(
        None, "attack at most so many of them, drawn by their names alone; all by default", _SOME
    )
    batch_size: int = setting(25, "images attacked together", _AT_ONCE)
    source_size: int | None = setting(
        None, "read the data at so many pixels a side, instead of as the models see pictures", SIDES
    )

    def __post_init__(self) -> None:
        check(self)


class Precision(Option):
    """In which numbers a model computes."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class Passes:
    """How plain passes are made."""

    precision: Precision = setting(
        Precision.FLOAT32,
        "numbers of weights and passes; bfloat16 takes about half the time on CPUs with avx512_bf16, differs by up to "
        "0.0007 in similarity, and the file says so",
    )
