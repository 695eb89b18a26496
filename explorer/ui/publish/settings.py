"""One control for each setting of a figure, whatever template reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from explorer.measures.attention import in_links
from explorer.paper import operators
from explorer.studio import PRESETS, Template
from explorer.studio.spec import SETTINGS, Sheet
from explorer.ui.shell import choices

LOOK = ("scale", "picture", "colour_map", "opacity", "smooth", "bare")
"""The settings of how maps look, in the order of the page."""
PAGE = (
    "preset", "width", "height", "dpi", "font", "font_size", "letters",
    "row_labels", "column_labels", "colour_bar", "names",
)  # fmt: skip
"""Those of the sheet."""
_DEFAULTS: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
_HELP = {setting.name: setting.metadata["help"] for setting in SETTINGS}


@dataclass
class Asked:
    """The models that a control chooses among, and what was chosen so far."""

    depth: int
    heads: int
    prefix: tuple[str, ...]
    """Names of their prefix tokens."""
    chosen: dict[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """Of all settings."""
        return _DEFAULTS | self.chosen

    @property
    def sheet(self) -> Sheet:
        return PRESETS[self.values["preset"]]

    def ask(self, template: Template, names: Sequence[str]) -> None:
        """Shows the controls of these settings but of those that others make idle."""
        for name in names:
            if name not in template.idle(self.values):
                self.chosen[name] = CONTROLS[name](self)


def _layers(asked: Asked) -> tuple[int, ...]:
    picked = st.pills(
        "Layers",
        range(1, asked.depth + 1),
        selection_mode="multi",
        key="studio-layers",
        persist_state="session",
        help="The same for all images. None: the last, for an evolution all, for spectra first, middle and last.",
    )
    return tuple(sorted(picked))


def _heads(asked: Asked) -> str:
    return _segments("heads", ["mean", "max", "all", *(str(head) for head in range(1, asked.heads + 1))])


def _target(asked: Asked) -> str:
    return st.text_input(
        "Class",
        key="studio-target",
        placeholder="first choice of each model",
        help=_HELP["target"].capitalize() + ".",
        persist_state="session",
        max_chars=60,
    ).strip()


def _operators(asked: Asked) -> str:
    chosen = st.multiselect(
        "Operators",
        list(dict.fromkeys([*operators.words(), *st.session_state.get("studio-operators", ())])),
        default=_DEFAULTS["operators"].split(","),
        key="studio-operators",
        accept_new_options=True,
        select_all=False,  # what is typed chooses one
        max_selections=12,
        persist_state="session",
        help=_HELP["operators"].capitalize() + ".",
    )
    return ",".join(chosen)


def _iterations(asked: Asked) -> tuple[int, ...]:
    steps = st.multiselect(
        "n",
        range(1, 49),
        default=(1, 2, 6, 12),
        key="studio-iterations",
        max_selections=12,
        persist_state="session",
    )
    return tuple(sorted(steps)) or (1,)


def _query(asked: Asked) -> str:
    others = [name for name in asked.prefix if name != "CLS"]
    help = (
        "Whose row is shown: a prefix token's (CLS, the mean patch in models without one), or the patch's at a place."
    )
    if (query := _segments("query", ["CLS", *others, "a patch"], help=help)) != "a patch":
        return in_links(query)
    down, across = (
        st.slider(label, 0.0, 1.0, 0.5, 0.01, key=f"studio-{label}", persist_state="session")
        for label in ("Down", "Across")
    )
    return f"{down:g},{across:g}"


def _width(asked: Asked) -> float | None:
    return _own(asked.sheet.width, "Width, inches", (1.0, 50.0), 0.25, f"width-{asked.values['preset']}")


def _height(asked: Asked) -> float | None:
    label = "At most so high, inches"
    return _own(asked.sheet.height, label, (1.0, 60.0), 0.25, f"height-{asked.values['preset']}")


def _font_size(asked: Asked) -> float | None:
    return _own(asked.sheet.font_size, "Type, points", (4.0, 72.0), 0.5, f"type-{asked.values['preset']}")


def _own(preset: float, label: str, limits: tuple[float, float], step: float, key: str) -> float | None:
    """A number of the page; `None` for the preset's."""
    value = st.number_input(label, *limits, preset, step, key=f"studio-{key}", persist_state="session")
    return None if value == preset else value


def _font(asked: Asked) -> str | None:
    base = asked.sheet.font
    font: str = st.selectbox(
        "Font",
        ["serif", "sans"],
        index=("serif", "sans").index(base),
        accept_new_options=True,
        key=f"studio-font-{asked.values['preset']}",
        help="Serif is STIX, like Times; sans DejaVu. Another name must be installed on the server.",
        persist_state="session",
    )
    return None if font == base else font


