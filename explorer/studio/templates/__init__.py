"""The kinds of figures there are: each is a module with its `TEMPLATE`, and a line of the table below."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from explorer.studio.template import Template
from explorer.types import ExplorerError

LINES: Mapping[str, str] = {
    "heatmaps": "image, baseline, twicing; a row for each image (Fig. 1, 11)",
    "evolution": "layers early to late, a row for each model (Fig. 10)",
    "similarity": "token similarity over the images with its band (Fig. 2, 8)",
    "dynamics": "p^n and p_hat^n; with images, the models' eigenvalues beneath (Fig. 3)",
    "spectrum": "eigenvalues before and after 2λ - λ², layer by layer",
    "residual": "magnitudes of the smoothed residual as maps and by layer",
    "matrices": "A, A - A², 2A - A² for one query",
    "operators": "any operators on one set of weights: maps of E and E_0, and token similarity",
    "attribution": "what speaks for a class and against it: image, baseline, twicing",
    "corruption": "a disturbed photograph and both models' maps by severity, and the drift of attention",
    "attack": "clean, perturbation, adversarial; a row for each model",
    "robustness": "top-1 against the budget of an attack (Fig. 5, 6); --images are result files of `robustness`",
}
"""What the shell says of each, by name, in the order in which the page offers them."""

if TYPE_CHECKING:
    TEMPLATES: Mapping[str, Template]


def __getattr__(name: str) -> Any:
    """`TEMPLATES`, by name, on use: they bring torch and matplotlib with them."""
    if name == "TEMPLATES":
        return _templates()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _templates() -> Mapping[str, Template]:
    return {name: import_module(f"{__name__}.{name}").TEMPLATE for name in LINES}


def template_called(name: str) -> Template:
    """The template of this name. Raises `ExplorerError` for a name there is none of."""
    templates = _templates()
    if name not in templates:
        raise ExplorerError(f"One of {', '.join(templates)} was expected; {name[:60]!r} came.")
    return templates[name]
