"""A figure that was made: its files, numbers, caption and the command that makes it again."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from explorer import files, provenance
from explorer.figures.print import page
from explorer.figures.print.plates import Plate, Print, draw
from explorer.figures.print.text import printable
from explorer.figures.settings import Page
from explorer.paper import operators
from explorer.pictures.examples import Example
from explorer.pictures.photographs import Photograph, photograph
from explorer.serving.pair import ModelPair
from explorer.studio import caption as captions
from explorer.studio import record as records
from explorer.studio import sweeps
from explorer.studio.content import Content
from explorer.studio.naming import names
from explorer.studio.record import Record
from explorer.studio.run import FigureRun, chosen_layers
from explorer.studio.spec import Spec
from explorer.studio.template import Takes
from explorer.types import ExplorerError, ModelCard, Progress
from explorer.version import VERSION

SUFFIXES = (".pdf", ".svg", ".png", ".zip")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PREVIEW_PIXELS = 1400
Press = Callable[[Plate], Print]
"""Makes a print: here, or in a process of its own."""


@dataclass(frozen=True, eq=False)
class Made:
    """A figure and everything that goes with it; shows itself in a notebook."""

    content: Content
    record: Record
    cards: tuple[ModelCard, ModelCard]
    names: tuple[str, str]

    @property
    def spec(self) -> Spec:
        return self.record.spec

    @property
    def nbytes(self) -> int:
        """What it holds in memory, nearly all of it pixels and maps."""
        return self.content.nbytes

    @property
    def caption(self) -> str:
        """In LaTeX."""
        return captions.caption(self.content, self.record, self.cards, self.names)

    @property
    def command(self) -> str:
        """Makes the figure again, run where the images lie."""
        return self.record.command(f"{self.spec.template.name}.pdf")

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """What is drawn, by name; the table's columns among them."""
        table = self.content.table
        columns = (
            {}
            if table is None
            else {
                name: np.array(column) for name, column in zip(table.header, zip(*table.rows, strict=True), strict=True)
            }
        )
        return {**(self.content.arrays or {}), **columns}

    def figure(self, *, vector: bool = False, dpi: int | None = None) -> Figure:
        """matplotlib's figure, to be changed further; `vector` for PDF and SVG."""
        sheet = replace(self.spec.page, dpi=dpi or self.spec.dpi)
        return draw(self.content.drawing, self.content.below, sheet, vector=vector)

    def file(self, suffix: str, press: Press = Plate.print) -> bytes:
        """The file with this suffix: `.pdf`, `.svg`, `.png`, or `.zip` with all of them and what goes with them."""
        if suffix == ".zip":
            return self._bundle(press)
        return press(self._plate(page.Format(suffix.removeprefix(".")), self.spec.page)).data

    def preview(self, press: Press = Plate.print) -> Print:
        """A PNG for the screen, about 1,400 pixels wide, and the inches of the figure."""
        sheet = self.spec.page
        dpi = max(36, min(sheet.dpi, round(_PREVIEW_PIXELS / sheet.width)))
        return press(self._plate(page.Format.PNG, replace(sheet, dpi=dpi)))

    def save(self, path: str | Path) -> Path:
        """Writes the file that its suffix names; it appears whole or not at all."""
        path = Path(path)
        check_suffix(path)
        files.write_atomically(path, self.file(path.suffix.lower()))
        return path

    def _repr_png_(self) -> bytes:
        return self.preview().data

    def _plate(self, format: page.Format, sheet: Page) -> Plate:
        metadata = {
            "Title": f"{self.spec.template.name}: {' and '.join(map(printable, self.names))}",
            "Creator": f"Twicing Explorer {VERSION}",
            records.KEYWORD: self.record.json(),
        }
        return Plate(self.content.drawing, self.content.below, sheet, format, metadata)

    def _bundle(self, press: Press) -> bytes:
        stem = self.spec.template.name
        arrays = io.BytesIO()
        np.savez(arrays, **self.numbers)  # type: ignore[arg-type]  # its signature takes no dict of arrays
        entries: dict[str, Any] = {f"{stem}{suffix}": self.file(suffix, press) for suffix in (".pdf", ".svg", ".png")}
        entries |= {
            f"{stem}.npz": arrays.getvalue(),
            f"{stem}.json": self.record.json(),
            "caption.tex": self.caption,
            "references.bib": captions.BIBTEX,
            "command.txt": self.command + "\n",
        }
        if self.content.table is not None:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(
                map(files.cells, [self.content.table.header, *self.content.table.rows])
            )
            entries[f"{stem}.csv"] = text.getvalue()
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries.items():
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, data)
        return stream.getvalue()


