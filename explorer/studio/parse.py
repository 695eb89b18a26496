"""The settings of a figure from what a page, a shell, a record or a person gives."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from explorer.settings import converted, quoted, read
from explorer.studio.spec import Spec
from explorer.studio.template import Template
from explorer.studio.templates import template_called
from explorer.types import ExplorerError

_NOW = {"operator": "matrix"}
"""What settings were called in figures made before 0.4."""


def from_settings(given: Any) -> Spec:
    """What `Spec.as_settings` gives, or a person: with lists, and whole numbers where others are meant, too.

    Raises `ExplorerError` for anything else.
    """
    if not isinstance(given, Mapping) or "template" not in given:
        raise ExplorerError("The settings of a figure, as the explorer writes them, were expected; others came.")
    values: dict[Any, Any] = {_NOW.get(name, name): value for name, value in given.items()}
    if values["template"] == "operators" and "operator" in given:
        values["template"] = "matrices"  # as it was called before 0.4, when it had this setting
    known = sorted(field.name for field in fields(Spec))
    if foreign := [quoted(name) for name in values if name not in known]:
        raise ExplorerError(f"The settings {', '.join(known)} were expected; {foreign[0]} came.")
    heads, template = values.get("heads"), values.pop("template")
    if not isinstance(heads, bool) and isinstance(heads, numbers.Integral):
        values["heads"] = str(heads)
    if not isinstance(template, Template):
        template = template_called(converted("template", str, template))
    return Spec(template, **read(Spec, values))
