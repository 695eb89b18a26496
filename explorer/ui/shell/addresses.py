"""What an address needs to show a view again, beside what the viewer itself adds."""

from __future__ import annotations

from explorer.ui.shell import detail, pair
from explorer.ui.shell.session import View


def of_view(view: View) -> dict[str, str] | None:
    """Image, crop, models as they were loaded and size of the input; none of an upload, which no server has."""
    if not view.photo.example:
        return None
    baseline, twicing = (pair.short(card) for card in view.loaded.cards)
    crop = {"crop": str(view.photo.crop)} if view.photo.crop else {}
    return {"image": view.photo.key, **crop, "baseline": baseline, "twicing": twicing, **detail.parameters(view)}
