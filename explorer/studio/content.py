"""From images and models to what a figure shows: the arrays, laid out, and as numbers for others to use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer import images, theory
from explorer.attribution.classes import class_index, class_name
from explorer.attribution.result import Attribution, method_called
from explorer.figures.publication.charts import Curves, Dynamics, Line, Points, Spectra
from explorer.figures.publication.grids import Grid
from explorer.figures.style import PALETTES
from explorer.measures import attention, residual, similarity, spectrum
from explorer.measures.attention import Heads, Operator
from explorer.models import LoadedModel
from explorer.photographs import Photograph
from explorer.serving.pair import ModelPair
from explorer.studio import grids
from explorer.studio.spec import OPERATORS, Spec, Template
from explorer.types import TWICING, Comparison, ExplorerError, ModelCard, Progress, Trace

COLOURS = PALETTES["light"].models
MARKERS = ("o", "D")


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers with a name for each column."""

    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, eq=False)
class Content:
    """What is drawn, and what it says in numbers."""

    shown: Grid | Curves | Dynamics | Spectra
    below: Curves | None
    arrays: dict[str, np.ndarray]
    table: Table | None
    digests: tuple[str, ...]
    """SHA-256 of each image, in order."""
    layers: tuple[int, ...]
    """From 1; empty where a figure shows no single layers."""
    heads: tuple[str, ...]
    """`mean`, `max` or numbers from 1."""
    ranges: tuple[float, ...] = ()
    """Where the colours of each group of maps end, in reading order."""
    outside: tuple[str, ...] = ()
    """How many eigenvalues leave the unit disc, panel by panel."""
    classes: tuple[tuple[str, str], ...] = ()
    """What each image's maps are about, model by model."""


def collect(
    spec: Spec, photographs: Sequence[Photograph], pair: ModelPair, progress: Progress | None = None
) -> Content:
    """Runs the images one at a time through both models and keeps what the figure needs.

    One at a time, so that a result never depends on what else was asked. Raises `ExplorerError` for no image where one
    is needed, and for layers or heads the models do not have.
    """
    if not photographs and spec.template is not Template.DYNAMICS:
        raise ExplorerError(f"At least one image was expected for {spec.template.value}; none came.")
    if spec.labels and len(spec.labels) != len(photographs):
        raise ExplorerError(f"labels: one for each of {len(photographs)} images was expected; {len(spec.labels)} came.")
    depth = min(len(card.filter) for card in pair.cards)
    layers = _layers(spec, depth)
    gather = {
        Template.SIMILARITY: _similarity,
        Template.DYNAMICS: _dynamics,
        Template.SPECTRUM: _spectrum,
        Template.ATTRIBUTION: _attribution,
    }.get(spec.template, _grid)
    return gather(spec, _Run(photographs, pair, progress), layers)


class _Run:
    """The images through both models, one after the other."""

    def __init__(self, photographs: Sequence[Photograph], pair: ModelPair, progress: Progress | None) -> None:
        self.photographs, self.pair, self.progress = photographs, pair, progress
        self.digests: list[str] = []

    def __iter__(self) -> Any:
        for number, photograph in enumerate(self.photographs):
            if self.progress:
                self.progress(number, len(self.photographs))
            image = photograph.open()
            self.digests.append(image.digest)
            yield photograph, image, self.pair.compare(image)


def names(spec: Spec, pair: ModelPair) -> tuple[str, str]:
    """What the figure calls the two models; an operator that was swapped is always said."""
    if spec.names:
        given = [
            f"{name} (operator swapped)" if card.is_counterfactual else name
            for name, card in zip(spec.names, pair.cards, strict=True)
        ]
        return given[0], given[1]
    first, second = (_short(card) for card in pair.cards)
    return (first, second) if first != second else (pair.baseline.title, pair.twicing.title)


def _short(card: ModelCard) -> str:
    if not card.architecture.startswith("deit"):
        return card.title
    twiced = [block for block, a in enumerate(card.filter, start=1) if a == TWICING]
    if len(twiced) == len(card.filter):
        name = "DeiT-Twicing"
    elif card.is_standard:
        name = "DeiT"
    elif twiced == list(range(twiced[0], twiced[-1] + 1)) if twiced else False:
        name = f"DeiT-Twicing [{twiced[0]}-{twiced[-1]}]"
    else:
        return card.title
    return f"{name} (operator swapped)" if card.is_counterfactual else name


