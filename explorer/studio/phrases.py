r"""What captions of several templates say alike, in LaTeX: images, layers, heads, scales, photographs, classes."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.figures.settings import ColourScale
from explorer.figures.words import listed
from explorer.measures.settings import Matrix
from explorer.studio.content import Content
from explorer.studio.latex import escape, number
from explorer.studio.spec import Spec, Underlay

_ROWS = {
    Matrix.EFFECTIVE: "row of the effective attention $p_a(A) = aA + (1-a)A^2$ of each block, which is applied to "
    "the values ($A$ for $a = 1$, $2A - A^2$ for $a = 2$)",
    Matrix.ATTENTION: r"row of $A = \mathrm{softmax}(QK^\top/\sqrt d)$",
    Matrix.CORRECTION: "row of $A - A^2$, what twicing adds or would add to $A$",
    Matrix.TWICING: "row of $2A - A^2$",
    Matrix.ROLLOUT: r"row of the attention rollout $\prod_l (E_l + I)/2$, $E_l$ the mean over heads of the effective "
    "attention, neither normalised nor clamped",
}
PIXELS = "The pixels are those at the model's input, the photograph's those of the baseline."
_MOST_RANGES = 12


def images(content: Content) -> str:
    """How many there are."""
    count = len(content.digests)
    return f"{count} image{'s' * (count != 1)}"


def layers(numbers: Sequence[int]) -> str:
    """Which layers, from 1."""
    return f"layer{'s' * (len(numbers) > 1)} {listed(numbers)}"


def heads(names: Sequence[str]) -> str:
    """Which heads."""
    if len(names) > 1:
        return f"all {len(names)} heads"
    if names[0] == "mean":
        return "mean over heads"
    return "head of largest magnitude" if names[0] == "max" else f"head {names[0]}"


def attention(spec: Spec, rows: str = "") -> str:
    """Whose row of which matrix a map is; of the setting's matrix by default."""
    query = _token(spec.query) if spec.place is None else "the outlined patch"
    matrix = rows or _ROWS[spec.matrix]
    return f"{matrix[0].upper()}{matrix[1:]}, query: {query}"


def _token(query: str) -> str:
    """A prefix token, and what stands in for it."""
    if query == "cls":
        return "the CLS token (the mean patch in models without one)"
    return f"the {query.replace('-', ' ')} token (CLS, or the mean patch, in models without it)"


def maps(subject: str, content: Content) -> str:
    """What maps are, of which layers, heads and images."""
    fixed = ", the same for all rows" if len(content.digests) > 1 else ""
    return f"{subject}, {layers(content.layers)}, {heads(content.heads)}{fixed}; {images(content)}."


def scale(spec: Spec, content: Content, who: str = "Both models", where: str = "in each layer and image") -> str:
    """Which maps share a scale, and where it ends."""
    shared = {
        ColourScale.MAP: "Each map has its own scale",
        ColourScale.SHARED: f"{who} share one scale {where}",
        ColourScale.FIGURE: "All maps share one scale",
    }[spec.scale]
    if len(content.ranges) > _MOST_RANGES:
        return f"{shared}."
    return f"{shared}; colours end at ${', '.join(map(number, content.ranges))}$."


def photograph(spec: Spec) -> str:
    """Which part of it is shown."""
    return {
        Underlay.SHARP: "The photograph is cropped as the models saw it, at its own resolution.",
        Underlay.MODEL: "The photograph is shown as the model saw it.",
        Underlay.ORIGINAL: "The photograph is shown whole; the models saw the part under the map.",
    }[spec.picture]


def subject_class(spec: Spec, content: Content) -> str:
    """The class that an attribution or an attack is about."""
    if spec.target:
        return f"the class {escape(content.classes[0][0])}"
    return "each model's first choice (" + "; ".join(", ".join(map(escape, two)) for two in content.classes) + ")"
