"""Lesson 6: a guided tour of the attention viewer, on the pair that opens and one photograph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import streamlit as st

from explorer.figures.records import Line
from explorer.figures.screen import curves
from explorer.files import asset
from explorer.measures import attention, similarity
from explorer.measures.attention import Heads
from explorer.measures.settings import Matrix
from explorer.models import sources
from explorer.pictures import examples
from explorer.traces import Trace
from explorer.ui import learn
from explorer.ui.explore import viewer_panel
from explorer.ui.learn import HandoutPicture
from explorer.ui.shell import resources, sidebar
from explorer.ui.shell.session import Pair, View, array

TITLE = "A guided tour"
WORDS = (
    "The attention viewer shows the row of one token as a map over the photograph, in every layer and head, for both "
    "models under one cursor.",
    "Things to look for: how concentrated the maps are, what twicing adds and takes away, how heads differ, and where "
    "the two models part.",
)
ASKED = "Which model looks at more of the photograph in its last layer, and what would let you say so in general?"
PHOTOGRAPH = "coffee.png"
_HTML = (
    '<section class="tour" aria-label="Guided tour"><div class="count"></div>'
    '<h3 class="title" tabindex="-1" aria-live="polite"></h3><p class="text"></p><p class="task" role="status"></p>'
    '<div class="steps"><button type="button" class="back">Back</button><button type="button" class="next">Next'
    '</button><button type="button" class="skip">Go on without</button></div></section>'
)
_START = {
    "head": "mean", "matrix": "effective", "scale": "shared", "place": None, "pinned": True, "difference": False,
    "allHeads": False, "blink": 0,
}  # fmt: skip


@dataclass(frozen=True)
class TourStep:
    """One card: where it takes the viewer, what to notice there, and what it waits for."""

    title: str
    text: str
    state: dict[str, Any]
    """In the viewer's words, on top of a common start; layers from 0."""
    task: str = ""
    wait: dict[str, list[Any]] = field(default_factory=dict)


def tour_view() -> View:
    """The tour's photograph under the pair that opens, or what stands in the sidebar where the pair is not loaded."""
    from explorer.ui import view

    photo = next(photo for photo in sidebar.example_photos() if photo.key == PHOTOGRAPH)
    cards = {card.source: card for card in resources.engine().cards if not card.is_counterfactual}
    standard, twicing = map(cards.get, sources.labels())
    pair = Pair(standard, twicing) if standard and twicing else view().pair
    return replace(view(), photo=photo, pair=pair)


def run(chosen: View) -> None:
    """The cards above, the viewer below."""
    render = st.components.v2.component(
        "tour",
        html=_HTML,
        css=asset("tour.css"),
        js=asset("tour.js"),
    )
    step_data = tuple(_step_data(step) for step in steps(chosen.comparison().baseline, chosen.comparison().twicing))
    render(key="tour", data={"steps": step_data})
    viewer_panel.show(chosen)


def _step_data(step: TourStep) -> dict[str, Any]:
    return {**asdict(step), "state": _START | step.state, "wait": step.wait or None}


