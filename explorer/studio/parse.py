"""The settings of a figure from what a page, a shell, a record or a person gives."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from explorer.studio.spec import Spec
from explorer.studio.templates import template_called
from explorer.types import ExplorerError


def from_settings(given: Any) -> Spec:
    """What `Spec.as_settings` gives, or a person: with lists, and whole numbers where others are meant, too.

    Raises `ExplorerError` for anything else.
    """
    known = {setting.name: str(setting.type) for setting in fields(Spec)}
    if not isinstance(given, Mapping) or "template" not in given:
        raise ExplorerError("The settings of a figure, as the explorer writes them, were expected; others came.")
    given = {_NOW.get(name, name): value for name, value in given.items()}
    if foreign := [_shown(name) for name in given if name not in known]:
        raise ExplorerError(f"The settings {', '.join(sorted(known))} were expected; {foreign[0]} came.")
    return Spec(**{name: _typed(name, known[name], value) for name, value in given.items()})


_NOW = {"operator": "matrix"}
"""What settings were called in figures made before 0.4."""


def _typed(name: str, kind: str, value: Any) -> Any:
    """A value as the annotation wants it: lists become tuples, a head's number its digits."""
    if kind == "Template" and isinstance(value, str):
        return template_called(value)
    if value is None and kind.endswith(" | None"):
        return None
    if kind.startswith("tuple") and isinstance(value, list | tuple | range):
        return tuple(_typed(name, kind[len("tuple[") : kind.index(",")], entry) for entry in value)
    kind = kind.removesuffix(" | None")
    if name == "heads" and _is_number(value, numbers.Integral):
        value = str(value)
    try:
        if kind == "str" and isinstance(value, str):
            return value.encode().decode()  # half a surrogate pair can be written to no file
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind in ("int", "float") and _is_number(value, numbers.Integral if kind == "int" else numbers.Real):
            number = float(value)
            return int(value) if kind == "int" else number
    except (OverflowError, UnicodeEncodeError):
        pass
    raise ExplorerError(f"{name}: {_KINDS.get(kind, 'a list')} was expected; {_shown(value)} came.")


_KINDS = {
    "Template": "a template's name",
    "str": "text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
}


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    try:
        return ascii(value)[:60]
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a very large number"
