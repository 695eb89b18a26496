"""What an address needs to show a view again, beside what the viewer itself adds."""

from __future__ import annotations

from explorer.ui.shell import detail, pair
from explorer.ui.shell.session import View


def of_view(view: View) -> dict[str, str] | None:
    """Image, crop, models as they were loaded and size of the input; none of an upload, which no server has."""
    if not view.photo.example:
        return None
    crop = {"crop": str(view.photo.crop)} if view.photo.crop else {}
    return {"image": view.photo.key, **crop, **pair.parameters(view.loaded.cards), **detail.parameters(view)}


def of_saved(view: View) -> dict[str, str]:
    """What a saved view says beside the viewer's state: operators that were put on the models, and their input size."""
    return {**pair.of_state(pair.parameters(view.loaded.cards)), **detail.parameters(view)}
