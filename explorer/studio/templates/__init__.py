"""The kinds of figures there are: each is a module with its `TEMPLATE`, and a line of the table below."""

from __future__ import annotations

from collections.abc import Mapping

from explorer.studio.template import Template
from explorer.studio.templates import (
    attack,
    attribution,
    corruption,
    dynamics,
    evolution,
    heatmaps,
    matrices,
    residual,
    robustness,
    similarity,
    spectrum,
)
from explorer.types import ExplorerError

TEMPLATES: Mapping[str, Template] = {
    template.name: template
    for template in (
        heatmaps.TEMPLATE,
        evolution.TEMPLATE,
        similarity.TEMPLATE,
        dynamics.TEMPLATE,
        spectrum.TEMPLATE,
        residual.TEMPLATE,
        matrices.TEMPLATE,
        attribution.TEMPLATE,
        corruption.TEMPLATE,
        attack.TEMPLATE,
        robustness.TEMPLATE,
    )
}
"""By name, in the order in which the page offers them."""


_NOW = {"operators": "matrices"}
"""What templates were called before 0.4."""


def template_called(name: str) -> Template:
    """The template of this name. Raises `ExplorerError` for a name there is none of."""
    name = _NOW.get(name, name)
    if name not in TEMPLATES:
        raise ExplorerError(f"One of {', '.join(TEMPLATES)} was expected; {name[:60]!r} came.")
    return TEMPLATES[name]
