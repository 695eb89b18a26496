"""Twicing Explorer: what attention keeps and what it smooths away, DeiT and DeiT-Twicing side by side."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from explorer import version

if TYPE_CHECKING:
    from explorer.notebook import Viewing, figure, view
    from explorer.pictures.photographs import photograph
    from explorer.serving.pair import ModelPair, load_pair

__version__ = version.VERSION
__all__ = ["ModelPair", "Viewing", "__version__", "figure", "load_pair", "photograph", "view"]

_HOMES = {
    "ModelPair": "serving.pair",
    "Viewing": "notebook",
    "figure": "notebook",
    "load_pair": "serving.pair",
    "photograph": "pictures.photographs",
    "view": "notebook",
}


def __getattr__(name: str) -> Any:
    """Imports on use, so that `import explorer` is cheap."""
    if name in _HOMES:
        return getattr(import_module(f"explorer.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
