"""Any operators on one set of weights: maps of `E`, of `E_0` where there is one, and token similarity by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.arrays import array
from explorer.figures.print.cells import Columns
from explorer.figures.print.charts import Curves
from explorer.figures.style import PALETTES, Theme, operator_strokes
from explorer.jobs.passes import OperatorsJob
from explorer.measures import attention, similarity
from explorer.measures.attention import HeadRows
from explorer.paper import operators
from explorer.paper.filters import FILTERS
from explorer.paper.kernels import KERNELS
from explorer.paper.placed import placed
from explorer.serving.engine import ask
from explorer.studio import curves, grids, phrases
from explorer.studio.content import Content, Table
from explorer.studio.latex import escape
from explorer.studio.run import FigureRun, chosen_heads, head_choice, patch, token
from explorer.studio.spec import OperatorWeights, Spec
from explorer.studio.template import LABELS, LOOK, Template
from explorer.traces import Trace
from explorer.types import ImageInput, ModelCard, Operator, Operators

_LABELS = {"E": "E", "E_0": "E₀"}
_OWN, _FIRST = _LABELS


@dataclass(frozen=True)
class PlacedOperators:
    """The operators of a figure on its weights."""

    card: ModelCard
    filters: dict[str, Operators]
    """By what each is called."""

    @property
    def trained(self) -> dict[str, bool]:
        """Whether the weights were trained with it."""
        return {name: operators.are_same(each, self.card.trained_filter) for name, each in self.filters.items()}


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A block for each image: a column for each operator, and beneath the grid the curves."""
    chosen = _placed(run)
    photos: list[grids.MappedImage] = []
    heads: tuple[str, ...] = ()
    by_operator: dict[str, list[np.ndarray]] = {name: [] for name in chosen.filters}
    for title, image in zip(run.titles, run.images(), strict=True):
        panels: dict[str, grids.Panel] = {}
        for name, filter in chosen.filters.items():
            trace = _traced(run, chosen.card, image, filter)
            heads = chosen_heads(run.spec, trace.heads)
            panels |= _maps(run.spec, name, trace, layers, heads)
            by_operator[name].append(array(similarity.token_similarity(trace, run.spec.definition)))
            mark = patch(run.spec, trace)
        photos.append(grids.MappedImage(title, image, (panels, {}), (mark, mark)))
    layout = _layout(run.spec, chosen, photos, layers, heads)
    grid, ranges = grids.arrange(run.spec, photos, (chosen.card, chosen.card), layout)
    palette = PALETTES[Theme.LIGHT]
    lines = [
        curves.mean(name, np.stack(by_operator[name]), colour, dash)
        for name, (colour, dash) in zip(chosen.filters, operator_strokes(chosen.trained, palette), strict=True)
    ]
    maps = {name: np.stack([photo.sides[0][name].values for photo in photos]) for name in photos[0].sides[0]}
    return Content(
        grid,
        tuple(run.digests),
        below=Curves(tuple(lines), "Token similarity", first_layer=0),
        arrays={"images": np.array(run.files), **maps},
        table=Table.of({"layer": np.arange(len(lines[0].values)), **{line.name: line.values for line in lines}}),
        layers=layers,
        heads=heads,
        ranges=ranges,
        operators=tuple(chosen.trained.items()),
    )


def _placed(run: FigureRun) -> PlacedOperators:
    """Raises `ExplorerError` for an operator that there is not, or not in these blocks."""
    card = run.pair.cards[list(OperatorWeights).index(run.spec.weights)]
    depth = len(card.filter)
    texts = run.spec.operator_texts
    return PlacedOperators(card, {str(placed(text, depth)): operators.in_blocks(text, depth) for text in texts})


def _traced(run: FigureRun, card: ModelCard, image: ImageInput, filter: Operators) -> Trace:
    return ask(run.pair.engine, OperatorsJob(filter), [image], card.key)[0]


