"""Lesson 4: a head's attention beside nonlocal means, symbol by symbol and as filters of one photograph's patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
from PIL import Image

from explorer.figures import maps
from explorer.figures.screen import denoising as figures
from explorer.figures.screen.chart import Chart
from explorer.figures.screen.maps import colour_bar
from explorer.figures.settings import ColourMap, ColourScale, Look
from explorer.figures.style import Palette, Range
from explorer.lessons import attention_filter
from explorer.types import Picture, Size
from explorer.ui import learn, view
from explorer.ui.learn import heads
from explorer.ui.learn.filters import (
    NLM,
    FilteredSide,
    FilteredValues,
    FilterSettings,
    choose_index,
    controls,
    filtered_sides,
    steps,
)
from explorer.ui.learn.pictures import NamedPicture, picture_row
from explorer.ui.shell import choices
from explorer.ui.shell.session import View, escaped, palette

TITLE = "From nonlocal means to attention"
WORDS = (
    "Nonlocal means and self-attention are the same operation with other weights: rows that sum to 1, of alikeness "
    "fixed by patch distances there, of learned scores exp(q·k/√d) here.",
    "Here a head's A is applied to the colours of the photograph's patches, rows renormalised over the patches. That "
    "is a counterfactual use: the model applies A to the values V of its layer, never to pixels.",
)
ASKED = "Nonlocal means pulls each patch toward patches of its own colour. In which layers do heads do that too?"
_SHOWN = "lesson4-shown"
"""Session key of what the fragment saw last, which the page learns of only when all of it runs again."""

SYMBOLS = (
    (
        "what is compared",
        "patches Pᵢ of the picture, as they are",
        "tokens, through two learned maps to qᵢ and kⱼ",
    ),
    ("weight of j for i", "exp(−|Pᵢ − Pⱼ|²/h²)", "exp(qᵢ·kⱼ/√d)"),
    ("to sum to 1", "A = D⁻¹W, D the row sums", "A = softmax over j: the same division"),
    ("symmetric before it", "yes: Pᵢ is as far from Pⱼ as Pⱼ from Pᵢ", "no: qᵢ·kⱼ and qⱼ·kᵢ are different numbers"),
    ("spectrum of A", "real, in [0, 1]", "complex, in the unit disc"),
    ("how wide", "bandwidth h, chosen", "√d and the lengths of q and k, learned"),
    ("again and again", "the same A each time", "a new A in every layer"),
    ("what is filtered", "the pixels themselves", "values V, a third learned map of the tokens"),
    ("once, and twiced", "AV and (2A − A²)V", "AV in DeiT, (2A − A²)V in DeiT-Twicing"),
)
"""What it is, for nonlocal means, and for a head of attention."""


def _filtering(sides: Sequence[FilteredSide], settings: FilterSettings) -> None:
    """The steps of twicing under each filter, one row a filter."""
    stretch = st.toggle(
        "Stretch the contrast of AV and 2AV − A²V",
        key="lesson4-stretch",
        persist_state="session",
        help="To that of V, around the mean colour: what is left may be faint. The factor stands below.",
    )
    results = [steps(side, settings.values) for side in sides]
    span = figures.residual_range(*(lay(done.residual) for done, lay in results))
    for side, (done, lay) in zip(sides, results, strict=True):
        st.html(f'<strong style="color:{side.colour}">{escaped(side.name, 120)}</strong>')
        once, twice = (
            _contrast(filtered, done.values) if stretch else 1.0 for filtered in (done.smoothed, done.twiced)
        )
        picture_row(
            [
                NamedPicture(
                    picture, name, f"{name} under {side.name}", f"contrast × {factor:.1f}" if factor != 1.0 else ""
                )
                for name, picture, factor in (
                    ("V", figures.as_picture(lay(done.values)), 1.0),
                    ("AV", figures.as_picture(lay(_stretched(done.smoothed, once))), once),
                    ("V − AV", figures.residual(lay(done.residual), span), 1.0),
                    ("A(V − AV)", figures.residual(lay(done.smoothed_residual), span), 1.0),
                    ("2AV − A²V", figures.as_picture(lay(_stretched(done.twiced, twice))), twice),
                )
            ],
            130,
        )
    bar = colour_bar(span, ColourMap.CIVIDIS, palette(), "residuals, intensity, mean over the channels")
    learn.chart(bar, "lesson4-bar", "Colour scale of the residuals")
    st.warning(
        "**A counterfactual use of A.** The model never does this: it applies A to the values V of its layer, not to "
        "pixels. And prefix tokens (CLS, and registers where there are some) have no pixels: what patches give to them "
        "is left out, and their rows are scaled to sum to 1."
    )


def _contrast(faint: attention_filter.Patches, values: attention_filter.Patches) -> float:
    """The factor that gives `faint` the contrast of `values` between patches, at most 50."""
    faint_spread, spread = (float((patches - patches.mean(axis=0)).std()) for patches in (faint, values))
    return min(50.0, spread / faint_spread) if faint_spread else 1.0


def _stretched(values: attention_filter.Patches, factor: float) -> attention_filter.Patches:
    mean = values.mean(axis=0)
    return np.asarray(mean + factor * (values - mean))


def _facts(side: FilteredSide) -> dict[str, str]:
    z = side.filter.eigenvalues
    return {
        "filter": side.name,
        "block applies": side.applied,
        "to prefix tokens": f"{100 * side.left_out:.0f}%",
        "patches a row weighs": f"{side.filter.breadth:.1f} of {len(z)}",
        "complex λ": str(side.filter.complex_count),
        "real λ < 0": str(side.filter.negative_count),
        "likeness": f"{steps(side, FilteredValues.COLOURS)[0].likeness:.2f}",
        "second |λ|": f"{abs(z[1]):.2f}" if len(z) > 1 else "–",
    }


def _symbols(sides: Sequence[FilteredSide], settings: FilterSettings) -> None:
    """The table, and one patch's row under every filter."""
    st.table(
        [{"": aspect, "Nonlocal means": nlm, "Attention, one head": head} for aspect, nlm, head in SYMBOLS],
        hide_index=True,
    )
    st.markdown("**On this photograph**, at the bandwidth, layers and heads chosen above:")
    st.dataframe([_facts(side) for side in sides], hide_index=True)
    st.caption(
        "Between patches only: what they give to prefix tokens (CLS, and registers where there are some) is left out, "
        "and rows are scaled to sum to 1. Patches a row weighs: exp of its entropy, mean over rows. Likeness: "
        "correlation of AV with V, the patches' mean colours. A real λ below 0 is enlarged by 2λ − λ²: −0.5 becomes "
        "−1.25."
    )


