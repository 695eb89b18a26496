"""The tables of README.md and docs/performance.md, made of results.json; a test says that they are what this makes.

A line of the README puts a few rows side by side, in the order in which it names them. What misses its goal is bold,
and its reason, which stands in the row's note, follows the tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path

from bench.common import Row

ROOT = Path(__file__).parents[1]
README, PERFORMANCE = ROOT / "README.md", ROOT / "docs" / "performance.md"
SIZES = ("Tiny", "Small", "Base")


@dataclass(frozen=True)
class Line:
    """Rows that share a line, by their names or by patterns of names."""

    text: str
    rows: tuple[str, ...]


def _sizes(name: str) -> tuple[str, ...]:
    return tuple(name.format(size) for size in SIZES)


def _viewer(size: str) -> Line:
    whats = ("layer", "head", "matrix", "pointer on another patch", "rollout")
    text = f"viewer, DeiT-{size} pair: layer, head, matrix, pointer, rollout"
    return Line(text, tuple(f"viewer, DeiT-{size} pair: {what}" for what in whats))


SECTIONS: Mapping[str, Sequence[Line]] = {
    "Ratios to two sequential plain forwards of stock timm models with fused attention, one image, both models; "
    "DeiT-Tiny, Small, Base:": (
        Line("capture of everything the views need", _sizes("capture, both DeiT-{} models, one image")),
        Line(
            "the same with all measures but spectra",
            _sizes("capture and all measures but spectra, both DeiT-{} models, one image"),
        ),
        Line(
            "spectra of one layer, float64, eigenvalues and singular values",
            _sizes("spectra of one layer, both DeiT-{} models, one image"),
        ),
        Line("spectra of all layers, DeiT-Tiny", ("spectra of all layers, both DeiT-Tiny models, one image",)),
        Line("peak memory for an image and model", _sizes("peak memory per image and model, DeiT-{}")),
        Line(
            "a pass whose operator is data to the filter written out: standard and twicing, Tiny, then Small",
            tuple(
                f"operators as data, a {name} pass of DeiT-{size}"
                for size in ("Tiny", "Small")
                for name in ("standard", "twicing")
            ),
        ),
        Line(
            "a NeuTRENO pass to a twicing one: Tiny, Small",
            tuple(f"operators as data, a neutreno pass of DeiT-{size}" for size in ("Tiny", "Small")),
        ),
    ),
    "Folders, figures and attributions:": (
        Line(
            "similarity curve of a folder to plain forwards, DeiT-Tiny",
            ("similarity curves over a folder, standard DeiT-Tiny",),
        ),
        Line(
            "`similarity --precision bfloat16` to plain forwards in float32",
            ("folder command, bundled pair in bfloat16, to two plain forwards",),
        ),
        Line(
            "`similarity` to decoding and two plain forwards: bundled pair, DeiT-Tiny",
            tuple(
                f"folder command, {pair}, to decoding and two plain forwards" for pair in ("bundled pair", "DeiT-Tiny")
            ),
        ),
        Line(
            "its peak memory for 10,000 images beyond that for 100",
            ("folder command, peak memory of 10,000 images beyond that of 100",),
        ),
        Line(
            "image files to a PDF on disk: heatmaps of 4 images, evolution over 12 layers",
            ("heatmaps of 4 images, files to PDF", "evolution of 1 image, 12 layers, files to PDF"),
        ),
        Line(
            "the same to the sum of its parts (passes, and bare matplotlib drawing the same arrays)",
            (
                "heatmaps of 4 images, to the sum of its parts",
                "evolution of 1 image, 12 layers, to the sum of its parts",
            ),
        ),
        Line("PDF of 4 rows, of 12 rows", ("PDF of 4 rows", "PDF of 12 rows")),
        Line(
            "attribution methods to the bare Captum call, both bundled models",
            tuple(
                f"{method}, both bundled models, one image"
                for method in (
                    "Saliency",
                    "Input × Gradient",
                    "Integrated Gradients",
                    "Gradient SHAP",
                    "Occlusion",
                    "Feature Ablation",
                    "GradCAM",
                )
            ),
        ),
        Line("start of a command", ("start of*",)),
    ),
    "In a real Chromium:": (
        Line("first picture to a bare Streamlit page's title", ("first picture to a bare page's title",)),
        Line("the whole page to the same", ("whole page to a bare page's title",)),
        Line(
            "a new image, from choosing the file to both maps",
            ("new image, from choosing the file to both maps painted",),
        ),
        Line(
            "a slider of lesson 1, lesson 3 and the dial, from the key to the painted frame, without the server",
            ("lesson 1, bandwidth", "lesson 3, n", "the dial, a"),
        ),
        Line(
            "start page: scrubber, divider, *Surprise me*, from the key to the painted frame, without the server",
            tuple(
                f"start page: {name}"
                for name in ("scrubber from V to (2A − A²)V", "divider between the models", "Surprise me")
            ),
        ),
        Line(
            "attention page: wipe, blink, original, likewise",
            tuple(f"attention page: {name}" for name in ("wipe", "blink", "original")),
        ),
        *(_viewer(size) for size in SIZES),
        Line("sent for an image: Tiny, Small, Base", _sizes("viewer, DeiT-{} pair: payload")),
    ),
    "The input at 224, 336 and 448 px, of the bundled pair; then of a DeiT-Base pair at 224 px:": (
        Line("traced pass to a plain one, DeiT-Small", ("traced pass at * px, DeiT-Small",)),
        Line("likewise, DeiT-Small-Twicing", ("traced pass at * px, DeiT-Small-Twicing",)),
        *(
            Line(text, (f"{name} at * px, * pair",))
            for text, name in (
                (
                    "a new image, from choosing the file to both maps, to decoding and two passes",
                    "first map of a new image",
                ),
                ("sent before the first map", "bytes before the first map"),
                ("another layer that the browser has", "switch to a layer that is there"),
                ("another layer that it has not", "switch to a layer that is not there"),
                ("the page's memory", "memory of the page"),
            )
        ),
    ),
    "Many visitors, on two shared cores:": (
        Line("50 visitors with images of their own at once: errors", ("50 visitors at once: errors",)),
        Line(
            "from upload to maps, 99% of them, to the passes' own time",
            ("50 visitors at once: upload to maps, p99, to the passes alone",),
        ),
        Line("growth of the server", ("50 visitors at once: growth of the server",)),
        Line("500 uploads in a row: growth", ("500 uploads in a row: growth of the server",)),
    ),
}


def read(results: Path) -> list[Row]:
    """The rows of a results.json."""
    names = {field.name for field in fields(Row)}
    rows = json.loads(results.read_text(encoding="utf-8"))
    return [Row(**{key: value for key, value in row.items() if key in names}) for row in rows]


def write(rows: Sequence[Row]) -> None:
    """Writes the tables of both documents."""
    for path in (README, PERFORMANCE):
        path.write_text(written(path.read_text(encoding="utf-8"), rows), encoding="utf-8")


def written(text: str, rows: Sequence[Row]) -> str:
    """A document with the tables between its marks."""
    for mark, table in {"speed": speed, "peers": peers, "growth": growth, "depth": depth}.items():
        text = between(text, mark, table(rows) or "Not measured yet.")
    return text


def between(text: str, mark: str, content: str) -> str:
    """The text with this content between `<!-- mark -->` and the next `<!-- end -->`."""
    pattern = re.compile(f"<!-- {mark} -->.*?<!-- end -->", re.DOTALL)
    return pattern.sub(lambda _: f"<!-- {mark} -->\n{content}\n<!-- end -->", text, count=1)


# --- the README -----------------------------------------------------------------------------------------------------


def speed(rows: Sequence[Row]) -> str:
    """Every section, then what is missed and what was not measured, each with its reason."""
    parts: list[str] = []
    used: list[Row] = []
    absent: list[tuple[str, str]] = []
    for title, lines in SECTIONS.items():
        cells = []
        for line in lines:
            if of_line := [row for name in line.rows for row in rows if fnmatchcase(row.name, name)]:
                used += of_line
                absent += dict.fromkeys((line.text, row.note) for row in of_line if row.value is None)
                cells.append(f"| {line.text} | {_values(of_line)} | {_goals(of_line)} |")
        parts.append("\n".join((title, "", "| | | goal |", "|---|---|---|", *cells)))
    if absent:
        parts.append(because("Not measured, and why:", absent))
    return "\n\n".join((*parts, *misses(used)))


def misses(rows: Sequence[Row]) -> list[str]:
    """Why the goals are missed that are, or nothing."""
    reasons = [(row.name, row.reason or "not yet known why") for row in rows if not row.holds]
    return [because("Missed, and why:", reasons)] if reasons else []


def because(title: str, reasons: Sequence[tuple[str, str]]) -> str:
    """A point for each reason, with all that share it."""
    points = []
    for reason in dict.fromkeys(reason for _, reason in reasons):
        names = "; ".join(name for name, own in reasons if own == reason)
        points.append(f"- {names}: {reason}.")
    return "\n".join((title, "", *points))


def _values(rows: Sequence[Row]) -> str:
    if all(row.value is None for row in rows):
        return "not measured"
    return _joined([(row, row.value) for row in rows])


def _goals(rows: Sequence[Row]) -> str:
    goals = [(row, row.goal) for row in rows]
    if all(goal is None for _, goal in goals):
        return ""
    if len({goal for _, goal in goals}) == 1:
        goals = goals[:1]
    return _joined(goals, is_bold=False)


def _joined(values: Sequence[tuple[Row, float | None]], is_bold: bool = True) -> str:
    """Figures of one unit, which follows the last."""
    units = {_unit(row) for row, _ in values}
    figures = []
    for row, value in values:
        figure = "–" if value is None else f"{value:.3g}"
        if _unit(row) == "x" and value is not None:
            figure += "x"
        figures.append(f"**{figure}**" if is_bold and not row.holds else figure)
    (unit,) = units if len(units) == 1 else ("",)
    return f"{', '.join(figures)} {unit if unit != 'x' else ''}".strip()


def _unit(row: Row) -> str:
    return "x" if row.unit.startswith("x") else row.unit


# --- docs/performance.md --------------------------------------------------------------------------------------------


def peers(rows: Sequence[Row]) -> str:
    """Other packages beside ours: time, memory, agreement, and what each keeps."""
    by_name = {row.name: row for row in rows}
    labels = dict.fromkeys(
        match[1] for row in rows if (match := re.fullmatch(r"time of (.+), DeiT-\w+", row.name))
    )  # such as `rollout, ours`
    if not labels:
        return ""
    lines = ["| | package | keeps | time | peak memory, MiB | largest difference |", "|---|---|---|---|---|---|"]
    for label in labels:
        times, peaks, differences = (
            [by_name[name] for size in SIZES if (name := f"{what} of {label}, DeiT-{size}") in by_name]
            for what in ("time", "peak memory", "agreement")
        )
        what, _, package = label.rpartition(", ")
        keeps = times[0].note.removeprefix("keeps ").partition(";")[0]
        worst = max((row.value for row in differences if row.value is not None), default=None)
        memory = ", ".join(f"{row.value:.0f}" for row in peaks if row.value is not None)
        agreement = "" if worst is None else f"{worst:.2g}"
        of = " of two plain forwards" if package == "ours" else " of ours"
        lines.append(f"| {what} | {package} | {keeps} | {_values(times)}{of} | {memory} | {agreement} |")
    return "\n".join(lines)


def growth(rows: Sequence[Row]) -> str:
    """Time and memory of a pass against image size, blocks and heads."""
    inputs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if match := re.fullmatch(r"growth, (.+), (\d+ px): (.+)", row.name):
            inputs.setdefault((match[1], match[2]), {})[match[3]] = row
    if not inputs:
        return ""
    columns = list(dict.fromkeys(what for values in inputs.values() for what in values))
    lines = [f"| model | input | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for (model, side), values in inputs.items():
        cells = [_plain(values[what]) for what in columns]
        lines.append(f"| {model} | {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def depth(rows: Sequence[Row]) -> str:
    """Time and memory of a folder against the number of its images."""
    lines = []
    for row in rows:
        if match := re.fullmatch(r"folder of ([\d,]+) images: time", row.name):
            (peak,) = [other for other in rows if other.name == f"folder of {match[1]} images: peak memory"]
            lines.append(f"| {match[1]} | {_plain(row)} | {_plain(peak)} |")
    return "\n".join(("| images | time | peak memory |", "|---|---|---|", *lines)) if lines else ""


def _plain(row: Row) -> str:
    if row.value is None:
        return "–"
    digits = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.3g}"
    return f"{digits}x" if row.unit == "x" else f"{digits} {row.unit}".strip()