def steps(baseline: Trace, twicing: Trace) -> list[TourStep]:
    """The cards; every number in them is measured on these two traces, and what is said of it holds for them."""
    last = min(baseline.depth, twicing.depth) - 1
    peak = [float(_map(trace, last).max()) for trace in (baseline, twicing)]
    bits = [float(attention.entropies(trace)[last][:, 0].mean()) for trace in (baseline, twicing)]
    first = [float(attention.entropies(trace)[0][:, 0].mean()) for trace in (baseline, twicing)]
    y, x = divmod(int(_map(baseline, last).argmax()), baseline.grid[1])
    place = [(y + 0.5) / baseline.grid[0], (x + 0.5) / baseline.grid[1]]
    lowest = float(_map(twicing, last, Matrix.CORRECTION).min())
    collapse = [float(similarity.token_similarity(trace)[-1]) for trace in (baseline, twicing)]
    alone = [float(curve[last]) for curve in similarity.operator_alone(baseline)]
    return [
        TourStep(
            "What the class token looks at",
            f"Both maps show row CLS of A in the last layer, mean over heads. The brightest patch holds {peak[0]:.0%} "
            f"of the row in the standard model (left) and {peak[1]:.0%} in the twicing model (right). "
            f"{_question(peak, bits)}",
            {"layer": last, "matrix": "A"},
        ),
        TourStep(
            "Give each map its own scale",
            "On a shared scale a spread-out map looks empty. Each map's own largest value shows where it looks, but no "
            "longer how strongly: that is why maps that are to be compared share a scale here.",
            {"layer": last, "matrix": "A"},
            "Set the scale to “map”.",
            {"scale": ["map"]},
        ),
        TourStep(
            "From the first layer to the last",
            f"Entropy of the row, in nats, {_with_depth(first, bits, baseline.attention.shape[-1])}. "
            "The charts below the maps show it layer by layer.",
            {"layer": last, "matrix": "A"},
            "Go to layer 1: slider, arrow keys, or Space to play.",
            {"layer": [0]},
        ),
        TourStep(
            "What twicing adds",
            "A − A² is what a twicing block adds to A. Each row of it sums to 0: what one patch gains, another loses. "
            f"Yellow gains, blue loses; in the right map the lowest entry is {lowest:.3f}. In the left model nothing "
            "is added: there it is what twicing would add.",
            {"layer": last, "matrix": "A"},
            "Set the matrix to A − A².",
            {"matrix": ["A − A²"]},
        ),
        TourStep(
            "The matrix that is applied",
            "2A − A² is what a twicing block applies to the values. Its rows sum to 1 as those of A do, but entries "
            "may be negative: it is no average any more, it sharpens. With the left model's own values and A, here: "
            f"mean cosine of the patches {alone[0]:.2f} in V, {alone[1]:.2f} in AV, {alone[2]:.2f} in (2A − A²)V.",
            {"layer": last, "matrix": "2A − A²"},
        ),
        TourStep(
            "Ask a patch",
            "Every token has a row. Move over the photograph: both models, in all layers, answer for the patch under "
            "the pointer. A click pins it.",
            {"layer": last, "matrix": "effective", "pinned": False},
            "Pin a patch: click it, or Shift and the arrow keys.",
            {"placed": [True]},
        ),
        TourStep(
            "Heads are not alike",
            "The mean over heads hides that heads look at different things. Below: all heads of all layers, for the "
            "patch that the standard model's CLS looks at most.",
            {"layer": last, "matrix": "effective", "place": place, "allHeads": True},
        ),
        TourStep(
            "Where the models part",
            "The difference: twicing model minus standard model, for CLS. Blue is where the standard model looks more.",
            {"layer": last, "matrix": "effective", "difference": True},
            "Step through a few layers and watch it change.",
            {"layer": [layer for layer in range(last) if layer > 0]},
        ),
        TourStep(
            "Through all layers: rollout",
            "Rollout multiplies the layers' effective matrices, half of each block being the skip connection. It "
            "spreads with depth in both models. It is no attribution either: values, MLPs and the head are not in it.",
            {"layer": last, "matrix": "rollout"},
        ),
        TourStep(
            "What it does not show",
            f"After the last block the patch tokens' mean cosine is {collapse[0]:.2f} in the standard and "
            f"{collapse[1]:.2f} in the twicing model, for this photograph. {_claimed(collapse)} One photograph and two "
            "models show how to look, not what is true: load many images on the similarity page before you conclude "
            "anything.",
            {"layer": last, "matrix": "effective"},
        ),
    ]


def _claimed(collapse: Sequence[float]) -> str:
    """What the paper's Fig. 2 leads one to expect of the two, and whether it is so here."""
    standard, twicing = (round(value, 2) for value in collapse)
    return f"The paper's Fig. 2 has twicing's lower: {'so it is here' if twicing < standard else 'here it is not'}."