def _names(asked: Asked) -> tuple[str, ...]:
    first, second = (
        st.text_input(f"Name of the {role}", key=f"studio-name-{role}", persist_state="session", max_chars=60).strip()
        for role in ("baseline", "twicing model")
    )
    if bool(first) != bool(second):
        st.caption("Names are used when both are given.")
    return (first, second) if first and second else ()


def _select(name: str, label: str, help: str | None = None) -> Any:
    return choices.select(label, _DEFAULTS[name], key=f"studio-{name}", help=help)


def _choice(name: str) -> Any:
    return choices.segments(_words(name), _DEFAULTS[name], key=f"studio-{name}", help=_HELP[name].capitalize())


def _segments(name: str, options: list[str], help: str | None = None) -> str:
    chosen: Any = st.segmented_control(
        _words(name),
        options,
        default=_DEFAULTS[name] if _DEFAULTS[name] in options else options[0],
        key=f"studio-{name}",
        required=True,
        persist_state="session",
        help=help or _HELP[name].capitalize(),
    )
    return str(chosen)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _toggle(name: str, label: str) -> bool:
    return bool(st.toggle(label, bool(_DEFAULTS[name]), key=f"studio-{name}", persist_state="session"))


def _slider(name: str, label: str, low: float, high: float, step: float, help: str | None = None) -> Any:
    """Of whole numbers or of others, as the limits are."""
    return st.slider(label, low, high, _DEFAULTS[name], step, key=f"studio-{name}", help=help, persist_state="session")


def _number(name: str, label: str, low: float, high: float, step: float = 1, help: str | None = None) -> Any:
    """Of whole numbers or of others, as the limits are; the lowest stands for no number."""
    start = low if _DEFAULTS[name] is None else _DEFAULTS[name]
    return st.number_input(label, low, high, start, step, key=f"studio-{name}", help=help, persist_state="session")


CONTROLS: Mapping[str, Callable[[Asked], Any]] = {
    "layers": _layers,
    "heads": _heads,
    "matrix": lambda _: _choice("matrix"),
    "query": _query,
    "quantity": lambda _: _choice("quantity"),
    "operators": _operators,
    "weights": lambda _: _choice("weights"),
    "method": lambda _: _select("method", "Method"),
    "baseline_picture": lambda _: _select(
        "baseline_picture", "Baseline", help=_HELP["baseline_picture"].capitalize() + "."
    ),
    "path_steps": lambda _: _slider("path_steps", "Steps", 10, 200, 10),
    "square": lambda _: int(_segments("square", ["1", "2", "3"])),
    "samples": lambda _: _slider("samples", "Samples", 4, 64, 4),
    "seed": lambda _: _number("seed", "Seed", 0, 999_999),
    "target": _target,
    "corruption": lambda _: _select("corruption", "Corruption"),
    "final_jpeg": lambda _: _toggle("final_jpeg", "Final JPEG"),
    "attack": lambda _: _choice("attack"),
    "eps": lambda _: _slider("eps", "eps, 255ths", 0.0, 8.0, 0.5, help=_HELP["eps"]),
    "step_size": lambda _: _number("step_size", "Step, 255ths; 0: 2.5 eps / steps", 0.0, 8.0, 0.05) or None,
    "steps": lambda _: _number("steps", "Steps", 1, 200),
    "random_start": lambda _: _toggle("random_start", "Random start"),
    "transfer": lambda _: _toggle("transfer", "Transfer, where the files hold it"),
    "with_cls": lambda _: _toggle("with_cls", "Prefix tokens"),
    "absolute": lambda _: _toggle("absolute", "Absolute cosine"),
    "with_diagonal": lambda _: _toggle("with_diagonal", "i = j too"),
    "iterations": _iterations,
    "scale": lambda _: _choice("scale"),
    "picture": lambda _: _choice("picture"),
    "colour_map": lambda _: _choice("colour_map"),
    "opacity": lambda _: _slider("opacity", "Opacity", 0.0, 1.0, 0.05),
    "smooth": lambda _: _toggle("smooth", "Smooth between patches"),
    "bare": lambda _: _toggle("bare", "Maps without the photograph"),
    "preset": lambda _: _select("preset", "For"),
    "width": _width,
    "height": _height,
    "dpi": lambda _: _number("dpi", "Pixels per inch", 36, 1200, 50, help=_HELP["dpi"]),
    "font": _font,
    "font_size": _font_size,
    "letters": lambda _: _toggle("letters", "Panel letters"),
    "row_labels": lambda _: _toggle("row_labels", "Names of the images"),
    "column_labels": lambda _: _toggle("column_labels", "Column headings"),
    "colour_bar": lambda _: _toggle("colour_bar", "Colour bar"),
    "names": _names,
}
"""By setting; `labels` alone has none, and `input_size`, which is the view's."""
