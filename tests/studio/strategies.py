"""Random settings that are all right."""

from typing import Any

from hypothesis import strategies as st

from explorer.settings import Option, kinds
from explorer.studio import TEMPLATES, Spec

_SHARES = st.floats(0, 1)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SETTINGS = {
    "layers": st.lists(st.integers(1, 1000), max_size=5).map(tuple),
    "heads": st.sampled_from(["mean", "max", "all", "1", "12"]),
    "query": st.just("cls") | st.builds("{:g},{:g}".format, _SHARES, _SHARES),
    "operators": st.sampled_from(["standard,twicing,neutreno", "linear-twicing", "boosting=3,neutreno=0.4@2-3"]),
    "path_steps": st.integers(1, 1000),
    "samples": st.integers(1, 1000),
    "square": st.integers(1, 64),
    "target": _TEXTS,
    "eps": st.floats(0, 8),
    "steps": st.integers(1, 200),
    "step_size": st.none() | st.floats(0.001, 255),
    "random_start": st.booleans(),
    "final_jpeg": st.booleans(),
    "seed": st.integers(0, 999_999),
    "transfer": st.booleans(),
    "with_cls": st.booleans(),
    "absolute": st.booleans(),
    "with_diagonal": st.booleans(),
    "iterations": st.lists(st.integers(1, 1000), min_size=1, max_size=12).map(tuple),
    "opacity": _SHARES,
    "smooth": st.booleans(),
    "bare": st.booleans(),
    "width": st.none() | st.floats(1, 12),
    "height": st.none() | st.floats(1, 12),
    "dpi": st.integers(36, 300),
    "font": st.sampled_from([None, "serif", "sans", "DejaVu Sans"]),
    "font_size": st.none() | st.floats(4, 72),
    "row_labels": st.booleans(),
    "labels": st.lists(_TEXTS, max_size=3).map(tuple),
    "names": st.just(()) | st.tuples(_TEXTS, _TEXTS),
    "column_labels": st.booleans(),
    "letters": st.booleans(),
    "colour_bar": st.booleans(),
}


_CHOICES = {name: kind for name, kind in kinds(Spec).items() if isinstance(kind, type) and issubclass(kind, Option)}
_SETTINGS |= {name: st.sampled_from(list(kind)) for name, kind in _CHOICES.items()}


def told() -> st.SearchStrategy[dict[str, Any]]:
    """Some settings away from their defaults, as `Spec` takes them.

    Not the `Spec` itself: what checks its annotations looks at a random item of a tuple, and draws no strategy knows.
    """
    values = {"template": st.sampled_from(list(TEMPLATES.values()))}
    return st.fixed_dictionaries(values, optional=_SETTINGS).map(_fitting)


def _fitting(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "heads": "mean"} if values.get("matrix") == "rollout" else values
