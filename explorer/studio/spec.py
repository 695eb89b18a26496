"""Every setting of a figure in one record, which is what the page, the shell, Python and the provenance share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from explorer.attribution.settings import PASSES, Baseline, Method
from explorer.disturb.corruptions import Corruption
from explorer.disturb.settings import Kind
from explorer.figures.settings import ColourMap, ColourScale, Look, Page
from explorer.measures.settings import TOKEN, Definition, Matrix, Quantity
from explorer.settings import Option, check, setting, settings_of
from explorer.studio.template import Template
from explorer.types import ExplorerError


class OperatorWeights(Option):
    """Whose weights operators are put on."""

    BASELINE = "baseline"
    TWICING = "twicing"


class Underlay(Option):
    """Which photograph is beneath the maps."""

    SHARP = "sharp"
    """The crop that the models saw, at its own resolution."""
    MODEL = "model"
    """What the model saw."""
    ORIGINAL = "original"
    """All of it."""


class Preset(Option):
    """Where a figure goes."""

    ICLR = "iclr", "ICLR, text width"
    NEURIPS = "neurips", "NeurIPS, text width"
    CVPR_COLUMN = "cvpr-column", "CVPR, one column"
    CVPR_PAGE = "cvpr-page", "CVPR, both columns"
    POSTER = "poster", "A0 poster, half its width"
    SLIDE = "slide", "16:9 slide"


@dataclass(frozen=True)
class Sheet:
    """Inches that a figure may take, points of its type."""

    width: float
    height: float
    font_size: float
    font: str


PRESETS: Mapping[Preset, Sheet] = MappingProxyType(
    {
        Preset.ICLR: Sheet(5.5, 9.0, 8.0, "serif"),
        Preset.NEURIPS: Sheet(5.5, 9.0, 8.0, "serif"),
        Preset.CVPR_COLUMN: Sheet(3.25, 8.875, 8.0, "serif"),
        Preset.CVPR_PAGE: Sheet(6.875, 8.875, 8.0, "serif"),
        Preset.POSTER: Sheet(15.6, 30.0, 24.0, "sans"),
        Preset.SLIDE: Sheet(12.3, 6.6, 16.0, "sans"),
    }
)


_OPERATORS = "standard,twicing,neutreno"
_MOST_BLOCKS = 1000


@dataclass(frozen=True)
class Spec:
    """The settings of one figure. Raises `ExplorerError` for a value out of its range."""

    template: Template
    layers: tuple[int, ...] = setting(
        (), "layers from 1, such as 1,6,12 or 10-12; the template's own by default", (1, 1000)
    )
    heads: str = setting("mean", "mean, max, all, or a head from 1; the same for all rows")
    query: str = setting(
        "cls", "cls, distillation, register-1 and so on, or a place Y,X in shares of what the model saw"
    )
    matrix: Matrix = setting(Matrix.EFFECTIVE, "the matrix whose row is shown")
    quantity: Quantity = setting(Quantity.SMOOTHED_RESIDUAL, "what the residual's maps show")
    operators: str = setting(_OPERATORS, "operators on one set of weights, such as standard,neutreno=0.4,twicing@10-12")
    weights: OperatorWeights = setting(OperatorWeights.BASELINE, "the weights that operators are put on")
    method: Method = setting(Method.GRAD_CAM, "how an attribution is made")
    baseline_picture: Baseline = setting(
        Baseline.MEAN, "what stands for nothing in integrated-gradients, occlusion and feature-ablation"
    )
    path_steps: int = setting(50, "steps of integrated-gradients", PASSES)
    samples: int = setting(16, "of gradient-shap", PASSES)
    square: int = setting(1, "side of occlusion's square in patches; it moves by half of it", (1, 64))
    target: str = setting(
        "", "class of an attribution or attack: name, WordNet id or number; each model's first choice by default"
    )
    corruption: Corruption = setting(Corruption.GAUSSIAN_NOISE, "what disturbs the photograph, in severities 1 to 5")
    final_jpeg: bool = setting(False, "a disturbed photograph ends as JPEG of quality 85, as ImageNet-C's files do")
    attack: Kind = setting(Kind.FGSM, "the attack, with each model's own gradients")
    eps: float = setting(4.0, "budget of an attack in 255ths, 0 to 8, at the model's input", (0.0, 8.0))
    steps: int = setting(20, "steps of pgd", (1, 200))
    step_size: float | None = setting(None, "step of pgd in 255ths; 2.5 eps / steps by default", (0.001, 255.0))
    random_start: bool = setting(False, "pgd starts at a random point of the ball")
    seed: int = setting(0, "of gradient-shap, of a corruption's noise and of the random start", (0, 999_999))
    transfer: bool = setting(False, "robustness also draws each model's top-1 on images made to fool the other")
    with_cls: bool = setting(False, "token similarity counts prefix tokens too")
    absolute: bool = setting(False, "token similarity takes absolute cosines")
    with_diagonal: bool = setting(False, "token similarity counts each token with itself")
    iterations: tuple[int, ...] = setting((1, 2, 6, 12), "n of the filter dynamics, such as 1,2,6,12", (1, 1000))
    scale: ColourScale = setting(
        ColourScale.SHARED, "where colours end: per map, shared by both models, one for the figure"
    )
    colour_map: ColourMap = setting(ColourMap.CIVIDIS, "colours of unsigned maps; signed ones are blue, white, red")
    opacity: float = setting(0.85, "opacity of the largest values over the photograph, 0 to 1", (0.0, 1.0))
    smooth: bool = setting(True, "maps are interpolated between patches")
    bare: bool = setting(False, "maps without the photograph beneath")
    picture: Underlay = setting(Underlay.SHARP, "the photograph: the crop, sharp or as the model saw it, or all of it")
    preset: Preset = setting(Preset.ICLR, "where the figure goes: width, height, font and its size")
    width: float | None = setting(None, "inches, instead of the preset's", (1.0, 50.0))
    height: float | None = setting(None, "the most inches it may be high, instead of the preset's", (1.0, 60.0))
    dpi: int = setting(300, "pixels per inch of PNG, and at most of photographs", (36, 1200))
    font: str | None = setting(None, "serif, sans or an installed font, instead of the preset's")
    font_size: float | None = setting(None, "points, instead of the preset's", (4.0, 72.0))
    row_labels: bool = setting(False, "names of the images beside their rows")
    labels: tuple[str, ...] = setting((), "names for the images, in their order")
    names: tuple[str, ...] = setting((), "names for the two models")
    column_labels: bool = setting(True, "headings above the columns")
    letters: bool = setting(False, "(a), (b), … on rows and panels")
    colour_bar: bool = setting(True, "a colour bar below the maps")
    input_size: int | None = setting(
        None, "pixels on a side of both models' input instead of what they declare", (1, 10_000)
    )

    def __post_init__(self) -> None:
        from explorer.figures.print.page import check_font  # matplotlib comes with it, and this module with help

        check(self)
        if self.heads not in ("mean", "max", "all") and not re.fullmatch("[1-9][0-9]{0,3}", self.heads):
            raise ExplorerError(f"heads: mean, max, all or a number from 1 was expected; {self.heads[:60]!r} came.")
        if len(self.names) not in (0, 2):
            raise ExplorerError(f"names: two names, for the two models, were expected; {len(self.names)} came.")
        if not 1 <= len(self.iterations) <= 12:
            raise ExplorerError(f"iterations: 1 to 12 numbers were expected; {len(self.iterations)} came.")
        _ = self.operator_texts
        if self.matrix is Matrix.ROLLOUT and "matrix" in self.template.settings and self.heads != "mean":
            raise ExplorerError(f"heads: mean was expected, which the rollout takes by itself; {self.heads} came.")
        page = self.page
        if page.width * page.height * self.dpi**2 > 2e8:
            raise ExplorerError(
                f"At most 200 megapixels were expected; {page.width:g} x {page.height:g} in at {self.dpi} dpi came."
            )
        _ = self.place
        check_font(page.font)

    @property
    def place(self) -> tuple[float, float] | None:
        """The query's place as shares of what the model saw, downwards and across; `None` is a prefix token."""
        if TOKEN.fullmatch(self.query):
            return None
        try:
            y, x = (float(part) for part in self.query.split(","))
        except ValueError:
            y = x = math.nan
        if not (0 <= y <= 1 and 0 <= x <= 1):
            raise ExplorerError(
                f"query: cls, distillation, register-1 or Y,X between 0 and 1 was expected; {self.query[:60]!r} came."
            )
        return y, x

    @property
    def operator_texts(self) -> tuple[str, ...]:
        """Each operator, with its blocks; 1 to 12 of them, none twice."""
        texts = tuple(text.strip() for text in self.operators.split(","))
        if not 1 <= len(set(texts)) == len(texts) <= 12:
            raise ExplorerError(f"operators: 1 to 12 different ones were expected; {self.operators[:60]!r} came.")
        if self.operators != _OPERATORS:  # which are right; others are read with torch
            from explorer.paper import operators

            for text in texts:
                operators.in_blocks(text, _MOST_BLOCKS)
        return texts

    @property
    def page(self) -> Page:
        preset = PRESETS[self.preset]
        return Page(
            width=preset.width if self.width is None else self.width,
            height=preset.height if self.height is None else self.height,
            dpi=self.dpi,
            font=preset.font if self.font is None else self.font,
            font_size=preset.font_size if self.font_size is None else self.font_size,
        )

    @property
    def look(self) -> Look:
        return Look(self.colour_map, self.opacity, self.smooth)

    @property
    def definition(self) -> Definition:
        return Definition(self.with_cls, self.absolute, self.with_diagonal)

    def as_settings(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"template": self.template.name, **{each.name: getattr(self, each.name) for each in SETTINGS}}


SETTINGS = settings_of(Spec)
"""All settings but the template."""
