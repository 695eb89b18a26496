"""What the attacks page shows of labelled images: accuracy against eps, who was told apart, and the file of it."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from explorer.disturb.attacks import are_alike
from explorer.disturb.settings import Attack
from explorer.figures.records import Trial
from explorer.figures.screen import trials
from explorer.measures.accuracy import Accuracy
from explorer.runs.robustness_file import AccuracyCurve, Result, dumps
from explorer.ui import work
from explorer.ui.challenge.attacks.compute import of_any_eps
from explorer.ui.challenge.labelled import compute, controls
from explorer.ui.challenge.labelled.compute import LabelledAttack, SoFar
from explorer.ui.shell.session import View, palette, plain, signed

_SHOWN = 5


def show(view: View, source: str, settings: Attack) -> None:
    """Chooses labelled images, attacks them on demand, and draws what is done so far."""
    cards = view.pair.cards
    chosen = controls.choose(source, cards)
    if chosen is None:
        return
    title, listing = chosen
    for problem in listing.problems:
        st.warning(plain(problem, 500))
    if not listing.items:
        st.error("An image in a sub-folder named by a class of both models was expected; none came.")
        return
    task = LabelledAttack(title, listing, cards, are_alike(cards), of_any_eps(settings))
    toggles, room = st.columns([3, 4], gap="medium", vertical_alignment="bottom")
    with_transfer = task.alike and toggles.toggle(
        "Transfer",
        key="labelled-transfer",
        persist_state="session",
        help="Also shows each model what was made with the other's gradients.",
    )
    slot, so_far = work.line(room), compute.so_far(task)
    if not so_far.is_done:
        finished = work.offered(
            "labelled",
            task.key,
            slot,
            "Attacking …",
            lambda tell: compute.attack_all(task, tell),
            ready=False,
            start=f"Attack {len(listing.items):,} images",
        )
        so_far = finished or compute.so_far(task)
    _result(view, task, so_far, with_transfer)


def _result(view: View, task: LabelledAttack, so_far: SoFar, with_transfer: bool) -> None:
    for name, why in list(so_far.broken.items())[:_SHOWN]:
        st.warning(f"{plain(name, 120)}: {plain(why, 300)}")
    if len(so_far.broken) > _SHOWN:
        st.warning(f"{len(so_far.broken) - _SHOWN} more images cannot be read and are left out.")
    result, total = so_far.result, len(task.listing.items)
    if not result.ranks:
        return
    _curves(view, [c for c in result.curves if with_transfer or not c.is_transfer], task.attack)
    st.dataframe(_table(view, result, with_transfer), hide_index=True, width="stretch")
    done = f"{len(result.ranks):,} images" if so_far.is_done else f"{len(result.ranks):,} of {total:,} images so far"
    words, button = st.columns([4, 1], gap="medium")
    words.caption(
        f"{task.attack.rule()}; {done}, top-1 by their labels; bands and brackets: 95% Wilson intervals; the "
        "difference is paired over the images. Stopped or left, it goes on where it was. The file has the form of "
        "those of `python -m explorer robustness`."
    )
    button.download_button(
        "JSON lines",
        partial(dumps, result, so_far.labels),
        f"{task.attack.kind.lower()}.jsonl",
        "application/x-ndjson",
        key="labelled-download",
        on_click="ignore",
        width="stretch",
    )


def _curves(view: View, curves: list[AccuracyCurve], settings: Attack) -> None:
    """In the colour of the model that was shown the images; dotted where they were made to fool the other."""
    colours = palette()
    lines = []
    for curve in curves:
        ends = np.array([accuracy.interval(accuracy.top1) for accuracy in curve.accuracy])
        # Four bands would look like one; the table holds all intervals.
        low, high = (None, None) if curve.is_transfer else (ends[:, 0], ends[:, 1])
        name, card = view.names[curve.target], view.pair.cards[curve.target]
        dash = "dot" if curve.is_transfer else "dash" if card.is_counterfactual else "solid"
        lines.append(
            Trial(
                f"{name}, transfer" if curve.is_transfer else name,
                255 * np.array(curve.eps),
                np.array([accuracy.top1 for accuracy in curve.accuracy]),
                colours.models[curve.target],
                low,
                high,
                dash,
            )
        )
    y = f"Top-1, {curves[0].accuracy[0].count:,} images"
    figure = trials.against(lines, colours, x=f"eps, {settings.unit}", y=y, y_range=(0, 1.02), percent=True)
    st.plotly_chart(figure, key="labelled-curves", config={"displayModeBar": False}, alt=f"{y} against eps")


def _table(view: View, result: Result, with_transfer: bool) -> list[dict[str, str]]:
    rows = []
    for place, eps in enumerate(result.settings["eps"]):
        shares = {
            view.names[c.target] + (", transfer" if c.is_transfer else ""): _share(c.accuracy[place])
            for c in result.curves
            if with_transfer or not c.is_transfer
        }
        mean, low, high = (signed(100 * share, ".1f") for share in result.difference(place))
        change = f"{mean} ({low} to {high})"
        rows.append({f"eps, {result.attack.unit}": f"{255 * eps:g}", **shares, "Twicing − baseline, points": change})
    return rows


def _share(accuracy: Accuracy) -> str:
    low, high = (100 * end for end in accuracy.interval(accuracy.top1))
    return f"{100 * accuracy.top1:.1f}% ({low:.1f} to {high:.1f})"
