"""Every setting of a figure in one record, which is what the page, the shell, Python and the provenance share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from explorer.attribution.result import Baseline, Method
from explorer.disturb.corruptions import Corruption
from explorer.figures.maps import Look
from explorer.figures.print.page import Page, check_font
from explorer.figures.style import COLOUR_MAPS
from explorer.measures.attention import TOKEN, Matrix
from explorer.measures.residual import QUANTITIES, Quantity
from explorer.measures.similarity import Definition
from explorer.studio.template import Template
from explorer.types import ExplorerError


@dataclass(frozen=True)
class Preset:
    """Where a figure goes: inches it may take, points of its type."""

    title: str
    width: float
    height: float
    font_size: float
    font: str


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "iclr": Preset("ICLR, text width", 5.5, 9.0, 8.0, "serif"),
        "neurips": Preset("NeurIPS, text width", 5.5, 9.0, 8.0, "serif"),
        "cvpr-column": Preset("CVPR, one column", 3.25, 8.875, 8.0, "serif"),
        "cvpr-page": Preset("CVPR, both columns", 6.875, 8.875, 8.0, "serif"),
        "poster": Preset("A0 poster, half its width", 15.6, 30.0, 24.0, "sans"),
        "slide": Preset("16:9 slide", 12.3, 6.6, 16.0, "sans"),
    }
)

SCALES = ("map", "shared", "figure")
PICTURES = ("sharp", "model", "original")
_MATRICES = {"effective": Matrix.EFFECTIVE, "a": Matrix.ATTENTION, "a-a2": Matrix.CORRECTION}
MATRICES = MappingProxyType({**_MATRICES, "2a-a2": Matrix.TWICING, "rollout": Matrix.ROLLOUT})


METHODS = tuple(method.slug for method in Method)
BASELINES = tuple(baseline.value for baseline in Baseline)
CORRUPTIONS = tuple(corruption.slug for corruption in Corruption)
ATTACKS = ("fgsm", "pgd")


def _setting(default: Any, help: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class Spec:
    """The settings of one figure. Raises `ExplorerError` for a value out of its range."""

    template: Template
    layers: tuple[int, ...] = _setting((), "layers from 1, such as 1,6,12 or 10-12; the template's own by default")
    heads: str = _setting("mean", "mean, max, all, or a head from 1; the same for all rows")
    query: str = _setting(
        "cls", "cls, distillation, register-1 and so on, or a place Y,X in shares of what the model saw"
    )
    matrix: str = _setting("effective", "the matrix whose row is shown", tuple(MATRICES))
    quantity: str = _setting("smoothed-residual", "what the residual's maps show", QUANTITIES)
    method: str = _setting("grad-cam", "how an attribution is made", METHODS)
    baseline_picture: str = _setting(
        "mean colour", "what stands for nothing in integrated-gradients, occlusion and feature-ablation", BASELINES
    )
    path_steps: int = _setting(50, "steps of integrated-gradients")
    samples: int = _setting(16, "of gradient-shap")
    square: int = _setting(1, "side of occlusion's square in patches; it moves by half of it")
    target: str = _setting(
        "", "class of an attribution or attack: name, WordNet id or number; each model's first choice by default"
    )
    corruption: str = _setting("gaussian-noise", "what disturbs the photograph, in severities 1 to 5", CORRUPTIONS)
    attack: str = _setting("fgsm", "the attack, with each model's own gradients", ATTACKS)
    eps: float = _setting(4.0, "budget of an attack in 255ths, 0 to 8, at the model's input")
    steps: int = _setting(20, "steps of pgd")
    step_size: float | None = _setting(None, "step of pgd in 255ths; 2.5 eps / steps by default")
    random_start: bool = _setting(False, "pgd starts at a random point of the ball")
    seed: int = _setting(0, "of gradient-shap, of a corruption's noise and of the random start")
    transfer: bool = _setting(False, "robustness also draws each model's top-1 on images made to fool the other")
    with_cls: bool = _setting(False, "token similarity counts prefix tokens too")
    absolute: bool = _setting(False, "token similarity takes absolute cosines")
    with_diagonal: bool = _setting(False, "token similarity counts each token with itself")
    iterations: tuple[int, ...] = _setting((1, 2, 6, 12), "n of the filter dynamics, such as 1,2,6,12")
    scale: str = _setting("shared", "where colours end: per map, shared by both models, one for the figure", SCALES)
    colour_map: str = _setting("cividis", "colours of unsigned maps; signed ones are blue, white, red", COLOUR_MAPS)
    opacity: float = _setting(0.85, "opacity of the largest values over the photograph, 0 to 1")
    smooth: bool = _setting(True, "maps are interpolated between patches")
    bare: bool = _setting(False, "maps without the photograph beneath")
    picture: str = _setting("sharp", "the photograph: the crop, sharp or as the model saw it, or all of it", PICTURES)
    preset: str = _setting("iclr", "where the figure goes: width, height, font and its size", tuple(PRESETS))
    width: float | None = _setting(None, "inches, instead of the preset's")
    height: float | None = _setting(None, "the most inches it may be high, instead of the preset's")
    dpi: int = _setting(300, "pixels per inch of PNG, and at most of photographs")
    font: str | None = _setting(None, "serif, sans or an installed font, instead of the preset's")
    font_size: float | None = _setting(None, "points, instead of the preset's")
    row_labels: bool = _setting(False, "names of the images beside their rows")
    labels: tuple[str, ...] = _setting((), "names for the images, in their order")
    names: tuple[str, ...] = _setting((), "names for the two models")
    column_labels: bool = _setting(True, "headings above the columns")
    letters: bool = _setting(False, "(a), (b), … on rows and panels")
    colour_bar: bool = _setting(True, "a colour bar below the maps")

    def __post_init__(self) -> None:
        for setting in fields(self)[1:]:
            choices, value = setting.metadata["choices"], getattr(self, setting.name)
            if choices and value not in choices:
                raise ExplorerError(
                    f"{setting.name}: one of {', '.join(choices)} was expected; {str(value)[:60]!r} came."
                )
        self._check_numbers()
        if self.heads not in ("mean", "max", "all") and not re.fullmatch("[1-9][0-9]{0,3}", self.heads):
            raise ExplorerError(f"heads: mean, max, all or a number from 1 was expected; {self.heads[:60]!r} came.")
        if len(self.names) not in (0, 2):
            raise ExplorerError(f"names: two names, for the two models, were expected; {len(self.names)} came.")
        if self.matrix == "rollout" and "matrix" in self.template.settings and self.heads != "mean":
            raise ExplorerError(f"heads: mean was expected, which the rollout takes by itself; {self.heads} came.")
        _ = self.place
        check_font(self.page.font)

    def _check_numbers(self) -> None:
        page = self.page
        limits = [
            ("width", page.width, 1.0, 50.0),
            ("height", page.height, 1.0, 60.0),
            ("dpi", self.dpi, 36, 1200),
            ("font_size", page.font_size, 4, 72),
            ("opacity", self.opacity, 0.0, 1.0),
            ("path_steps", self.path_steps, 1, 1000),
            ("samples", self.samples, 1, 1000),
            ("square", self.square, 1, 64),
            ("eps", self.eps, 0.0, 8.0),
            ("steps", self.steps, 1, 200),
            *((("step_size", self.step_size, 0.001, 255.0),) if self.step_size is not None else ()),
            ("seed", self.seed, 0, 999_999),
            *(("iterations", n, 1, 1000) for n in self.iterations),
            *(("layers", n, 1, 1000) for n in self.layers),
        ]
        if not 1 <= len(self.iterations) <= 12:
            raise ExplorerError(f"iterations: 1 to 12 numbers were expected; {len(self.iterations)} came.")
        for name, value, low, high in limits:
            if not (math.isfinite(value) and low <= value <= high):
                raise ExplorerError(f"{name}: {low:g} to {high:g} was expected; {value:g} came.")
        if page.width * page.height * self.dpi**2 > 2e8:
            raise ExplorerError(
                f"At most 200 megapixels were expected; {page.width:g} x {page.height:g} in at {self.dpi} dpi came."
            )

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
        return Look(self.colour_map, self.opacity, self.smooth)  # type: ignore[arg-type]  # checked above

    @property
    def magnitude(self) -> Quantity:
        """The residual's quantity."""
        return self.quantity  # type: ignore[return-value]  # checked above

    @property
    def definition(self) -> Definition:
        return Definition(self.with_cls, self.absolute, self.with_diagonal)

    def changed(self) -> dict[str, Any]:
        """The settings that are not the defaults."""
        values = {setting.name: getattr(self, setting.name) for setting in SETTINGS}
        return {setting.name: values[setting.name] for setting in SETTINGS if values[setting.name] != setting.default}

    def as_settings(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"template": self.template.name, **{setting.name: getattr(self, setting.name) for setting in SETTINGS}}


SETTINGS = fields(Spec)[1:]
"""All settings but the template, with their help and choices."""
