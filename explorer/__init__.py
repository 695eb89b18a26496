"""Twicing Explorer: what attention keeps and what it smooths away, DeiT and DeiT-Twicing side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.notebook import Viewing, view

__all__ = ["Viewing", "view"]


def __getattr__(name: str) -> Any:
    """Imports on use, so that `import explorer` is cheap."""
    if name in __all__:
        from explorer import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
