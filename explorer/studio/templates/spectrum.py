"""Eigenvalues before and after `2λ − λ²`, layer by layer."""

from __future__ import annotations

from explorer.figures.print.charts import Spectra
from explorer.figures.records import SYMBOLS, Points
from explorer.studio import phrases
from explorer.studio.content import Content, Table
from explorer.studio.eigenvalues import decomposed, from_zero
from explorer.studio.run import FigureRun
from explorer.studio.spec import Spec
from explorer.studio.template import Template
from explorer.types import ROLES

_HEADER = (
    *("image", "layer", "model", "head", "lambda_real", "lambda_imag", "mapped_real", "mapped_imag"),
    *("real_positive", "zero"),
)


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A panel for each layer, all images in it."""
    spectra, heads = decomposed(run, layers)
    panels, rows, outside = [], [], []
    for place, layer in enumerate(layers):
        panel = tuple(
            Points.of(name, colour, symbol, of_model[place], from_zero(heads))
            for (name, colour, _), symbol, of_model in zip(run.models, SYMBOLS, spectra, strict=True)
        )
        for role, points, of_model in zip(ROLES, panel, spectra, strict=True):
            outside.append(f"{points.outside} of {len(points.eigenvalues)}")
            arrays = (points.eigenvalues, points.mapped, points.on_curve, points.vanishing)
            owners = [
                (image, head)
                for image, of_image in zip(run.files, of_model[place], strict=True)
                for head in map(int, heads)
                for _ in range(of_image.eigenvalues.shape[-1])
            ]
            rows += [
                (image, layer, role, head, value.real, value.imag, mapped.real, mapped.imag, real, zero)
                for (image, head), value, mapped, real, zero in zip(
                    owners, *(array.tolist() for array in arrays), strict=True
                )
            ]
        panels.append((f"Layer {layer}", panel))
    return Content(
        Spectra(tuple(panels), letters=run.spec.letters),
        tuple(run.digests),
        table=Table(_HEADER, tuple(rows)),
        layers=layers,
        heads=heads,
        outside=tuple(outside),
    )


def caption(spec: Spec, content: Content) -> list[str]:
    """Of which matrices, and how many eigenvalues leave the unit disc."""
    return [
        rf"Eigenvalues $\lambda$ of $A$ against what twicing makes of them, $2\lambda - \lambda^2$, by their moduli; "
        f"{phrases.layers(content.layers)}, {phrases.heads(content.heads)}, {phrases.images(content)}.",
        r"Real $\lambda > 0$ (filled) lie on the dashed curve; complex and negative ones (rings) are coloured by "
        r"$|\arg \lambda|$; faint: no larger than the float32 error of $A$, $N\varepsilon\|A\|_2$, times the "
        r"eigenvalue's condition number, so not to be told from 0; dotted: the standard filter.",
        "Leaving the unit disc under the map, panel by panel and model by model: " + ", ".join(content.outside) + ".",
    ]


def _first_middle_last(depth: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys((1, (depth + 1) // 2, depth)))


TEMPLATE = Template(
    name="spectrum",
    title="Spectrum overlay",
    settings=("layers", "heads"),
    gather=gather,
    caption=caption,
    default_layers=_first_middle_last,
)
