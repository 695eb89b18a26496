"""Pictures in the lessons: rows of small ones whose pixels stay pixels, and two with a wipe between them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from explorer.figures.maps import data_uri
from explorer.files import asset
from explorer.types import Picture

_STYLE = (
    "<style>.pictures{display:grid;gap:.9rem 1rem;align-items:start}"
    ".pictures figure{margin:0;min-width:0}"
    ".pictures img{display:block;width:100%;max-height:75vh;object-fit:contain;object-position:left top;"
    "image-rendering:pixelated}"
    ".pictures strong{display:block;line-height:1.35;margin-bottom:.25rem}"
    ".pictures figcaption{font-size:.85rem;opacity:.75;line-height:1.35;margin-top:.25rem}</style>"
)


@dataclass(frozen=True, eq=False)
class NamedPicture:
    """A picture with its name above it and a line below; texts are escaped where they are drawn."""

    pixels: Picture
    name: str
    alt: str
    below: str = ""
    colour: str | None = None


def picture_row(pictures: Sequence[NamedPicture], least: int = 220) -> None:
    """Pictures side by side, as many as fit with `least` px each."""
    columns = f"repeat(auto-fit,minmax(min({least}px,100%),1fr))"
    figures = "".join(_figure(picture) for picture in pictures)
    st.html(f'{_STYLE}<div class="pictures" style="grid-template-columns:{columns}">{figures}</div>')


def _figure(picture: NamedPicture) -> str:
    colour = f' style="color:{picture.colour}"' if picture.colour else ""
    below = f"<figcaption>{html.escape(picture.below)}</figcaption>" if picture.below else ""
    return (
        f"<figure><strong{colour}>{html.escape(picture.name)}</strong>"
        f'<img src="{data_uri(picture.pixels)}" alt="{html.escape(picture.alt)}">{below}</figure>'
    )


def wipe(before: NamedPicture, after: NamedPicture, key: str) -> None:
    """One picture over another of the same size, up to a line that pointer and arrow keys move."""
    render = st.components.v2.component(
        "wipe",
        html='<div class="wipe"><img class="after"><img class="before"><span class="left"></span>'
        '<span class="right"></span><div class="handle" role="slider" tabindex="0" aria-label="Where the pictures '
        'meet" aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"></div></div>',
        css=asset("wipe.css"),
        js=asset("wipe.js"),
    )
    sides = {
        side: {"source": data_uri(picture.pixels), "name": picture.name, "alt": picture.alt}
        for side, picture in (("before", before), ("after", after))
    }
    render(key=key, data=sides)