def _maps(
    spec: Spec, name: str, trace: Trace, layers: tuple[int, ...], heads: tuple[str, ...]
) -> dict[str, grids.Panel]:
    """Rows of `E` and `E_0` by layer and head; of a block without `E_0`, nothing but 0."""
    panels: dict[str, grids.Panel] = {}
    mark = patch(spec, trace)
    own = None if mark is None else mark[0] * trace.grid[1] + mark[1]
    for layer in layers:
        rows = attention.rows_in(trace, layer - 1, token(spec, trace))
        polynomials = operators.polynomials(trace.filter[layer - 1], layer - 1)
        for which, of_heads, polynomial in zip((_OWN, _FIRST), rows, polynomials, strict=True):
            for head in heads:
                values = np.zeros(trace.grid, np.float32) if of_heads is None else _map(of_heads, head, trace)
                panels[_key(layer, head, which, name)] = grids.Panel(values, not polynomial.is_nonnegative, own)
    return panels


def _map(of_heads: HeadRows, head: str, trace: Trace) -> np.ndarray:
    return array(attention.patch_maps(attention.combine_heads(of_heads[None], head_choice(head))[0], trace))


def _key(layer: int, head: str, which: str, name: str) -> str:
    return f"{grids.key(layer, head)}, {which}, {name}"


def _layout(
    spec: Spec,
    chosen: PlacedOperators,
    photos: list[grids.MappedImage],
    layers: tuple[int, ...],
    heads: tuple[str, ...],
) -> grids.Layout:
    """A row of `E` for each layer and head, and one of `E_0` where that has anything on the patches."""
    rows = []
    for layer in layers:
        for head in heads:
            for which in _LABELS:
                keys = [_key(layer, head, which, name) for name in chosen.filters]
                if which == _FIRST and not any(photo.sides[0][key].values.any() for photo in photos for key in keys):
                    continue
                label = grids.row_label(_LABELS[which], layers, layer, heads, head)
                rows.append(grids.MapRow(tuple((0, key) for key in keys), label))
    columns = tuple(
        Columns(("as trained" if is_trained else "counterfactual",), name, colour)
        for (name, is_trained), (colour, _) in zip(
            chosen.trained.items(), operator_strokes(chosen.trained, PALETTES[Theme.LIGHT]), strict=True
        )
    )
    return grids.Layout(tuple(rows), columns, "row of the query", lambda key: ", ".join(key.split(", ")[:2]), "largest")


def caption(spec: Spec, content: Content) -> list[str]:
    """On which weights, which operators they were not trained with, and what is drawn."""
    swapped = [name for name, is_trained in content.operators if not is_trained]
    trained = [name for name, is_trained in content.operators if is_trained]
    sentences = [
        phrases.maps(phrases.attention(spec, _ROWS), content),
        f"All operators are on the weights of the {spec.weights} model"
        + (f", which were trained with {escape(', '.join(trained))}." if trained else "."),
    ]
    if swapped:
        sentences.append(f"Counterfactual, operator swapped, not trained: {escape(', '.join(swapped))}.")
    if not all(KERNELS[each.kernel].sums_to_one for each in _named(content)):
        sentences.append("Linear attention is computed in its explicit form, as a matrix.")
    if any(FILTERS[each.filter].needs_first_values for each in _named(content)):
        sentences.append("Rows of $E_0$ that have nothing on the patches are left out.")
    band = "; band: one standard deviation between images" if len(content.digests) > 1 else ""
    sentences.append(f"Below: token similarity by operator{band}. {escape(spec.definition.sentence())}")
    scale = phrases.scale(spec, content, "All operators")
    if spec.place is not None:
        scale += " The outlined patch itself may be beyond it."
    return [*sentences, scale, phrases.photograph(spec)]


_ROWS = (
    "row of $E$, which is applied to a block's own values, and of $E_0$, to the first block's, "
    "where an operator has it ($U = EV + E_0V^1$)"
)


def _named(content: Content) -> list[Operator]:
    return [operators.named(name.partition("@")[0]) for name, _ in content.operators]


TEMPLATE = Template(
    name="operators",
    title="Operators on one set of weights",
    settings=(
        *("operators", "weights", "layers", "heads", "query", "with_cls", "absolute", "with_diagonal", "picture"),
        *LOOK,
        *LABELS,
        "colour_bar",
    ),
    off_page=("labels",),
    gather=gather,
    caption=caption,
    is_grid=True,
    is_heatmap=True,
)