def answer(baseline: Trace, twicing: Trace) -> str:
    """To `ASKED`, of these two traces."""
    nats = [float(attention.entropies(trace)[-1][:, 0].mean()) for trace in (baseline, twicing)]
    wider = int(nats[1] > nats[0])
    tokens = [math.exp(entropy) for entropy in nats]
    ends = (
        f"{nats[wider]:.2f} and {nats[1 - wider]:.2f} nats, which {tokens[wider]:.0f} and {tokens[1 - wider]:.0f} "
        "tokens of equal weight would have"
    )
    if round(nats[0], 1) == round(nats[1], 1):
        said = f"On this photograph the two spread their last layer's attention about equally: {ends}."
    else:
        said = (
            f"On this photograph the {('standard', 'twicing')[wider]} model spreads its last layer's attention over "
            f"more places, which the entropy says in a number: {ends}."
        )
    return (
        f"{said} Before saying so in general: more photographs, more than one pair of models trained from different "
        "seeds, and a measure that was chosen before looking."
    )


def _question(peak: Sequence[float], nats: Sequence[float]) -> str:
    """What the first card asks: of a map that is dimmer only where its row is more spread out as well."""
    left, right = (round(100 * share) for share in peak)
    dim = int(right < left)
    if left == right or nats[dim] <= nats[1 - dim]:
        return "Does a dim map look at nothing, or at more places?"
    side = ("left", "right")[dim]
    return f"Is the {side} map dimmer because it looks at nothing, or because it looks at more places?"


def _with_depth(first: Sequence[float], last: Sequence[float], tokens: int) -> str:
    """How the entropy of a row over so many tokens changes; at `h` nats it looks at about `exp(h)` of them."""
    rises = {
        (round(end, 2) > round(start, 2)) - (round(end, 2) < round(start, 2))
        for start, end in zip(first, last, strict=True)
    }
    verb, words = "goes", ""
    if rises == {1}:
        verb, words = "rises", ": from fewer places to more"
    if rises == {-1}:
        from_all = min(first) >= math.log(tokens / 2) and max(last) <= math.log(tokens / 4)
        words = ": from looking nearly everywhere to a few places" if from_all else ": from more places to fewer"
        verb = "falls"
    return (
        f"{verb} from {first[0]:.2f} to {last[0]:.2f} in the standard model and from {first[1]:.2f} to {last[1]:.2f} "
        f"in the twicing model{words}"
    )


def _map(trace: Trace, layer: int, matrix: Matrix = Matrix.ATTENTION) -> Any:
    row = attention.maps(trace, 0, matrix, Heads.MEAN)[layer]
    return array(attention.patch_maps(row, trace)).ravel()


def pictures(chosen: View) -> Sequence[HandoutPicture]:
    """For the handout: entropy of the CLS row and token similarity by layer; made outside a visit."""
    colours = learn.PAPER
    comparison = chosen.comparison()
    entropy = [array(attention.entropies(trace)[:, :, 0].mean(dim=1)) for trace in comparison]
    alike = [array(similarity.token_similarity(trace)) for trace in comparison]
    named = partial(zip, chosen.names, colours.models, strict=True)
    return (
        (
            "Entropy of row CLS of A, mean over heads, for the tour's photograph.",
            curves.by_layer(
                [Line(name, values, colour) for (name, colour), values in zip(named(), entropy, strict=True)],
                colours, y="nats", first_layer=1,
            ),
        ),
        (
            "Mean cosine of patch tokens after each block.",
            curves.by_layer(
                [Line(name, values, colour) for (name, colour), values in zip(named(), alike, strict=True)],
                colours, y="Token similarity", first_layer=0,
            ),
        ),
    )  # fmt: skip


CREDIT = next(example.credit for example in examples.EXAMPLES if example.file == PHOTOGRAPH)
