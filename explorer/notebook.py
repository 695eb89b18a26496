"""The viewer in a notebook, or as a file: the same two models under one cursor, without a server."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from explorer import examples, files, images, viewer
from explorer.examples import Example
from explorer.models import LoadedModel, load, sources
from explorer.trace import trace
from explorer.types import ExplorerError

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
    image: str | Path | bytes | Example,
    baseline: LoadedModel | str | Path | None = None,
    twicing: LoadedModel | str | Path | None = None,
) -> Viewing:
    """Both models' attention over an image, by default the bundled pair's.

    `image` is a file, its bytes or one of `explorer.examples.EXAMPLES`; a model is one that was loaded, or its file.
    Raises `ExplorerError` for an image or a checkpoint that cannot be read.
    """
    title = image.name if isinstance(image, Example) else "An image" if isinstance(image, bytes) else Path(image).name
    decoded = images.decode(_bytes(image))
    sides = []
    for model in (_model(baseline, "standard"), _model(twicing, "twicing")):
        pixels = images.batch([images.model_view(decoded.rgb, model.card.preprocessing)], model.card.preprocessing)
        (one,) = trace(model.module, pixels.to(next(model.module.parameters()).device))
        sides.append(viewer.Side(one, model.card))
    names = " and ".join(side.card.title for side in sides)
    return Viewing(viewer.pack(decoded, sides), f"{title}: {names}")


def _bytes(image: str | Path | bytes | Example) -> bytes:
    if isinstance(image, Example):
        return examples.read(image)
    if isinstance(image, bytes):
        return image
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise ExplorerError(f"{image} cannot be read: {error.strerror}.") from error


def _model(given: LoadedModel | str | Path | None, bundled: str) -> LoadedModel:
    if isinstance(given, LoadedModel):
        return given
    return load(sources.bundled(bundled) if given is None else Path(given))
