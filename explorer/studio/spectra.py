"""Eigenvalues over `2λ − λ²`, and the filters' powers with eigenvalues beneath."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from explorer.figures.print.charts import Dynamics, Spectra
from explorer.figures.records import SYMBOLS, Points
from explorer.measures import spectrum
from explorer.measures.spectrum import Spectrum
from explorer.paper import theory
from explorer.studio.content import Content, Table
from explorer.studio.run import Run, chosen_heads
from explorer.types import ROLES


def overlay(run: Run, layers: tuple[int, ...]) -> Content:
    """A panel for each layer, all images in it."""
    found, heads = _decomposed(run, layers)
    panels, rows, outside = [], [], []
    for place, layer in enumerate(layers):
        panel = tuple(
            Points.of(name, colour, symbol, of_model[place], _from_zero(heads))
            for (name, colour, _), symbol, of_model in zip(run.models, SYMBOLS, found, strict=True)
        )
        for role, points in zip(ROLES, panel, strict=True):
            outside.append(f"{points.outside} of {len(points.eigenvalues)}")
            three = (points.eigenvalues.tolist(), points.mapped.tolist(), points.on_curve.tolist())
            rows += [
                (layer, role, one.real, one.imag, to.real, to.imag, bool(real))
                for one, to, real in zip(*three, strict=True)
            ]
        panels.append((f"Layer {layer}", panel))
    header = ("layer", "model", "lambda_real", "lambda_imag", "mapped_real", "mapped_imag", "real_nonnegative")
    return Content(
        Spectra(tuple(panels), letters=run.spec.letters),
        tuple(run.digests),
        table=Table(header, tuple(rows)),
        layers=layers,
        heads=heads,
        outside=tuple(outside),
    )


def dynamics(run: Run, layers: tuple[int, ...]) -> Content:
    """`p^n` and `p_hat^n`; the moduli of the images' eigenvalues where there are images."""
    spec = run.spec
    moduli: list[tuple[str, str, np.ndarray]] = []
    heads: tuple[str, ...] = ()
    if run.photographs:
        found, heads = _decomposed(run, layers)
        for (name, colour, _), of_model in zip(run.models, found, strict=True):
            values = [one.eigenvalues[_from_zero(heads)].flatten().numpy() for layer in of_model for one in layer]
            moduli.append((name, colour, np.abs(np.concatenate(values))))
    x = np.linspace(0, 1, 101)
    columns = {"x": x}
    for role, power in (("standard", theory.standard_power), ("twicing", theory.twicing_power)):
        columns |= {f"{role}_n{n}": power(x, n) for n in spec.iterations}
    return Content(
        Dynamics(spec.iterations, tuple(moduli), letters=spec.letters),
        tuple(run.digests),
        arrays={f"moduli_{role}": one[2] for role, one in zip(ROLES, moduli, strict=False)},
        table=Table.of(columns),
        layers=layers if moduli else (),
        heads=heads,
    )


def _decomposed(run: Run, layers: tuple[int, ...]) -> tuple[list[list[list[Spectrum]]], tuple[str, ...]]:
    """Spectra by model, layer and image; the heads shown."""
    found: list[list[list[Spectrum]]] = [[[] for _ in layers] for _ in ROLES]
    heads: tuple[str, ...] = ()
    asked = run.spec if run.spec.heads.isdecimal() else replace(run.spec, heads="all")
    for _, comparison in run.compared():
        heads = chosen_heads(asked, comparison.heads)
        for model, trace in enumerate(comparison):
            for place, one in enumerate(spectrum.spectra([(trace, layer - 1) for layer in layers])):
                found[model][place].append(one)
    return found, heads


def _from_zero(heads: tuple[str, ...]) -> list[int]:
    return [int(head) - 1 for head in heads]
