"""What the start page is sent for the chosen image and pair."""

from __future__ import annotations

from explorer import provenance
from explorer.serving.device import computing
from explorer.ui.opening import stored
from explorer.ui.shell import addresses, resources
from explorer.ui.shell.session import View
from explorer.viewer import start


def payload(view: View) -> bytes:
    """The bytes; those that are stored, where they are of this view, so that nothing is drawn anew. Remembered."""
    key = ("start", view.photo.digest, view.photo.key, *(card.key for card in view.pair.cards))
    return resources.payloads().get_or_make(key, lambda: resources.Payload(_stored(view) or computed(view))).data


def _stored(view: View) -> bytes | None:
    link = addresses.of_view(view)
    models = [provenance.of_model(card) for card in view.pair.cards]
    return stored.for_view(view.photo.digest, models, link) if link else None


def computed(view: View) -> bytes:
    """The bytes from the two traces."""
    comparison = view.comparison()
    with computing():
        return start.pack(view.photo.image, comparison, view.pair.cards, addresses.of_view(view))
