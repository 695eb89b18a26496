"""Frozen records that travel between the parts of the package, and the axis vocabulary.

Axis names used in annotations everywhere (one meaning each):

| name          | meaning                                                            |
|---------------|--------------------------------------------------------------------|
| `layer`       | transformer block, 0-based in code, 1-based in what people read    |
| `state`       | the residual stream: the embedding, then after every block         |
| `head`        | attention head                                                     |
| `query`/`key` | token as row / column of an attention matrix                       |
| `token`       | any token: prefix tokens (CLS, ...) first, then patches row by row |
| `patch`       | patch tokens only, row by row                                      |
| `channel`     | channel of one head                                                |
| `dim`         | channel of the residual stream                                     |

Sizes are always `(height, width)`. This module imports nothing of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from jaxtyping import UInt8

Size = tuple[int, int]
"""`(height, width)`."""

Picture = UInt8[np.ndarray, "height width 3"]
"""RGB pixels."""


@dataclass(frozen=True, repr=False)
class Operator:
    """What a block makes of its values: a *kernel* makes `A`, a *filter* says what is done with it, by their names.

    `paper.operators` knows what the names mean; here stands nothing but which ones were chosen.
    """

    filter: str = "standard"
    parameter: float | None = None
    """Of the filter, where it takes one."""
    kernel: str = "softmax"

    @property
    def is_quadratic(self) -> bool:
        """Whether it is `a A + (1 - a) A^2` of softmax attention."""
        return self.kernel == "softmax" and self.filter in ("standard", "twicing", "quadratic")

    def __str__(self) -> str:
        """As settings, files and links spell it: `twicing`, `neutreno=0.6`, `linear`, `linear-twicing`."""
        filter = self.filter if self.parameter is None else f"{self.filter}={_digits(self.parameter)}"
        if self.kernel == "softmax":
            return filter
        return self.kernel if filter == "standard" else f"{self.kernel}-{filter}"

    def __repr__(self) -> str:
        """The quadratic filters as their numbers, as they always were: keys, which addresses hold, are made of it."""
        number = {"standard": 1.0, "twicing": 2.0, "quadratic": self.parameter}.get(self.filter)
        return repr(str(self) if number is None or self.kernel != "softmax" else number)


Operators = tuple[Operator, ...]
"""The operator of every block."""
Filter = Operators

Progress = Callable[[int, int], None]
"""Told `(done, total)` in passes of one image, before the first and after each; what it raises cancels the work."""
WAITING = (0, 0)
"""What `Progress` is told while others have their turn, about four times a second; it can cancel there as well."""

STANDARD = Operator("standard")
TWICING = Operator("twicing")
DIFFERENTIAL = Operator(kernel="differential")


class ExplorerError(Exception):
    """Something a person can act on. The message is one sentence: what was expected, what came."""


class BusyError(ExplorerError):
    """Too many wait at the moment: the same, asked for again, may well be answered."""


class Spelled(StrEnum):
    """A choice whose `repr` is that of its spelling: keys of cards and of maps are made of it."""

    def __repr__(self) -> str:
        return repr(self.value)


class Interpolation(Spelled):
    """How pixels are resized."""

    BICUBIC = "bicubic"
    BILINEAR = "bilinear"


class CropMode(Spelled):
    """What becomes of the aspect of a picture."""

    CENTER = "center"
    """It is kept, and the longer side cut."""
    SQUASH = "squash"
    """It is not kept, and nothing is cut."""


@dataclass(frozen=True)
class Preprocessing:
    """How a checkpoint wants its pixels.

    `source_size` is the size of the images the weights were trained on, where that was smaller than
    the input: the picture passes through it, so that the model sees the blur it knows.
    """

    input_size: Size
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_pct: float = 1.0
    source_size: Size | None = None
    interpolation: Interpolation = Interpolation.BICUBIC
    crop_mode: CropMode = CropMode.CENTER


@dataclass(frozen=True, eq=False)
class ImageInput:
    """A decoded image: upright RGB pixels and the SHA-256 of the bytes it came from, or of that and a crop."""

    digest: str
    rgb: UInt8[np.ndarray, "height width 3"]
    notes: tuple[str, ...] = ()
    """What was done to the picture that its owner may not expect, one sentence each."""
    view_of: Preprocessing | None = None
    """Where `rgb` is no more than what models of this preprocessing see of the picture, which is all they need."""

    @property
    def size(self) -> Size:
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def nbytes(self) -> int:
        return self.rgb.nbytes


@dataclass(frozen=True)
class ModelCard:
    """What is declared about a set of weights; twicing adds no parameters, so nothing here can be read off them."""

    name: str
    architecture: str
    """Its name, and in brackets the options of timm that it was declared with."""
    filter: Filter
    trained_filter: Filter
    classes: tuple[str, ...]
    """Empty when nobody names what the logits stand for, as in models without a classifier."""
    wnids: tuple[str, ...]
    outputs: int = field(repr=False)  # which the weights decide: `key`, that addresses hold, does without
    """How many logits there are; 0 of a model without a classifier."""
    preprocessing: Preprocessing
    recipe: str
    data: str
    top1: float | None
    """Top-1 accuracy on the validation images, in percent, of the weights under their own filter."""
    git_revision: str
    digest: str
    """SHA-256 of the checkpoint file; of one of several sets of weights in it, see `checkpoints.load`."""
    source: str = "unknown"
    """Where the weights came from: a file's name, or the hub and the name there."""
    declared_by: str = "the file's own metadata"
    """Who says which filter the weights were trained with."""
    license: str = "not declared"
    declares_crop: bool = field(default=True, repr=False)
    """Whether somebody says how much of a picture is cut out, or timm's value for the architecture stands in."""
    is_resized: bool = field(default=False, repr=False)
    """Whether the input has another size than its architecture's, as declared or as asked."""
    changes: tuple[str, ...] = field(default=(), repr=False)
    """What was done to the weights when they were loaded, one sentence each."""
    is_packed: bool = field(default=False, repr=False)
    """Whether linear layers compute on a second copy of their weights, see `models.packed`."""
    is_bfloat16: bool = field(default=False, repr=False)
    """Whether weights were rounded to bfloat16, and passes compute in it."""

    @property
    def is_counterfactual(self) -> bool:
        """True when the operator was swapped on weights that were trained with another one."""
        return self.filter != self.trained_filter

    @property
    def is_standard(self) -> bool:
        return all(operator == STANDARD for operator in self.filter)

    @property
    def is_twicing(self) -> bool:
        """True with twicing in every block or in some, and the standard filter in the others."""
        return set(self.filter) <= {STANDARD, TWICING} and not self.is_standard

    @property
    def operator(self) -> str:
        """What the blocks apply, in symbols where it is one of the quadratic filters, else by name."""
        others = {operator for operator in self.filter if operator != STANDARD}
        if not others:
            return _symbol(STANDARD)
        if len(others) > 1:
            return _QUADRATIC if all(each.is_quadratic for each in others) else "operators by block"
        (operator,) = others
        blocks = [str(block) for block, each in enumerate(self.filter, start=1) if each == operator]
        if len(blocks) == len(self.filter):
            return _symbol(operator)
        return _QUADRATIC if operator.filter == "quadratic" else f"{_symbol(operator)} in blocks {', '.join(blocks)}"

    @property
    def title(self) -> str:
        """The model's name, with a swapped operator said aloud."""
        return f"{self.name}, operator swapped to {self.operator}" if self.is_counterfactual else self.name

    @cached_property
    def key(self) -> str:
        """Identity of what is computed and of what is said about it: the weights, and everything declared."""
        return f"{self.digest[:16]}:{hashlib.sha256(repr(self).encode()).hexdigest()[:16]}"

    @property
    def chance(self) -> str:
        """How many classes there are to guess from, and how often a guess is right."""
        if count := len(self.classes):
            return f"{count} classes (chance {100 / count:.1f}%)"
        unnamed = f', {self.outputs:,} by number ("classes" in their declaration names them)' if self.outputs else ""
        return f"no named classes{unnamed}"

    def with_input_size(self, size: Size) -> ModelCard:
        """The same weights at another size of their input; what that changes of them is said by who changes it."""
        return replace(self, preprocessing=replace(self.preprocessing, input_size=size))

    def with_filter(self, filter: Filter) -> ModelCard:
        """The same weights under another filter, declared as such."""
        if len(filter) != len(self.filter):
            raise ExplorerError(f"An operator is needed for each of the {len(self.filter)} blocks; {len(filter)} came.")
        return replace(self, filter=filter)


def _digits(number: float) -> str:
    """All that it has, and no more."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


_QUADRATIC = "aA + (1 − a)A²"


def _symbol(operator: Operator) -> str:
    known = {STANDARD: "A", TWICING: "2A − A²"}
    return known.get(operator) or (_QUADRATIC if operator.is_quadratic else str(operator))


def prefix_names(count: int, has_class_token: bool, has_distillation_token: bool) -> tuple[str, ...]:
    """What people call a model's prefix tokens, in their order: CLS, distillation, register 1, register 2, ..."""
    known = ("CLS",) * has_class_token + ("distillation",) * has_distillation_token
    return known + tuple(f"register {number}" for number in range(1, count - len(known) + 1))


ROLES = ("baseline", "twicing")
"""What the two models of a pair are called, in their order."""
