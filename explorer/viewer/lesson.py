"""A part of a lesson as bytes for the browser: what its sliders move, at every position, in float32.

The browser adds up amounts and draws; everything else was computed in float64 where the lesson computes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.figures.sliding import (
    Amount,
    AxisScale,
    Role,
    Slider,
    SlidingChart,
    SlidingMap,
    SlidingPart,
    SlidingWords,
)
from explorer.figures.style import PALETTES, Palette, Theme, lookup_table
from explorer.viewer.sections import Sections, framed

_LETTERS = b"TWL1"


def pack(part: SlidingPart) -> bytes:
    """The bytes that `js/lesson.js` reads."""
    store = Sections()
    header: dict[str, Any] = {
        "sliders": [_slider(slider) for slider in part.sliders],
        "charts": [_chart(chart, store) for chart in part.charts],
        "words": [_words(words) for words in part.words],
        "tables": [
            {"columns": list(table.columns), "rows": [[_words(cell) for cell in row] for row in table.rows]}
            for table in part.tables
        ],
        "maps": [_map(each, store) for each in part.maps],
        "colours": {name: store.add(lookup_table(name).tobytes()) for name in ("cividis", "cold") if part.maps},
        "ready": None if part.ready is None else [bool(there) for there in part.ready],
    }
    return framed(_LETTERS, header, b"".join(store.parts))


def style() -> str:
    """The models' colours as CSS, by theme; paper is always light."""
    light, dark = (_colours(PALETTES[theme]) for theme in (Theme.LIGHT, Theme.DARK))
    return f".lesson {{ {light} }}\n@media screen {{ .lesson[data-theme=dark] {{ {dark} }} }}\n"


def _colours(palette: Palette) -> str:
    return " ".join(f"--{role}: {getattr(palette, role)};" for role in (Role.BASELINE, Role.TWICING, Role.THEORY))


def _slider(slider: Slider) -> dict[str, Any]:
    return {
        "key": slider.key,
        "label": slider.label,
        "values": list(slider.values),
        "texts": list(slider.texts),
        "start": slider.nearest(slider.start),
        "help": slider.help,
    }


def _amount(amount: Amount, store: Sections) -> list[dict[str, Any]]:
    return [
        {
            "floats": store.add(np.ascontiguousarray(term.stack.values, dtype="<f4").tobytes()),
            "width": term.stack.values.shape[-1],
            "by": list(term.stack.by),
            "sign": term.sign,
            "times": None if term.slider is None else term.slider.key,
        }
        for term in amount.terms
    ]


def _chart(chart: SlidingChart, store: Sections) -> dict[str, Any]:
    return {
        "key": chart.key,
        "alt": chart.alt,
        "height": chart.height,
        "x": _axis(chart.x, store),
        "y": _axis(chart.y, store),
        "series": [
            {
                "name": each.name,
                "x": _amount(each.x, store),
                "y": _amount(each.y, store),
                "role": each.role,
                "mark": each.mark,
                "dash": each.dash,
                "width": each.width,
                "symbol": each.symbol,
                "legend": each.in_legend,
            }
            for each in chart.series
        ],
        "rules": [
            {"axis": rule.axis, "at": rule.at.key if isinstance(rule.at, Slider) else rule.at} for rule in chart.rules
        ],
    }


def _axis(axis: AxisScale, store: Sections) -> dict[str, Any]:
    return {"title": axis.title, "ends": _amount(axis.ends, store), "log": axis.log, "ticks": list(axis.ticks)}


def _words(words: SlidingWords) -> dict[str, Any]:
    slots = [{"texts": [str(text) for text in slot.texts.ravel()], "by": list(slot.by)} for slot in words.slots]
    return {"template": words.template, "slots": slots, "kind": words.kind}


def _map(each: SlidingMap, store: Sections) -> dict[str, Any]:
    return {
        "key": each.key,
        "title": each.title,
        "alt": each.alt,
        "values": _amount(each.values, store),
        "ends": _amount(each.ends, store),
        "grid": list(each.grid),
        "photo": store.add(each.photograph),
    }
