"""What the attacks page shows: pictures, who is fooled by which, what the paper and this pair give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from torch import Tensor

from explorer.disturb.attacks import Answers
from explorer.disturb.pictures import amplification, around_grey, rgb
from explorer.disturb.settings import Attack, Kind, Space
from explorer.figures.records import Trial
from explorer.figures.screen import trials
from explorer.measures.accuracy import Accuracy
from explorer.models.classes import class_name
from explorer.paper import reported as reported_by_paper
from explorer.runs.robustness_file import Result
from explorer.types import ModelCard
from explorer.ui.challenge import answers
from explorer.ui.challenge.attacks import compute
from explorer.ui.challenge.attacks.compute import Crossed
from explorer.ui.challenge.classes import Targets
from explorer.ui.shell import panels
from explorer.ui.shell.session import View, array, palette, plain, signed

_READINGS = (
    "Which settings the paper's numbers are of, nobody knows: it says eps 4/255, of PGD “20 steps with step size of "
    "0.15” (App. B.2), and no more, and the code released with it holds no attack. They may be in pixels (“FGSM, "
    "pixels” and “PGD, pixels”, the step read as 0.15 eps), or what its group did before (“as Han et al. coded it”: on "
    "the normalised input 4/255 is about 0.90/255 in pixels). For the second speaks a log of Han et al. for DeiT-Tiny: "
    f"{reported_by_paper.HAN_LOG['FGSM']:.2f}% under FGSM and {reported_by_paper.HAN_LOG['PGD']:.2f}% under PGD at "
    "4/255, close to the paper's."
)
"""Which settings Table 1 may mean."""


def pictures(view: View, attacks: Sequence[Crossed], settings: Attack) -> None:
    """Clean, perturbation and adversarial picture, a row for each model."""
    factor = amplification(max(settings.in_pixels(view.pair.baseline)))
    for index, crossed in enumerate(attacks):
        attacked, card = crossed.attacked, view.pair.cards[index]
        now = int(attacked.after.predictions[0])
        verdict = "holds" if now == int(attacked.before.predictions[0]) else f"now says {class_name(card, now)}"
        panels.model_heading(view, index, verdict)
        clean, adversarial = rgb(attacked.clean[0]), rgb(attacked.adversarial[0])
        changed = around_grey(255 * array(attacked.perturbation[0]).transpose(1, 2, 0), factor)
        largest = 255 * float(attacked.perturbation.abs().max())
        said = (
            f"Clean: {_said(card, attacked.before)}",
            f"Perturbation x {factor:g} around grey; at most {largest:.3g}/255",
            f"Adversarial: {_said(card, attacked.after)}",
        )
        for slot, picture, words in zip(st.columns(3, gap="medium"), (clean, changed, adversarial), said, strict=True):
            slot.image(answers.enlarged(picture), caption=plain(words, 120), width="stretch")


def _said(card: ModelCard, answers: Answers) -> str:
    best = int(answers.predictions[0])
    return f"{class_name(card, best)} {100 * float(answers.logits[0].softmax(dim=0)[best]):.0f}%"


def transfer(view: View, attacks: Sequence[Crossed], targets: Targets) -> None:
    """Loss and answers of both models on both adversarial pictures."""
    st.subheader(
        "Who is fooled by which",
        anchor=False,
        help="Each model is attacked with its own gradients; the other one is shown the same pixels (transfer). The "
        "loss is the cross-entropy of the attacked class in nats: −log of its probability.",
    )
    rows = []
    for index, crossed in enumerate(attacks):
        attacked, target = crossed.attacked, class_name(view.pair.cards[index], targets[index])
        asked = [(index, attacked.before, attacked.after), *([(1 - index, *crossed.other)] if crossed.other else [])]
        for model, before, after in sorted(asked, key=lambda row: row[0]):
            label = attacked.labels
            rows.append(
                {
                    "Made to fool": view.names[index],
                    "Shown to": view.names[model] + (" (transfer)" if model != index else ""),
                    "Attacked class": target,
                    "Its probability": _from_to(before, after, label),
                    "Loss, nats": f"{float(before.loss[0]):.2f} → {float(after.loss[0]):.2f}",
                    "First choice now": class_name(view.pair.cards[model], int(after.predictions[0])),
                }
            )
    st.dataframe(rows, hide_index=True, width="stretch")
    if any(crossed.other is None for crossed in attacks):
        st.caption("The models have other classes or input sizes: no transfer.")


def _from_to(before: Answers, after: Answers, labels: Tensor) -> str:
    first, now = (100 * float(answer.probability(labels)[0]) for answer in (before, after))
    return f"{first:.0f}% → {now:.0f}%"


def curves(
    view: View, accuracies: Sequence[Sequence[Accuracy]], eps: Sequence[float], y: str, key: str, settings: Attack
) -> None:
    """Shares against eps with their 95% intervals, for both models."""
    colours = palette()
    lines = []
    for name, of_model, colour, card in zip(view.names, accuracies, colours.models, view.pair.cards, strict=True):
        ends = np.array([accuracy.interval(accuracy.top1) for accuracy in of_model])
        shares = np.array([accuracy.top1 for accuracy in of_model])
        dash = "dash" if card.is_counterfactual else "solid"
        lines.append(Trial(name, np.array(eps), shares, colour, ends[:, 0], ends[:, 1], dash))
    figure = trials.against(lines, colours, x=f"eps, {settings.unit}", y=y, y_range=(0, 1.02), percent=True)
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, alt=f"{y} against eps")


def reported(view: View) -> None:
    """What the paper reports beside what this pair gives, where that was measured."""
    st.subheader("What the paper reports, and what this pair gives", anchor=False)
    results = compute.of_pair(view)
    rows = [
        {
            "Attack": row.name,
            "Paper: DeiT": f"{row.standard:.2f}%",
            "Paper: DeiT-Twicing": f"{row.twicing:.2f}%",
            **_measured(view, row.name, results),
        }
        for row in reported_by_paper.TOP1
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    if not results:
        st.caption(
            "Paper: ImageNet top-1 (Table 1, App. B.2). Nothing was measured of this pair on labelled images. "
            f"{_READINGS}"
        )
        return
    result = next(iter(results.values()))
    st.caption(
        f"Paper: ImageNet, 1000 classes, 224 px. This pair: {len(result.ranks):,} validation images of its own "
        "classes, another task, size and training, so columns compare within a pair only. In brackets: 95% "
        "Wilson intervals. "
        f"{_differences(results)} Made by `python -m explorer robustness`: "
        f"{'; '.join(result.attack.rule() for result in results.values())}."
    )
    st.caption(_READINGS)
    if Kind.FGSM in results:
        fgsm = results[Kind.FGSM]
        eps = [255 * e for e in fgsm.settings["eps"]]
        y = "Top-1 under FGSM, validation images"
        curves(view, [c.accuracy for c in fgsm.white_box], eps, y, "attack-measured", fgsm.attack)


def _measured(view: View, name: str, results: dict[Kind, Result]) -> dict[str, str]:
    kind = Kind.PGD if name == "PGD" else Kind.FGSM
    if kind not in results:
        return {}
    cells = {}
    for title, curve in zip(view.names, results[kind].curves, strict=True):
        at = 0.0 if name == "clean" else 4 / 255
        place = next((i for i, eps in enumerate(curve.eps) if abs(eps - at) < 1e-9), None)
        if place is None:
            continue
        accuracy = curve.accuracy[place]
        low, high = (100 * end for end in accuracy.interval(accuracy.top1))
        cells[f"Here: {title}"] = f"{100 * accuracy.top1:.1f}% ({low:.1f} to {high:.1f})"
    return cells


def _differences(results: dict[Kind, Result]) -> str:
    """Twicing minus baseline over the same images, in words."""
    parts, better, worse = [], [], []
    for kind, result in results.items():
        for place, eps in enumerate(result.settings["eps"]):
            if round(255 * eps) not in ((0, 4) if kind is Kind.FGSM else (4,)):
                continue
            mean, low, high = (100 * share for share in result.difference(place))
            name = "clean" if eps == 0 else kind.label
            if low > 0:
                better.append(name)
            if high < 0:
                worse.append(name)
            parts.append(f"{name} {signed(mean, '.1f')} ({signed(low, '.1f')} to {signed(high, '.1f')})")
    said = [f"twicing holds up better under {', '.join(better)}"] if better else []
    said += [f"the baseline holds up better under {', '.join(worse)}"] if worse else []
    words = "; ".join(said) or "no difference is shown"
    return f"Twicing minus baseline in points, paired over the images: {', '.join(parts)}. In this pair {words}."


def bounds(attacks: Sequence[Crossed], settings: Attack) -> str:
    """Whether pixels left their range."""
    if settings.space is Space.PIXELS:
        return "Pixels stay in [0, 1], normalisation inside the model."
    adversarial = [crossed.attacked.adversarial for crossed in attacks]
    outside = [100 * float((x != x.clamp(0, 1)).float().mean()) for x in adversarial]
    return (
        f"Nothing is clipped: {outside[0]:.1f}% and {outside[1]:.1f}% of the values leave [0, 1], where no picture has "
        "any; as drawn, they are cut off."
    )


def losses(attacks: Sequence[Crossed]) -> str:
    """Whether the attack did what it should."""
    rise = [float(crossed.attacked.after.loss[0] - crossed.attacked.before.loss[0]) for crossed in attacks]
    return f"The loss rises by {signed(rise[0], '.2f')} and {signed(rise[1], '.2f')} nats."
