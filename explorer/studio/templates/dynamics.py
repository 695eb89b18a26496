"""`p^n` and `p_hat^n` (paper Fig. 3), with the models' eigenvalues where images are given."""

from __future__ import annotations

import numpy as np

from explorer.figures.print.charts import Dynamics
from explorer.paper import theory
from explorer.studio import phrases
from explorer.studio.content import Content, Table
from explorer.studio.eigenvalues import decomposed, from_zero
from explorer.studio.run import FigureRun
from explorer.studio.spec import Spec
from explorer.studio.template import Takes, Template
from explorer.types import ROLES


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """The powers, and the moduli of the images' eigenvalues where there are images."""
    spec = run.spec
    moduli: list[tuple[str, str, np.ndarray]] = []
    heads: tuple[str, ...] = ()
    if run.photographs:
        spectra, heads = decomposed(run, layers)
        for (name, colour, _), of_model in zip(run.models, spectra, strict=True):
            values = [
                of_image.eigenvalues[from_zero(heads)].flatten().numpy()
                for of_layer in of_model
                for of_image in of_layer
            ]
            moduli.append((name, colour, np.abs(np.concatenate(values))))
    x = np.linspace(0, 1, 101)
    columns = {"x": x}
    for role, power in (("standard", theory.standard_power), ("twicing", theory.twicing_power)):
        columns |= {f"{role}_n{n}": power(x, n) for n in spec.iterations}
    return Content(
        Dynamics(spec.iterations, tuple(moduli), letters=spec.letters),
        tuple(run.digests),
        arrays={f"moduli_{role}": values for role, (*_, values) in zip(ROLES, moduli, strict=False)},
        table=Table.of(columns),
        layers=layers if moduli else (),
        heads=heads,
    )


def caption(spec: Spec, content: Content) -> list[str]:
    """The powers, and whose eigenvalues the ticks are."""
    steps = ", ".join(map(str, spec.iterations))
    sentences = [
        rf"Filters applied $n$ times: $p^n(x) = x^n$ (standard) and $\hat p^n(x) = (2x - x^2)^n$ (twicing), "
        f"$n = {steps}$."
    ]
    if content.digests:
        sentences.append(
            f"Ticks: moduli of the eigenvalues of $A$ in {phrases.layers(content.layers)}, "
            f"{phrases.heads(content.heads)}, {phrases.images(content)}."
        )
    return sentences


TEMPLATE = Template(
    name="dynamics",
    title="Filter dynamics (Fig. 3)",
    settings=("iterations",),
    off_page=("layers", "heads"),
    gather=gather,
    caption=caption,
    takes=Takes.PHOTOGRAPHS_OR_NONE,
)
