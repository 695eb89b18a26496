"""Pieces several pages share: headings, warnings, predictions."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from explorer.figures.maps import Picture, data_uri
from explorer.types import Comparison
from explorer.ui.session import View, escaped, palette, plain


def opening(title: str, sentence: str) -> None:
    """The page's title and the one sentence that says what is seen and what to look for."""
    st.title(title, anchor=False)
    st.markdown(sentence)


def warn_swapped(view: View) -> None:
    """Says aloud when a filter sits on weights that were trained with another."""
    for card in view.pair.cards:
        if card.is_counterfactual:
            st.warning(
                f"**Operator swapped, not trained.** {plain(card.name)} was trained with another filter; with "
                f"{plain(card.operator)} it is a counterfactual, not a trained model."
            )
    if view.pair.baseline.key == view.pair.twicing.key:
        st.info("Both panels show the same model.")


def model_heading(view: View, index: int, right: str = "") -> None:
    """The model's name in its colour, with a note at the right edge."""
    name = escaped(view.pair.cards[index].title, 90)
    colour = palette().models[index]
    st.html(
        '<div style="display:flex;justify-content:space-between;align-items:baseline;gap:1rem">'
        f'<strong style="color:{colour};font-size:1.1rem">{name}</strong>'
        f'<span style="opacity:.7">{html.escape(right)}</span></div>'
    )


def predictions(view: View, comparison: Comparison) -> None:
    """The five most probable classes of both models, with the softmax probability in percent."""
    columns = st.columns(2, gap="medium")
    for index, (trace, card) in enumerate(zip(comparison, view.pair.cards, strict=True)):
        colour = palette().models[index]
        if len(card.classes) != len(trace.logits):
            columns[index].html(f'<strong style="color:{colour}">{escaped(card.title, 90)}</strong> names no classes.')
            continue
        best = torch.softmax(trace.logits.float(), dim=0).topk(min(5, len(card.classes)))
        rows = "".join(
            '<div style="display:grid;grid-template-columns:11rem 1fr 4rem;gap:.6rem;align-items:center">'
            f"<span>{html.escape(card.classes[label])}</span>"
            f'<span style="height:.6rem;border-radius:.3rem;background:{colour};width:{100 * share:.1f}%"></span>'
            f'<span style="text-align:right">{100 * share:.1f}%</span></div>'
            for share, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        )
        heading = f'<strong style="color:{colour}">{escaped(card.title, 90)} predicts</strong>'
        columns[index].html(f"{heading}{rows}")
    _class_note(view)


def _class_note(view: View) -> None:
    example = view.photo.example
    if example is None:
        return
    named = [card for card in view.pair.cards if card.classes]
    for card in named[:1] if view.pair.baseline.wnids == view.pair.twicing.wnids else named:
        known = example.wnid in card.wnids
        verdict = f"“{example.class_name}”, {'one' if known else 'not one'}" if example.wnid else "none"
        st.caption(
            f"This photograph shows {verdict} of the {len(card.wnids)} classes these models know"
            f"{'.' if known else ': no answer can be right.'}"
        )


def layer_strip(view: View, rows: Sequence[Sequence[Picture]], layer: int) -> None:
    """A small map of every layer, one row per model, the current layer outlined."""
    parts = []
    for index, row in enumerate(rows):
        colour = palette().models[index]
        cells = "".join(
            f'<figure style="margin:0;text-align:center;font-size:.75rem">'
            f'<img src="{data_uri(picture)}" alt="layer {number + 1}" style="width:100%;display:block;'
            f'border-radius:6px;outline:{"3px solid currentColor" if number == layer else "none"}">'
            f"<figcaption>{number + 1}</figcaption></figure>"
            for number, picture in enumerate(row)
        )
        parts.append(
            f'<div style="color:{colour};font-weight:600;margin:.4rem 0 .3rem">'
            f"{escaped(view.pair.cards[index].title, 90)}, all layers</div>"
            f'<div style="display:grid;grid-template-columns:repeat(auto-fit,minmax(52px,1fr));gap:6px;padding:3px">'
            f"{cells}</div>"
        )
    st.html("".join(parts))


def definitions(facts: Mapping[str, str]) -> str:
    """Labels and what they say, as HTML."""
    rows = "".join(f"<dt>{html.escape(label)}</dt><dd>{escaped(text, 900)}</dd>" for label, text in facts.items())
    style = (
        "<style>dl.facts{display:grid;grid-template-columns:minmax(6rem,9rem) 1fr;gap:.15rem .8rem;margin:0;padding:0;"
        "font-size:.85rem}dl.facts dt{opacity:.65}dl.facts dd{margin:0;overflow-wrap:anywhere}</style>"
    )
    return f'{style}<dl class="facts">{rows}</dl>'


def download(bar: DeltaGenerator, done: int, total: int) -> None:
    """Shows how much of a file has come."""
    share = min(1.0, done / total) if total else 0.0
    bar.progress(share, f"{done / 2**20:.0f} of {total / 2**20:.0f} MiB")
