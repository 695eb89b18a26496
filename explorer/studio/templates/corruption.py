"""A disturbed photograph and both models' maps by severity, and beneath how far attention drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explorer.disturb.corruptions import FINAL_QUALITY, SEVERITIES, corrupt, severities, source
from explorer.disturb.effects import Effect, effect, margin
from explorer.figures.print.cells import Block, Cell, Columns, Grid, GridRow
from explorer.figures.print.page import INK
from explorer.figures.print.trials import TrialPanel, Trials
from explorer.figures.records import Trial
from explorer.jobs.disturbances import CorruptedTraceJob
from explorer.pictures import preprocess
from explorer.serving.engine import ask
from explorer.studio import grids, phrases
from explorer.studio.content import Content, Table
from explorer.studio.latex import escape
from explorer.studio.maps import attention_maps, measure
from explorer.studio.run import COLOURS, FigureRun, chosen_heads, patch
from explorer.studio.spec import Spec
from explorer.studio.template import LABELS, LOOK, Template
from explorer.traces import Trace
from explorer.types import ROLES, ImageInput, ModelCard, Picture

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
                float(effect.logits.softmax(dim=0)[first]),
                margin(effect.logits, first),
                float(effect.attention.mean()),
                float(effect.tokens[-1]),
            )
            for effect in self.effects
        ]
        return np.array(rows).T


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A block for each image: the photograph, then a row for each model, layer and head."""
    count = min(run.pair.engine.heads(card.key) for card in run.pair.cards)
    heads = chosen_heads(run.spec, count)
    photos: list[grids.MappedImage] = []
    both: list[list[_Side]] = []
    for title, image in zip(run.titles, run.images(), strict=True):
        sides = [_side(run, card, image, layers, heads) for card in run.pair.cards]
        photos.append(grids.MappedImage(title, image, tuple(s.maps for s in sides), [s.mark for s in sides]))
        both.append(sides)
    values = np.array([[side.values() for side in sides] for sides in both])  # (image, model, quantity, severity)
    grid = _grid(run, photos, both, layers, heads)
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


def _side(run: FigureRun, card: ModelCard, image: ImageInput, layers: tuple[int, ...], heads: tuple[str, ...]) -> _Side:
    spec, kind = run.spec, run.spec.corruption
    view = preprocess.model_view(image.rgb, card.preprocessing)
    pictures = tuple(corrupt(view, kind, strength, spec.seed, final_jpeg=spec.final_jpeg).rgb for strength in STRENGTHS)

    def traced(strength: float) -> Trace:
        return ask(run.pair.engine, CorruptedTraceJob(kind, strength, spec.seed, spec.final_jpeg), [image], card.key)

    clean = traced(0)
    effects: list[Effect] = []
    maps: dict[str, grids.Panel] = {}
    for strength in STRENGTHS:
        trace = clean if strength == 0 else traced(strength)
        effects.append(effect(strength, clean, trace))
        panels = attention_maps(spec, trace, layers, heads)
        maps |= {grids.of_severity(name, strength): panel for name, panel in panels.items()}
    return _Side(pictures, tuple(effects), maps, patch(spec, clean))


def _grid(
    run: FigureRun,
    photos: Sequence[grids.MappedImage],
    both: Sequence[Sequence[_Side]],
    layers: tuple[int, ...],
    heads: tuple[str, ...],
) -> Grid:
    spec, scales = run.spec, grids.Scales(run.spec.scale, photos, grids.but_last)
    heading = "Image" if spec.column_labels else ""
    blocks = []
    for photo, sides in zip(photos, both, strict=True):
        marks = [grids.mark(photo, side) for side in (0, 1)]
        disturbed = (Cell(picture, mark=marks[0], is_sharp=True) for picture in sides[0].pictures)
        rows = [GridRow(tuple(disturbed), heading, INK)]
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
        blocks.append(Block(None, tuple(rows), grids.block_label(spec, photo.title)))
    columns = grids.headed(spec, Columns(("clean", *map(str, SEVERITIES)), f"{spec.corruption.label}, severity"))
    bars = scales.bars(measure(spec)) if spec.colour_bar else ()
    return Grid(tuple(blocks), (columns,), spec.look, bars, letters=spec.letters, bare=spec.bare)


def _beneath(run: FigureRun, values: np.ndarray) -> Trials:
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


def caption(spec: Spec, content: Content) -> list[str]:
    """Which rows, of which query; what disturbs the photograph, and what the curves beneath are."""
    kind = spec.corruption
    assert isinstance(content.drawing, Grid)
    seen = content.drawing.blocks[0].rows[0].cells[0].picture  # the first model's
    side = min(seen.shape[:2])
    values = severities(kind, side)
    last = f" JPEG of quality {FINAL_QUALITY} at the end." if spec.final_jpeg else ""
    band = "; mean over images, band: one standard deviation between them" if len(content.digests) > 1 else ""
    return [
        phrases.maps(phrases.attention(spec), content),
        f"{escape(kind.label)}, seed {spec.seed}. {source(kind, side)}; {escape(values[0].lower() + values[1:])}{last}",
        "Below, left: attention drift, the Jensen-Shannon divergence in nats between the rows of $A$ of the clean and "
        "of the disturbed picture, mean over all heads, queries and layers; right: softmax probability of each model's "
        f"first choice on the clean picture{band}.",
        phrases.scale(spec, content, who="Both models and all severities"),
        phrases.PIXELS,
    ]


TEMPLATE = Template(
    name="corruption",
    title="Maps under a corruption",
    settings=("layers", "heads", "matrix", "query", "corruption", "final_jpeg", "seed", *LOOK, *LABELS, "colour_bar"),
    off_page=("labels",),
    gather=gather,
    caption=caption,
    is_grid=True,
    is_heatmap=True,
)