def make(
    spec: Spec,
    images: Sequence[Photograph | Example | str | Path | bytes],
    pair: ModelPair,
    progress: Progress | None = None,
) -> Made:
    """Runs the images through both models and lays out the figure; result files instead of images for `robustness`.

    Raises `ExplorerError` for an image that cannot be read and for settings that do not fit the models or the page.
    """
    if spec.input_size is not None:
        pair = pair.at(spec.input_size)
    is_measured = spec.template.takes is Takes.RESULTS
    photographs = sweeps.inputs(images, pair) if is_measured else [photograph(image) for image in images]
    content = _gathered(spec, photographs, pair, progress)
    known = [(source.name, digest) for source, digest in zip(photographs, content.digests, strict=True)]
    record = records.of(spec, known, pair.cards, pair.engine.device)
    return Made(content, record, pair.cards, names(spec, pair))


def _gathered(spec: Spec, photographs: Sequence[Photograph], pair: ModelPair, progress: Progress | None) -> Content:
    """Runs the images through both models and keeps what the figure needs.

    Raises `ExplorerError` for no image where one is needed, and for layers or heads the models do not have.
    """
    if not photographs and spec.template.takes is not Takes.PHOTOGRAPHS_OR_NONE:
        raise ExplorerError(f"At least one image was expected for {spec.template.name}; none came.")
    if spec.labels and len(spec.labels) != len(photographs):
        raise ExplorerError(f"labels: one for each of {len(photographs)} images was expected; {len(spec.labels)} came.")
    depth = min(len(card.filter) for card in pair.cards)
    run = FigureRun(spec, photographs, pair, progress)
    content: Content = spec.template.gather(run, chosen_layers(spec, depth))
    return content


def again(record: Record, images: Sequence[Photograph | str | Path], pair: ModelPair) -> Made:
    """The figure that a record describes. Raises `ExplorerError` when images or weights are not those of the record."""
    if record.spec.input_size is not None:
        pair = pair.at(record.spec.input_size)
    for known, card in zip(record.models, pair.cards, strict=True):
        size, expected = provenance.input_size(card), known.get("input_size")
        if bool(known.get("packed")) != card.is_packed:
            raise ExplorerError(
                f"{known['name']} was expected {'with' if known.get('packed') else 'without'} packed linear layers, as "
                "the figure was made."
            )
        if (known["sha256"], list(known["filter"]), expected) != (card.digest, operators.written(card.filter), size):
            at_size = f" at {expected[0]}x{expected[1]} px" if expected else ""
            raise ExplorerError(
                f"{known['name']} with SHA-256 {known['sha256'][:12]} and its filter was expected as "
                f"{known['role']}{at_size}; {card.title} with {card.digest[:12]} came."
            )
    figure = make(record.spec, images, pair)
    digests = [digest for _, digest in record.images]
    if list(figure.content.digests) != digests:
        raise ExplorerError(
            f"The images with SHA-256 {', '.join(d[:12] for d in digests)} were expected; "
            f"{', '.join(d[:12] for d in figure.content.digests)} came."
        )
    return figure


def check_suffix(path: Path) -> None:
    """Raises `ExplorerError` for a file that is none of those a figure is written to."""
    if path.suffix.lower() not in SUFFIXES:
        raise ExplorerError(f"A file that ends in {', '.join(SUFFIXES)} was expected; {path.name} came.")
