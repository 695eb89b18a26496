"""Figures for papers: from image files to a PDF on disk, against the sum of its parts, and how large the PDF is.

The parts: decoding and both models' plain passes, and bare matplotlib that draws the same arrays with `imshow`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from bench.common import Row
from explorer.figures.print.cells import Grid
from explorer.serving.pair import ModelPair, load_pair
from explorer.studio import TEMPLATES, Spec, make
from explorer.types import ImageInput

_ROUNDS = 5


def rows(decoded: list[ImageInput]) -> Iterator[Row]:
    """Seconds, ratio to the parts, and bytes."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _files(decoded, Path(folder), 12)
        for name, spec, used in (
            ("heatmaps of 4 images", Spec(TEMPLATES["heatmaps"]), paths[:4]),
            ("evolution of 1 image, 12 layers", Spec(TEMPLATES["evolution"]), paths[:1]),
        ):
            seconds, ratio, drawing = _measure(spec, used, Path(folder) / "figure.pdf")
            note = f"image files to PDF on disk, warm, bundled pair; bare drawing alone {drawing:.2f} s"
            yield Row(f"{name}, files to PDF", round(seconds, 2), "s", 3.0, note=note)
            yield Row(f"{name}, to the sum of its parts", round(ratio, 2), "x", 2.0, note=note)
        for count, goal in ((4, 2.0), (12, 4.0)):
            made = make(Spec(TEMPLATES["heatmaps"]), paths[:count], load_pair())
            size = len(made.file(".pdf")) / 1e6
            yield Row(f"PDF of {count} rows", round(size, 2), "MB", goal, note="ICLR width, 300 dpi, sharp photographs")


def _measure(spec: Spec, paths: Sequence[Path], out: Path) -> tuple[float, float, float]:
    """Medians, interleaved: ours in seconds, ours to the parts, and bare drawing in seconds."""
    content = make(spec, paths, load_pair()).content
    ours: list[float] = []
    passes: list[float] = []
    bare: list[float] = []
    for number in range(_ROUNDS + 1):
        pairs = [load_pair() for _ in range(2)]  # nothing remembered
        times = (
            _timed(lambda pair=pairs[0]: make(spec, paths, pair).save(out)),  # type: ignore[misc]
            _timed(lambda pair=pairs[1]: _passes(paths, pair)),  # type: ignore[misc]
            _timed(lambda: _bare(content.drawing, out)),  # type: ignore[arg-type]
        )
        if number:
            for kept, one in zip((ours, passes, bare), times, strict=True):
                kept.append(one)
    middle, forward, drawing = map(statistics.median, (ours, passes, bare))
    return middle, middle / (forward + drawing), drawing


def _timed(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def _passes(paths: Sequence[Path], pair: ModelPair) -> None:
    for path in paths:
        pair.compare(path)


def _bare(grid: Grid, out: Path) -> None:
    """What one would write by hand: a subplot for each panel, the photograph under the map."""
    columns = 1 + sum(len(c.names) for c in grid.columns)
    cells = [(block.lead, row) for block in grid.blocks for row in block.rows]
    figure = Figure(figsize=(5.5, 5.5 * len(cells) / columns))
    axes = np.atleast_2d(figure.subplots(len(cells), columns))
    for row_of_axes, (lead, row) in zip(axes, cells, strict=True):
        assert lead is not None  # these templates have the photograph in front
        row_of_axes[0].imshow(lead.picture)
        for one, cell in zip(row_of_axes[1:], row.cells, strict=True):
            height, width = cell.picture.shape[:2]
            one.imshow(cell.picture)
            one.imshow(cell.values, extent=(0, width, height, 0), alpha=0.6, cmap="cividis")
        for one in row_of_axes:
            one.set_axis_off()
    figure.savefig(out, dpi=300)


def _files(decoded: Sequence[ImageInput], folder: Path, count: int) -> list[Path]:
    """So many different files: the images, mirrored and turned where there are too few."""
    paths = []
    for number in range(count):
        rgb = decoded[number % len(decoded)].rgb
        turned = rgb[:, ::-1] if (number // len(decoded)) % 2 else rgb
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(np.ascontiguousarray(turned)).save(paths[-1], quality=92)
    return paths
