"""Spectra of a figure's images by model and layer, and the heads whose eigenvalues are drawn."""

from __future__ import annotations

from dataclasses import replace

from explorer.measures import spectrum
from explorer.measures.spectrum import Spectrum
from explorer.studio.run import FigureRun, chosen_heads
from explorer.types import ROLES


def decomposed(run: FigureRun, layers: tuple[int, ...]) -> tuple[list[list[list[Spectrum]]], tuple[str, ...]]:
    """Spectra by model, layer and image; the heads shown: a single one or all, for no spectrum is a mean."""
    spectra: list[list[list[Spectrum]]] = [[[] for _ in layers] for _ in ROLES]
    heads: tuple[str, ...] = ()
    asked = run.spec if run.spec.heads.isdecimal() else replace(run.spec, heads="all")
    for _, comparison in run.compared():
        heads = chosen_heads(asked, comparison.heads)
        for model, trace in enumerate(comparison):
            for place, of_layer in enumerate(spectrum.spectra([(trace, layer - 1) for layer in layers])):
                spectra[model][place].append(of_layer)
    return spectra, heads


def from_zero(heads: tuple[str, ...]) -> list[int]:
    """Numbers of heads as tensors count them."""
    return [int(head) - 1 for head in heads]