def _layers(spec: Spec, depth: int) -> tuple[int, ...]:
    """From 1."""
    if spec.layers:
        if max(spec.layers) > depth:
            raise ExplorerError(f"layers: 1 to {depth} was expected; {max(spec.layers)} came.")
        return spec.layers
    if spec.template is Template.EVOLUTION:
        return tuple(np.unique(np.linspace(1, depth, min(depth, 12)).round().astype(int)).tolist())
    if spec.template is Template.SPECTRUM:
        return tuple(dict.fromkeys((1, (depth + 1) // 2, depth)))
    return (depth,)


def heads(spec: Spec, comparison: Comparison) -> tuple[str, ...]:
    """Which heads are shown, from 1 where they are single ones."""
    if spec.heads == "all":
        return tuple(str(head) for head in range(1, comparison.heads + 1))
    if spec.heads.isdecimal() and int(spec.heads) > comparison.heads:
        raise ExplorerError(f"heads: 1 to {comparison.heads} was expected; {spec.heads} came.")
    return (spec.heads,)


def token(spec: Spec, trace: Trace) -> attention.Query:
    """The query as a token: CLS, the mean patch of models without one, or the patch at a place."""
    if spec.place is None:
        return 0 if trace.has_class_token else None
    (rows, columns), (y, x) = trace.grid, spec.place
    return trace.prefix + min(int(y * rows), rows - 1) * columns + min(int(x * columns), columns - 1)


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().float().cpu())


def _choice(head: str) -> attention.HeadChoice:
    return int(head) - 1 if head.isdecimal() else Heads(head)


def _maps(spec: Spec, trace: Trace, layers: tuple[int, ...], chosen: tuple[str, ...]) -> dict[str, grids.Panel]:
    """Maps of one model and image by what tells them apart: layer, head and operator."""
    panels: dict[str, grids.Panel] = {}
    query = token(spec, trace)
    if spec.template is Template.RESIDUAL:
        found = _magnitudes(spec, residual.magnitudes(trace))
        for layer in layers:
            for head in chosen:
                values = _pick(found[layer - 1], head)
                panels[grids.key(layer, head)] = grids.Panel(_array(attention.patch_maps(values, trace)), False)
        return panels
    several = spec.template is Template.OPERATORS
    operators = (Operator.ATTENTION, Operator.CORRECTION, Operator.TWICING) if several else (OPERATORS[spec.operator],)
    for operator in operators:
        for head in chosen:
            maps = _array(attention.patch_maps(attention.maps(trace, query, operator, _choice(head)), trace))
            for layer in layers:
                # Three operators of one matrix share one scale, on which some are negative.
                signed = several or attention.is_signed(operator, trace, layer - 1)
                name = grids.key(layer, head, operator if several else None)
                panels[name] = grids.Panel(maps[layer - 1], signed)
    return panels


def _magnitudes(spec: Spec, found: residual.ResidualMagnitudes) -> Tensor:
    """`[layer, head, token]`."""
    if spec.quantity == "ratio":
        return found.smoothed_residual / found.smoothed.clamp(min=torch.finfo(found.smoothed.dtype).tiny)
    return found.smoothed if spec.quantity == "smoothed" else found.smoothed_residual


def _pick(per_head: Tensor, head: str) -> Tensor:
    """`[head, token]` to `[token]`; magnitudes are positive, so max is the largest."""
    if head.isdecimal():
        return per_head[int(head) - 1]
    return per_head.mean(dim=0) if head == "mean" else per_head.amax(dim=0)


def _grid(spec: Spec, run: _Run, layers: tuple[int, ...]) -> Content:
    columns: list[grids.Photo] = []
    chosen: tuple[str, ...] = ()
    by_layer: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for number, (photograph, image, comparison) in enumerate(run):
        chosen = heads(spec, comparison)
        sides = tuple(_maps(spec, trace, layers, chosen) for trace in comparison)
        if spec.template is Template.RESIDUAL:
            for curve, trace in zip(by_layer, comparison, strict=True):
                curve.append(_residual_curve(spec, residual.magnitudes(trace), chosen))
        title = spec.labels[number] if spec.labels else Path(photograph.title).stem
        marks = [_patch(spec, trace) for trace in comparison]
        columns.append(grids.Photo(title, image, sides, marks))
    named = names(spec, run.pair)
    grid, ranges = grids.arrange(spec, columns, run.pair.cards, named, layers, chosen)
    arrays = grids.arrays(columns, [p.name for p in run.photographs])
    below, table = None, None
    if spec.template is Template.RESIDUAL:
        lines = [
            _would_give_back(spec, _banded(name, np.stack(of_model), colour, card), card)
            for name, of_model, colour, card in zip(named, by_layer, COLOURS, run.pair.cards, strict=True)
        ]
        below = Curves(tuple(lines), _QUANTITY[spec.quantity], first_layer=1)
        table = _table(lines, 1)
    return Content(grid, below, arrays, table, tuple(run.digests), layers, chosen, ranges)


def _attribution(spec: Spec, run: _Run, layers: tuple[int, ...]) -> Content:
    """Maps of a class, on the patches."""
    from explorer.attribution.methods import attribute

    method = method_called(spec.method)
    photos, classes = [], []
    for number, photograph in enumerate(run.photographs):
        if run.progress:
            run.progress(number, len(run.photographs))
        image = photograph.open()
        run.digests.append(image.digest)
        sides, named = [], []
        for card in run.pair.cards:
            seen = images.model_view(image.rgb, card.preprocessing)

            def made(model: LoadedModel, tell: Progress, seen: np.ndarray = seen) -> Attribution:
                target = class_index(model.card, model.module.num_classes, spec.target) if spec.target else None
                return attribute(model, seen, method, target, progress=tell)

            found = run.pair.engine.run(card.key, made)
            sides.append({grids.ATTRIBUTION: grids.Panel(_array(found.on_patches()), method.is_signed)})
            named.append(class_name(card, found.target))
        title = spec.labels[number] if spec.labels else Path(photograph.title).stem
        photos.append(grids.Photo(title, image, tuple(sides), (None, None)))
        classes.append((named[0], named[1]))
    grid, ranges = grids.arrange(spec, photos, run.pair.cards, names(spec, run.pair), (), ())
    arrays = grids.arrays(photos, [p.name for p in run.photographs])
    return Content(grid, None, arrays, None, tuple(run.digests), (), (), ranges, classes=tuple(classes))


def _patch(spec: Spec, trace: Trace) -> tuple[int, int] | None:
    """The query's patch as row and column."""
    query = token(spec, trace)
    if spec.place is None or query is None:
        return None
    row, column = divmod(query - trace.prefix, trace.grid[1])
    return row, column


_QUANTITY = {
    "smoothed-residual": r"$\|A(V - AV)\|$",
    "smoothed": r"$\|AV\|$",
    "ratio": r"$\|A(V - AV)\|\,/\,\|AV\|$",
}


def _residual_curve(spec: Spec, found: residual.ResidualMagnitudes, chosen: tuple[str, ...]) -> np.ndarray:
    """By layer, over the heads shown."""
    if spec.quantity == "ratio":
        curve = found.ratio
    else:
        curve = found.curve(found.smoothed if spec.quantity == "smoothed" else found.smoothed_residual)
    picked = curve[:, int(chosen[0]) - 1] if len(chosen) == 1 and chosen[0].isdecimal() else curve.mean(dim=1)
    return _array(picked)


def _banded(name: str, curves: np.ndarray, colour: str, card: ModelCard) -> Line:
    """Mean over images with a band of one sample standard deviation, none for a single image."""
    spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else None
    return Line(name, curves.mean(axis=0), colour, spread, dashed=card.is_counterfactual)


def _would_give_back(spec: Spec, line: Line, card: ModelCard) -> Line:
    """A standard block gives nothing back: its curve says what twicing would."""
    if not card.is_standard or spec.quantity == "smoothed":
        return line
    return replace(line, name=f"{line.name}, would give back", dashed=True)


def _table(lines: Sequence[Line], first_layer: int) -> Table:
    header = ["layer"]
    columns: list[np.ndarray] = [np.arange(first_layer, first_layer + len(lines[0].values))]
    for role, line in zip(("baseline", "twicing"), lines, strict=True):
        header += [f"{role}_mean", f"{role}_std"]
        columns += [line.values, np.zeros_like(line.values) if line.spread is None else line.spread]
    shared = min(map(len, columns))
    return Table(tuple(header), tuple(zip(*(c[:shared].tolist() for c in columns), strict=True)))


def _similarity(spec: Spec, run: _Run, layers: tuple[int, ...]) -> Content:
    curves: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for _, _, comparison in run:
        for of_model, trace in zip(curves, comparison, strict=True):
            of_model.append(_array(similarity.token_similarity(trace, spec.definition)))
    lines = [
        _banded(name, np.stack(of_model), colour, card)
        for name, of_model, colour, card in zip(names(spec, run.pair), curves, COLOURS, run.pair.cards, strict=True)
    ]
    arrays = {
        "images": np.array([p.name for p in run.photographs]),
        "baseline": np.stack(curves[0]),
        "twicing": np.stack(curves[1]),
    }
    y = "Mean absolute cosine of tokens" if spec.absolute else "Token similarity"
    shown = Curves(tuple(lines), y, first_layer=0, letters=spec.letters)
    return Content(shown, None, arrays, _table(lines, 0), tuple(run.digests), (), ())


def _decomposed(
    spec: Spec, run: _Run, layers: tuple[int, ...]
) -> tuple[list[list[list[spectrum.Spectrum]]], tuple[str, ...]]:
    """Spectra by model, layer and image; the heads shown."""
    found: list[list[list[spectrum.Spectrum]]] = [[[] for _ in layers] for _ in range(2)]
    chosen: tuple[str, ...] = ()
    for _, _, comparison in run:
        chosen = heads(spec if spec.heads.isdecimal() else replace(spec, heads="all"), comparison)
        for model, trace in enumerate(comparison):
            for place, one in enumerate(spectrum.spectra([(trace, layer - 1) for layer in layers])):
                found[model][place].append(one)
    return found, chosen


def _of_heads(
    spectra: Sequence[spectrum.Spectrum], chosen: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues, what the map makes of them and which lie on the curve, of these heads of all images."""
    picked = [int(head) - 1 for head in chosen]
    values = [one.eigenvalues[picked].flatten() for one in spectra]
    mapped = [one.mapped()[picked].flatten() for one in spectra]
    on = [spectrum.on_curve(one) for one in values]
    return tuple(np.concatenate([t.numpy() for t in part]) for part in (values, mapped, on))  # type: ignore[return-value]


def _spectrum(spec: Spec, run: _Run, layers: tuple[int, ...]) -> Content:
    found, chosen = _decomposed(spec, run, layers)
    panels, rows, outside = [], [], []
    for place, layer in enumerate(layers):
        points = []
        for model, name in enumerate(names(spec, run.pair)):
            values, mapped, on = _of_heads(found[model][place], chosen)
            gone = int((np.abs(mapped) > 1 + spectrum.ROUNDING).sum())
            points.append(Points(name, COLOURS[model], MARKERS[model], values, mapped, on, gone))
            outside.append(f"{gone} of {len(values)}")
            role = ("baseline", "twicing")[model]
            rows += [
                (layer, role, one.real, one.imag, to.real, to.imag, bool(real))
                for one, to, real in zip(values.tolist(), mapped.tolist(), on.tolist(), strict=True)
            ]
        panels.append((f"Layer {layer}", tuple(points)))
    header = ("layer", "model", "lambda_real", "lambda_imag", "mapped_real", "mapped_imag", "real_nonnegative")
    shown = Spectra(tuple(panels), letters=spec.letters)
    return Content(
        shown, None, {}, Table(header, tuple(rows)), tuple(run.digests), layers, chosen, outside=tuple(outside)
    )


def _dynamics(spec: Spec, run: _Run, layers: tuple[int, ...]) -> Content:
    moduli = []
    chosen: tuple[str, ...] = ()
    if run.photographs:
        found, chosen = _decomposed(spec, run, layers)
        for name, colour, of_model in zip(names(spec, run.pair), COLOURS, found, strict=True):
            values = np.concatenate([_of_heads(one, chosen)[0] for one in of_model])
            moduli.append((name, colour, np.abs(values)))
    x = np.linspace(0, 1, 101)
    columns = [x, *(power(x, n) for power in (theory.standard_power, theory.twicing_power) for n in spec.iterations)]
    header = ("x", *(f"{role}_n{n}" for role in ("standard", "twicing") for n in spec.iterations))
    table = Table(header, tuple(zip(*(c.tolist() for c in columns), strict=True)))
    arrays = {f"moduli_{role}": one[2] for role, one in zip(("baseline", "twicing"), moduli, strict=False)}
    shown = Dynamics(spec.iterations, tuple(moduli), letters=spec.letters)
    return Content(shown, None, arrays, table, tuple(run.digests), layers if moduli else (), chosen)
