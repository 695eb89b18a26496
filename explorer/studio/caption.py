r"""A caption in LaTeX that says what is seen, by which definition, of which images and weights, and whom to cite."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.attribution.result import Baseline, Method, method_called
from explorer.disturb.pictures import amplification
from explorer.measures.attention import Operator
from explorer.studio import caption_disturbed as disturbed
from explorer.studio.attacked import settings
from explorer.studio.content import Content
from explorer.studio.latex import escape, number
from explorer.studio.record import Record
from explorer.studio.spec import DISTURBED, GRIDS, OPERATORS, Spec, Template
from explorer.types import ModelCard
from explorer.version import VERSION

BIBTEX = f"""@inproceedings{{abdullaev2025twicing,
  title     = {{Transformer Meets Twicing: Harnessing Unattended Residual Information}},
  author    = {{Abdullaev, Laziz U. and Nguyen, Tan M.}},
  booktitle = {{International Conference on Learning Representations}},
  year      = {{2025}},
  note      = {{arXiv:2503.00687}},
}}

@software{{twicingexplorer,
  title   = {{Twicing Explorer}},
  author  = {{{{The Twicing Explorer authors}}}},
  version = {{{VERSION}}},
}}
"""

_ROWS = {
    Operator.EFFECTIVE: "row of the effective attention $p_a(A) = aA + (1-a)A^2$ of each block, which is applied to "
    "the values ($A$ for $a = 1$, $2A - A^2$ for $a = 2$)",
    Operator.ATTENTION: r"row of $A = \mathrm{softmax}(QK^\top/\sqrt d)$",
    Operator.CORRECTION: "row of $A - A^2$, what twicing adds or would add to $A$",
    Operator.TWICING: "row of $2A - A^2$",
    Operator.ROLLOUT: r"row of the attention rollout $\prod_l (E_l + I)/2$, $E_l$ the mean over heads of the effective "
    "attention, neither normalised nor clamped",
}
_NORMS = {
    "smoothed-residual": r"$\|A(V - AV)\|_2$ over the channels of a head, the smoothed residual, before the output "
    "projection",
    "smoothed": r"$\|AV\|_2$ over the channels of a head, before the output projection",
    "ratio": r"$\|A(V - AV)\|_2 / \|AV\|_2$ over the channels of a head; in the curve, ratio of Frobenius norms over "
    "the patch tokens",
}
_MOST_RANGES = 12


def caption(content: Content, record: Record, cards: Sequence[ModelCard], names: Sequence[str]) -> str:
    """The caption. What it says of heads, layers and scale is what was drawn."""
    spec = record.spec
    sentences = [*_seen(spec, content, record), *_models(cards, names)]
    if spec.template in GRIDS - {Template.RESIDUAL, Template.ATTRIBUTION, Template.ATTACK}:
        sentences.append("A heatmap is not an attribution.")
    sentences.append(
        rf"Twicing Attention: \citet{{abdullaev2025twicing}}; made with Twicing Explorer {VERSION} "
        r"\citep{twicingexplorer}."
    )
    return "\\caption{%\n  " + "\n  ".join(sentences) + "\n}\n"


def _seen(spec: Spec, content: Content, record: Record) -> list[str]:
    count = len(record.images)
    of_images = f"{count} image{'s' * (count != 1)}"
    if spec.template is Template.SIMILARITY:
        band = "; band: one standard deviation between images" if count > 1 else ""
        return [f"Token similarity over {of_images}{band}.", escape(spec.definition.sentence())]
    if spec.template is Template.DYNAMICS:
        steps = ", ".join(map(str, spec.iterations))
        rug = (
            [
                f"Ticks: moduli of the eigenvalues of $A$ in {_layers(content.layers)}, {_heads(content.heads)}, "
                f"{of_images}."
            ]
            if count
            else []
        )
        return [
            rf"Filters applied $n$ times: $p^n(x) = x^n$ (standard) and $\hat p^n(x) = (2x - x^2)^n$ (twicing), "
            f"$n = {steps}$.",
            *rug,
        ]
    if spec.template is Template.SPECTRUM:
        return _seen_spectrum(content, of_images)
    if spec.template is Template.ATTRIBUTION:
        return _seen_attribution(spec, content, of_images)
    if spec.template is Template.ATTACK:
        return _seen_attack(spec, content, of_images)
    if spec.template is Template.ROBUSTNESS:
        return disturbed.accuracy(content.sweeps, spec.transfer)
    if spec.template is Template.RESIDUAL:
        what = f"Magnitude of each patch: {_NORMS[spec.quantity]}"
        one = content.heads[0].isdecimal() and len(content.heads) == 1
        extra = [
            f"Below: mean over patches and {of_images} by layer, {_heads(content.heads[:1] if one else ('mean',))}"
            + ("; band: one standard deviation between images." if count > 1 else "."),
        ]
        if spec.quantity != "smoothed":
            extra.append("In a standard block nothing is given back: there it is what twicing would give back.")
    else:
        row = (
            "rows of $A$, $A - A^2$ and $2A - A^2$"
            if spec.template is Template.OPERATORS
            else _ROWS[OPERATORS[spec.operator]]
        )
        query = "the CLS token (the mean patch in models without one)" if spec.place is None else "the outlined patch"
        what, extra = f"{row[0].upper()}{row[1:]}, query: {query}", []
        if spec.template is Template.CORRUPTION:
            extra = disturbed.corruption(spec, count)
    fixed = ", the same for all rows" if count > 1 else ""
    return [
        f"{what}, {_layers(content.layers)}, {_heads(content.heads)}{fixed}; {of_images}.",
        *extra,
        _scale(spec, content),
        _picture(spec),
    ]


def _seen_spectrum(content: Content, of_images: str) -> list[str]:
    return [
        rf"Eigenvalues $\lambda$ of $A$ against what twicing makes of them, $2\lambda - \lambda^2$, by their moduli; "
        f"{_layers(content.layers)}, {_heads(content.heads)}, {of_images}.",
        r"Real $\lambda \ge 0$ (filled) lie on the dashed curve; complex and negative ones (rings) are coloured by "
        r"$|\arg \lambda|$; dotted: the standard filter.",
        "Leaving the unit disc under the map, panel by panel and model by model: " + ", ".join(content.outside) + ".",
    ]


_NOTHING = {
    Baseline.MEAN: "the mean colour",
    Baseline.BLACK: "black",
    Baseline.WHITE: "white",
    Baseline.BLURRED: "the image under a Gaussian of a sixteenth of its shorter side",
}


def _method(spec: Spec) -> str:
    """How a map is made, with the settings it reads."""
    nothing = _NOTHING[Baseline(spec.baseline_picture)]
    square = "one patch" if spec.square == 1 else f"{spec.square} by {spec.square} patches"
    return {
        Method.SALIENCY: "largest magnitude of the gradient over colour channels",
        Method.INPUT_X_GRADIENT: "pixel times gradient, summed over colour channels, pixels in $[0, 1]$",
        Method.INTEGRATED_GRADIENTS: f"gradients along the straight line from {nothing}, {spec.path_steps} steps",
        Method.GRADIENT_SHAP: f"expected gradients from four baselines, {spec.samples} samples, seed {spec.seed}",
        Method.OCCLUSION: f"fall when a square of {square}, moved by half of it, becomes {nothing}",
        Method.FEATURE_ABLATION: f"fall when one patch becomes {nothing}",
        Method.GRAD_CAM: "tokens read by the last attention (of a pooled model, behind its last norm), weighted by "
        "the mean gradient of the logit, without ReLU",
        Method.WEIGHTED_ROLLOUT: "product over layers of effective attention where the logit's gradient agrees",
    }[method_called(spec.method)]


def _seen_attribution(spec: Spec, content: Content, of_images: str) -> list[str]:
    method = method_called(spec.method)
    sign = "; red speaks for the class, blue against it" if method.is_signed else ""
    about = f"{'of the logit of' if method.unit else 'for'} {_class(spec, content)}"
    return [
        f"{escape(str(method))} {about}: {_method(spec)}; mean over the pixels of each patch{sign}; {of_images}.",
        _scale(spec, content),
        _picture(spec),
    ]


def _class(spec: Spec, content: Content) -> str:
    """What an attribution or an attack is about."""
    if spec.target:
        return f"the class {escape(content.classes[0][0])}"
    return "each model's first choice (" + "; ".join(", ".join(map(escape, two)) for two in content.classes) + ")"


def _seen_attack(spec: Spec, content: Content, of_images: str) -> list[str]:
    return [
        f"{disturbed.attack(settings(spec))} with each model's own gradients, away from {_class(spec, content)}; "
        f"{of_images}.",
        f"From left to right: clean, the perturbation times {amplification(spec.eps / 255):g} around grey with its "
        "largest change, adversarial; beneath, each model's first choice and its softmax probability.",
        _picture(spec),
    ]


def _layers(layers: Sequence[int]) -> str:
    return f"layer{'s' * (len(layers) > 1)} {_list(layers)}"


def _heads(heads: Sequence[str]) -> str:
    if len(heads) > 1:
        return f"all {len(heads)} heads"
    if heads[0] == "mean":
        return "mean over heads"
    return "head of largest magnitude" if heads[0] == "max" else f"head {heads[0]}"


def _scale(spec: Spec, content: Content) -> str:
    each = "in each image" if spec.template is Template.ATTRIBUTION else "in each layer and image"
    who = "Both models and all severities" if spec.template is Template.CORRUPTION else "Both models"
    shared = {
        "map": "Each map has its own scale",
        "shared": f"{who} share one scale {each}",
        "figure": "All maps share one scale",
    }[spec.scale]
    if len(content.ranges) > _MOST_RANGES:
        return f"{shared}."
    return f"{shared}; colours end at ${', '.join(map(number, content.ranges))}$."


def _picture(spec: Spec) -> str:
    if spec.template in DISTURBED:
        return "The pixels are those at the model's input, the photograph's those of the baseline."
    return {
        "sharp": "The photograph is cropped as the models saw it, at its own resolution.",
        "model": "The photograph is shown as the model saw it.",
        "original": "The photograph is shown whole; the models saw the part under the map.",
    }[spec.picture]


def _models(cards: Sequence[ModelCard], names: Sequence[str]) -> list[str]:
    sentences = []
    for card, name in zip(cards, names, strict=True):
        sentences.append(f"{escape(name)}: {escape(card.title)} ({escape(card.source)}, SHA-256 {card.digest[:12]}).")
        if card.is_counterfactual:
            sentences.append(
                f"{escape(name)} is a counterfactual: its weights were trained with another operator than "
                f"{escape(card.operator)}."
            )
    return sentences


def _list(numbers: Sequence[int]) -> str:
    """`1, 6, 10 to 12`: runs of three and more are shortened."""
    parts: list[list[int]] = []
    for one in numbers:
        if parts and one == parts[-1][-1] + 1:
            parts[-1].append(one)
        else:
            parts.append([one])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in parts)
