"""For Python: the viewer in a notebook or as a file, and figures, without a server."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer import files
from explorer.pictures.examples import Example
from explorer.pictures.photographs import Photograph, photograph
from explorer.serving.pair import ModelPair, ModelSource, load_pair
from explorer.viewer import payload as viewer

if TYPE_CHECKING:
    from explorer.studio import Made

_HEIGHT = 1500


@dataclass(frozen=True, eq=False)
class Viewing:
    """A viewer with its data; shows itself in a notebook."""

    payload: bytes
    title: str

    @property
    def html(self) -> str:
        """A self-contained page."""
        return viewer.page(self.payload, self.title)

    def save(self, path: str | Path) -> Path:
        """Writes the page to a file that opens from disk; the file appears whole or not at all."""
        files.write_atomically(Path(path), self.html.encode())
        return Path(path)

    def _repr_html_(self) -> str:
        frame = f'width="100%" height="{_HEIGHT}" style="border:0" title="{html.escape(self.title)}"'
        return f'<iframe {frame} sandbox="allow-scripts" srcdoc="{html.escape(self.html)}"></iframe>'


def view(
    image: str | Path | bytes | Example | Photograph,
    baseline: ModelSource | ModelPair = None,
    twicing: ModelSource = None,
    input_size: int | None = None,
    layers: Collection[int] | None = None,
) -> Viewing:
    """Both models' attention over an image, by default of the pair that opens.

    `image` is a file, its bytes or an example; a model one that was loaded, its file or its name on the hub; instead of
    the two models a pair may be given. `input_size` asks for so many pixels on a side, for finer maps. `layers`, from
    1, are those that the viewer carries whole, by default all, or the last where all are too much; of the others it has
    the rows of the query at rest. Raises `ExplorerError` for an image or a checkpoint that cannot be read, and for more
    layers than a page carries.
    """
    photo = photograph(image)
    models = nullcontext(baseline) if isinstance(baseline, ModelPair) else closing(load_pair(baseline, twicing))
    with models as loaded:
        pair = loaded if input_size is None else loaded.at(input_size)
        decoded = photo.open()
        sides = [viewer.ViewerSide(trace, card) for trace, card in zip(pair.compare(decoded), pair.cards, strict=True)]
        names = " and ".join(card.title for card in pair.cards)
        if layers is not None:
            carried: Collection[int] | None = [layer - 1 for layer in layers]
        elif sum(viewer.carried_bytes(side.trace) for side in sides) > viewer.MOST_BYTES:
            carried = [min(side.trace.depth for side in sides) - 1]
        else:
            carried = None
        return Viewing(viewer.pack(decoded, sides, layers=carried), f"{photo.title}: {names}")


def figure(
    template: str,
    images: Sequence[str | Path | bytes | Example | Photograph] | str | Path | bytes | Example | Photograph = (),
    pair: ModelPair | None = None,
    **settings: Any,
) -> Made:
    """A figure for a paper: one of `explorer.studio.TEMPLATES`, by its name.

    Of several images or of one, or of result files for `robustness`; settings are those of `explorer.studio.Spec`.
    Raises `ExplorerError` for what does not fit.
    """
    from explorer import studio
    from explorer.studio.parse import from_settings

    spec = from_settings({"template": template, **settings})
    several = [images] if isinstance(images, str | Path | bytes | Example | Photograph) else images
    with nullcontext(pair) if pair else closing(load_pair()) as models:
        return studio.make(spec, several, models)
