"""What captions say of corruptions, attacks and measured accuracy, in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from explorer.disturb.attacks import Attack
from explorer.disturb.corruptions import corruption_called, severities
from explorer.studio.latex import escape
from explorer.studio.spec import Spec
from explorer.studio.sweeps import Sweep

_DIGEST = re.compile("[0-9a-f]{64}")


def corruption(spec: Spec, count: int) -> list[str]:
    """What disturbs the photograph, and what the curves beneath are."""
    kind = corruption_called(spec.corruption)
    values = severities(kind).removesuffix(".")
    source = "Ours" if kind.slug == "occlusion" else "As in ImageNet-C (Hendrycks and Dietterich 2019)"
    band = "; mean over images, band: one standard deviation between them" if count > 1 else ""
    return [
        f"{escape(str(kind))}, seed {spec.seed}. {source}; {escape(values[0].lower() + values[1:])}.",
        "Below, left: attention drift, the Jensen-Shannon divergence in nats between the rows of $A$ of the clean and "
        "of the disturbed picture, mean over all heads, queries and layers; right: softmax probability of each model's "
        f"first choice on the clean picture{band}.",
    ]


def attack(settings: Attack) -> str:
    """The settings, without a full stop."""
    return escape(settings.sentence().removesuffix("."))


def accuracy(sweeps: Sequence[Sweep], with_transfer: bool) -> list[str]:
    """Each file's attack, data and paired differences."""
    sentences = [
        "Top-1 accuracy against the budget of an attack, each model attacked with its own gradients at its input; "
        r"bands: 95\% Wilson intervals."
    ]
    if with_transfer:
        sentences.append(
            "Dotted, in the colour of the model that is shown the images: transfer, where they were made to fool the "
            "other model."
        )
    for one in sweeps:
        differences = ", ".join(
            f"{_points(mean)} ({_points(low)} to {_points(high)}) " + (f"at {eps:g}/255" if eps else "clean")
            for eps, (mean, low, high) in zip(one.eps, one.differences, strict=True)
        )
        sentences += [
            f"{_words(one)}: {one.count:,} images, {_data(one)}.",
            rf"Twicing minus baseline in points, paired over the images, with its 95\% interval: {differences}.",
        ]
    return sentences


def _words(one: Sweep) -> str:
    """The attack at any budget."""
    settings = one.attack
    if one.title == "FGSM":
        return "FGSM"
    step = r"$2.5\epsilon$ over their number" if settings.step_size is None else f"{255 * settings.step_size:.3g}/255"
    start = f"a random start (seed {settings.seed})" if settings.random_start else "the image itself"
    return f"PGD, {settings.steps} steps of {step} from {start}"


def _data(one: Sweep) -> str:
    if _DIGEST.fullmatch(one.data):
        return f"pixels and labels with SHA-256 {one.data[:12]}"
    return f"data {escape(one.data)}" if one.data.strip() else "of data without a name"


def _points(share: float) -> str:
    """A difference of shares in points with its sign."""
    return f"${100 * share:+.1f}$"
