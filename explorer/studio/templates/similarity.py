"""Token similarity of both models over many images, with its band (paper Fig. 2 and 8)."""

from __future__ import annotations

import numpy as np

from explorer.arrays import array
from explorer.figures.print.charts import Curves
from explorer.measures import similarity
from explorer.studio import curves, phrases
from explorer.studio.content import Content
from explorer.studio.latex import escape
from explorer.studio.run import FigureRun
from explorer.studio.spec import Spec
from explorer.studio.template import Template
from explorer.types import ROLES


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A curve for each model, over all layers."""
    spec = run.spec
    values: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for _, comparison in run.compared():
        for of_model, trace in zip(values, comparison, strict=True):
            of_model.append(array(similarity.token_similarity(trace, spec.definition)))
    lines = [
        curves.banded(name, np.stack(of_model), colour, card)
        for (name, colour, card), of_model in zip(run.models, values, strict=True)
    ]
    arrays = {"images": np.array(run.files), **dict(zip(ROLES, map(np.stack, values), strict=True))}
    y = "Mean absolute cosine of tokens" if spec.absolute else "Token similarity"
    chart = Curves(tuple(lines), y, first_layer=0, letters=spec.letters)
    return Content(chart, tuple(run.digests), arrays=arrays, table=curves.table(lines, 0))


def caption(spec: Spec, content: Content) -> list[str]:
    """By which definition."""
    band = "; band: one standard deviation between images" if len(content.digests) > 1 else ""
    return [f"Token similarity over {phrases.images(content)}{band}.", escape(spec.definition.sentence())]


TEMPLATE = Template(
    name="similarity",
    title="Token similarity (Fig. 2, 8)",
    settings=("with_cls", "absolute", "with_diagonal"),
    gather=gather,
    caption=caption,
)
