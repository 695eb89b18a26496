"""Figures for papers: settings and images in; a figure, its numbers, its caption and how to make it again out."""

from explorer.studio.made import Made, again, make
from explorer.studio.spec import PRESETS, Spec, Template

__all__ = ["PRESETS", "Made", "Spec", "Template", "again", "make"]
