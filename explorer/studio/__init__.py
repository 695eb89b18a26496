"""Figures for papers: settings and images in; a figure, its numbers, its caption and how to make it again out."""

from explorer.studio.made import Made, again, make
from explorer.studio.spec import PRESETS, Spec
from explorer.studio.template import Template
from explorer.studio.templates import TEMPLATES, template_called

__all__ = ["PRESETS", "TEMPLATES", "Made", "Spec", "Template", "again", "make", "template_called"]