def _rows(sides: Sequence[FilteredSide], settings: FilterSettings) -> None:
    """One query patch under every filter."""
    down, across, scale_column = st.columns([3, 3, 3], gap="medium")
    rows, columns = sides[0].filter.grid
    y = _place(down, "Query patch: row", rows)
    x = _place(across, "Query patch: column", columns)
    scale = choices.segments(
        "Scale",
        ColourScale.MAP,
        key="lesson4-scale",
        place=scale_column,
        options=[ColourScale.MAP, ColourScale.SHARED],
        help="Where the colours end. **map**: at each row's own largest weight. **shared**: at the largest of all.",
    )
    query_rows = []
    for side in sides:
        h, w = side.filter.grid
        place = min(h - 1, y * h // rows), min(w - 1, x * w // columns)
        query_rows.append((side, place, side.filter.row(*place)))
    shared = Range.of(*(row for _, _, row in query_rows), signed=False)
    picture_row(
        [
            NamedPicture(
                _map(side, row, shared if scale is ColourScale.SHARED else Range.of(row, signed=False), place),
                side.name,
                f"Weights of the patch in row {place[0] + 1}, column {place[1] + 1} under {side.name}",
                f"largest weight {row.max():.3g}, its own {row[place]:.3g}",
                side.colour,
            )
            for side, place, row in query_rows
        ],
        240,
    )
    st.caption(
        "Row i of A over the patches; each sums to 1, yellow is most. Nonlocal means gives most to the patch itself, "
        "because nothing is more alike. A head need not."
    )


def _heads(sides: Sequence[FilteredSide], settings: FilterSettings) -> None:
    """How much of the picture every head of both models leaves recognisable."""
    chosen = view()
    learn.chart(_likeness(chosen, sides, settings, palette()), "lesson4-heads", "Likeness of AV to V by layer and head")
    st.caption(
        "Every dot is a head on this photograph, the chosen ones ringed; dashed, nonlocal means at this bandwidth. V: "
        "the patches' mean colours; correlations over patches and channels, the mean colour taken off."
    )


def _likeness(chosen: View, sides: Sequence[FilteredSide], settings: FilterSettings, colours: Palette) -> Chart:
    by_model = [(card.title, values) for card, values in zip(chosen.pair.cards, heads.likenesses(chosen), strict=True)]
    places = list(zip(settings.layers, settings.heads, strict=True))
    return figures.likeness(by_model, steps(sides[0], FilteredValues.COLOURS)[0].likeness, colours, chosen=places)


def _place(slot: st.delta_generator.DeltaGenerator, label: str, count: int) -> int:
    with slot:
        return choose_index(label, count, (count + 1) // 2, f"lesson4-{label[-3:].strip()}-{count}")


def _map(side: FilteredSide, row: np.ndarray, span: Range, place: tuple[int, int]) -> Picture:
    """A row over the photograph, the query patch outlined."""
    drawn = maps.draw(side.photograph, row, span, Look(opacity=0.85, smooth=False))
    tall, wide = drawn.shape[0] / row.shape[0], drawn.shape[1] / row.shape[1]
    y, x = place
    box = round(y * tall), round(x * wide), round((y + 1) * tall), round((x + 1) * wide)
    return figures.outlined(drawn, box, 2)


PARTS = {
    "Symbol by symbol": learn.Part(
        r"\frac{\sum_j w_{ij}\, v_j}{\sum_j w_{ij}}",
        "**One formula, two ways to choose w.** A weighted mean over all places j, with weights that say how much j "
        "matters to i.",
        _symbols,
    ),
    "One patch's weights": learn.Part(
        r"A_{ij}\ \text{for one}\ i",
        "**What one patch is made of**: under nonlocal means of patches that look like it, under attention of those "
        "that the layer has learned to ask for.",
        _rows,
    ),
    "Filter the photograph": learn.Part(
        r"AV + A(V - AV) = 2AV - A^2V",
        "**The steps of twicing on the patches' colours**, under all three matrices. Where A averages over everything, "
        "AV is one grey and the residual holds the picture.",
        _filtering,
    ),
    "All heads": learn.Part(
        r"\operatorname{corr}(AV, V)",
        "**Which heads smooth the picture as nonlocal means does?** Near 1, AV is a fainter V; near 0 it is something "
        "else; below 0 light patches turn dark and dark ones light.",
        _heads,
    ),
}


@learn.fragment
def lesson() -> None:
    """The sliders and one part at a time."""
    chosen = view()
    settings = controls(chosen)
    st.session_state.setdefault(_SHOWN, {})["settings"] = settings
    part = learn.choose_part("lesson4-part", PARTS)
    part.draw(filtered_sides(chosen, settings), settings)


def pictures() -> Callable[[], Sequence[learn.HandoutPicture]]:
    """For the handout, which is made outside any visit: of the settings that the fragment saw last."""
    chosen, shown_last = view(), st.session_state.setdefault(_SHOWN, {})
    return lambda: pictures_of(chosen, shown_last.get("settings", FilterSettings()))


def pictures_of(chosen: View, settings: FilterSettings) -> Sequence[learn.HandoutPicture]:
    """Smoothed and twiced under each filter, on paper."""
    sides = filtered_sides(chosen, settings)
    results = [steps(side, settings.values) for side in sides]
    span = figures.residual_range(*(lay(done.residual) for done, lay in results))
    done, lay = results[0]
    values = figures.as_picture(lay(done.values))
    drawn = [
        (
            f"The photograph as the baseline sees it, and V: {settings.values} of every patch.",
            [_same(sides[0].photograph, values), values],
        )
    ]
    for side, (done, lay) in zip(sides, results, strict=True):
        name = f"{side.name}, h = {settings.bandwidth:g}" if side.name == NLM else side.name
        smoothed, twiced = (figures.as_picture(lay(filtered)) for filtered in (done.smoothed, done.twiced))
        below = f"{name}: AV, V − AV, 2AV − A²V; residual to ±{span.high:.2f}."
        drawn.append((below, [smoothed, figures.residual(lay(done.residual), span), twiced]))
    middles = [(side, _middle(side.filter.grid)) for side in sides]
    rows = [(side, side.filter.row(*place), place) for side, place in middles]
    largest = ", ".join(f"{row.max():.2g}" for _, row, _ in rows)
    drawn.append(
        (
            f"The row of the patch in the middle under each of the three, to its largest weight: {largest}.",
            [
                _same(_map(side, row, Range.of(row, signed=False), place), sides[0].photograph)
                for side, row, place in rows
            ],
        )
    )
    return [
        *((below, figures.panels([row], learn.PAPER)) for below, row in drawn),
        (
            "Likeness of AV to V in every head; dashed: nonlocal means.",
            _likeness(chosen, sides, settings, learn.PAPER),
        ),
    ]


def _middle(grid: Size) -> tuple[int, int]:
    return (grid[0] - 1) // 2, (grid[1] - 1) // 2


def _same(photograph: Picture, beside: np.ndarray) -> figures.Enlarged:
    """The photograph with the aspect of a picture beside it."""
    height = round(photograph.shape[1] * beside.shape[0] / beside.shape[1])
    return np.asarray(Image.fromarray(photograph).resize((photograph.shape[1], height)))
