"""Figures for papers: settings and images in; a figure, its numbers, its caption and how to make it again out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.studio.made import Made, again, make
    from explorer.studio.spec import PRESETS, Spec
    from explorer.studio.template import Template
    from explorer.studio.templates import TEMPLATES, template_called

__all__ = ["PRESETS", "TEMPLATES", "Made", "Spec", "Template", "again", "make", "template_called"]

_HOMES = {
    "PRESETS": "spec",
    "TEMPLATES": "templates",
    "Made": "made",
    "Spec": "spec",
    "Template": "template",
    "again": "made",
    "make": "made",
    "template_called": "templates",
}


def __getattr__(name: str) -> Any:
    """Imports on use, so that a command's help needs no more than the settings."""
    if name in _HOMES:
        return getattr(import_module(f"explorer.studio.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
