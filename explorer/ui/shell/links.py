"""Addresses of before: the attention page was the first one, at `/`, and its links go on showing what they showed."""

from __future__ import annotations

from collections.abc import Container

OF_VIEWER = ("image", "baseline", "twicing", "layer", "head", "query", "matrix", "operator", "scale")
"""What an address may say of the attention page."""


def is_of_viewer(parameters: Container[str]) -> bool:
    """Whether an address without a page's name is one of the attention page."""
    return any(name in parameters for name in OF_VIEWER)
