"""From images and models to what a figure shows: which template is gathered where."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from explorer.pictures.photographs import Photograph
from explorer.serving.pair import ModelPair
from explorer.studio import attacked, attributions, corrupted, curves, maps, robust, spectra
from explorer.studio.content import Content
from explorer.studio.run import Run, chosen_layers
from explorer.studio.spec import Spec, Template
from explorer.types import ExplorerError, Progress

_GATHER: dict[Template, Callable[[Run, tuple[int, ...]], Content]] = {
    Template.HEATMAPS: maps.gather,
    Template.EVOLUTION: maps.gather,
    Template.OPERATORS: maps.gather,
    Template.RESIDUAL: maps.gather,
    Template.SIMILARITY: curves.similarities,
    Template.DYNAMICS: spectra.dynamics,
    Template.SPECTRUM: spectra.overlay,
    Template.ATTRIBUTION: attributions.gather,
    Template.CORRUPTION: corrupted.gather,
    Template.ATTACK: attacked.gather,
    Template.ROBUSTNESS: robust.gather,
}


def collect(
    spec: Spec, photographs: Sequence[Photograph], pair: ModelPair, progress: Progress | None = None
) -> Content:
    """Runs the images through both models and keeps what the figure needs.

    Raises `ExplorerError` for no image where one is needed, and for layers or heads the models do not have.
    """
    if not photographs and spec.template is not Template.DYNAMICS:
        raise ExplorerError(f"At least one image was expected for {spec.template.value}; none came.")
    if spec.labels and len(spec.labels) != len(photographs):
        raise ExplorerError(f"labels: one for each of {len(photographs)} images was expected; {len(spec.labels)} came.")
    depth = min(len(card.filter) for card in pair.cards)
    return _GATHER[spec.template](Run(spec, photographs, pair, progress), chosen_layers(spec, depth))
