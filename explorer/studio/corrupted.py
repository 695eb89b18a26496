"""A disturbed photograph and both models' maps by severity, and beneath how far attention drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explorer.disturb.corruptions import SEVERITIES, corrupt, corruption_called
from explorer.disturb.effects import Effect, effect, margin
from explorer.figures.print.cells import Block, Cell, Columns, Grid, GridRow
from explorer.figures.print.page import INK
from explorer.figures.print.trials import TrialPanel, Trials
from explorer.figures.records import Trial
from explorer.jobs.disturbances import CorruptedTraceJob
from explorer.pictures import preprocess
from explorer.serving.engine import ask
from explorer.studio import grids
from explorer.studio.content import Content, Table
from explorer.studio.maps import attention_maps
from explorer.studio.run import COLOURS, Run, Shown, chosen_heads, patch
from explorer.types import ROLES, ModelCard, Picture, Trace

STRENGTHS = (0, *SEVERITIES)
"""0 is the clean picture."""
QUANTITIES = ("probability", "margin", "drift", "token_cosine")
"""Of the clean first choice; the same minus the strongest other's; Jensen-Shannon of the rows of `A`, nats, mean over
layers, heads and queries; mean cosine of each patch token with itself after the last block."""


@dataclass(frozen=True, eq=False)
class _Side:
    """One model before one photograph; pictures, effects and maps by severity."""

    pictures: tuple[Picture, ...]
    effects: tuple[Effect, ...]
    maps: dict[str, grids.Panel]
    mark: tuple[int, int] | None

    def values(self) -> np.ndarray:
        """`[quantity, severity]`, in the order of `QUANTITIES`."""
        first = int(self.effects[0].logits.argmax())
        rows = [
            (
                float(one.logits.softmax(dim=0)[first]),
                margin(one.logits, first),
                float(one.attention.mean()),
                float(one.tokens[-1]),
            )
            for one in self.effects
        ]
        return np.array(rows).T


def gather(run: Run, layers: tuple[int, ...]) -> Content:
    """A block for each image: the photograph, then a row for each model, layer and head."""
    count = min(run.pair.engine.heads(card.key) for card in run.pair.cards)
    heads = chosen_heads(run.spec, count)
    photos: list[grids.Photo] = []
    found: list[list[_Side]] = []
    for shown in run.images():
        sides = [_side(run, card, shown, layers, heads) for card in run.pair.cards]
        photos.append(grids.Photo(shown.title, shown.image, tuple(s.maps for s in sides), [s.mark for s in sides]))
        found.append(sides)
    values = np.array([[side.values() for side in sides] for sides in found])  # (image, model, quantity, severity)
    grid = _grid(run, photos, found, layers, heads)
    measured = {
        f"{role}, {quantity}": values[:, model, place]
        for model, role in enumerate(ROLES)
        for place, quantity in enumerate(QUANTITIES)
    }
    return Content(
        grid,
        tuple(run.digests),
        below=_beneath(run, values),
        arrays=grids.arrays(photos, run.files) | measured,
        table=_table(values),
        layers=layers,
        heads=heads,
        ranges=grids.ends(grid),
    )


def _side(run: Run, card: ModelCard, shown: Shown, layers: tuple[int, ...], heads: tuple[str, ...]) -> _Side:
    spec, kind = run.spec, corruption_called(run.spec.corruption)
    view = preprocess.model_view(shown.image.rgb, card.preprocessing)
    pictures = tuple(corrupt(view, kind, strength, spec.seed).rgb for strength in STRENGTHS)
    effects: list[Effect] = []
    maps: dict[str, grids.Panel] = {}

    def traced(strength: float) -> Trace:
        return ask(run.pair.engine, CorruptedTraceJob(kind, strength, spec.seed), [shown.image], card.key)

    clean = traced(0)
    for strength in STRENGTHS:
        trace = clean if strength == 0 else traced(strength)
        effects.append(effect(strength, clean, trace))
        panels = attention_maps(spec, trace, layers, heads)
        maps |= {grids.of_severity(name, strength): panel for name, panel in panels.items()}
    return _Side(pictures, tuple(effects), maps, patch(spec, clean))


def _grid(
    run: Run,
    photos: Sequence[grids.Photo],
    found: Sequence[Sequence[_Side]],
    layers: tuple[int, ...],
    heads: tuple[str, ...],
) -> Grid:
    spec, scales = run.spec, grids.Scales(run.spec, photos)
    over = "Image" if spec.column_labels else ""
    blocks = []
    for photo, sides in zip(photos, found, strict=True):
        marks = [grids.mark(photo, side) for side in (0, 1)]
        rows = [GridRow(tuple(Cell(one, mark=marks[0], is_sharp=True) for one in sides[0].pictures), over, INK)]
        for layer in layers:
            for head in heads:
                for side, (name, colour) in enumerate(zip(run.names, COLOURS, strict=True)):
                    cells = []
                    for strength, picture in zip(STRENGTHS, sides[side].pictures, strict=True):
                        key = grids.of_severity(grids.key(layer, head), strength)
                        span = scales.of(photo, side, key)
                        values = photo.sides[side][key].values
                        cells.append(Cell(picture, values, span, mark=marks[side], is_sharp=True))
                    rows.append(GridRow(tuple(cells), grids.row_label(name, layers, layer, heads, head), colour))
        blocks.append(Block(None, tuple(rows), photo.title if spec.row_labels or spec.labels else ""))
    kind = corruption_called(spec.corruption)
    columns = Columns(("clean", *map(str, SEVERITIES)), f"{kind}, severity")
    if not spec.column_labels:
        columns = Columns(("",) * len(STRENGTHS))
    bars = scales.bars() if spec.colour_bar else ()
    return Grid(tuple(blocks), (columns,), spec.look, bars, letters=spec.letters, bare=spec.bare)


def _beneath(run: Run, values: np.ndarray) -> Trials:
    """Drift and probability by severity: mean over images, with a band of one sample standard deviation."""
    panels = []
    for quantity, y in (("drift", "Attention drift, nats"), ("probability", "$P$(clean answer)")):
        of_quantity = values[:, :, QUANTITIES.index(quantity)]
        mean, spread = of_quantity.mean(axis=0), _spread(of_quantity)
        lines = tuple(
            Trial(
                name,
                np.array(STRENGTHS, float),
                mean[model],
                colour,
                mean[model] - spread[model] if len(values) > 1 else None,
                mean[model] + spread[model] if len(values) > 1 else None,
                dash="dash" if card.is_counterfactual else "solid",
            )
            for model, (name, colour, card) in enumerate(run.models)
        )
        panels.append(TrialPanel(lines, y, is_share=quantity == "probability"))
    return Trials(tuple(panels), "Severity")


def _spread(values: np.ndarray) -> np.ndarray:
    """Sample standard deviation over images, 0 for a single one."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1:])


def _table(values: np.ndarray) -> Table:
    columns: dict[str, np.ndarray] = {"severity": np.array(STRENGTHS)}
    for model, role in enumerate(ROLES):
        for place, quantity in enumerate(QUANTITIES):
            columns[f"{role}_{quantity}_mean"] = values[:, model, place].mean(axis=0)
            columns[f"{role}_{quantity}_std"] = _spread(values[:, model, place])
    return Table.of(columns)
