"""Runs every benchmark, writes bench/results.json, and makes the tables of README.md and docs/performance.md of it.

`--only speed,others` runs some groups and keeps the rows of the others; `table` runs none, and only makes the tables.
`--images DIR` uses a folder of photographs instead of the bundled examples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from bench import gpu, speed, table
from bench.common import Row, explained
from explorer.pictures import examples, images, preprocess
from explorer.types import ImageInput, Preprocessing

RESULTS = Path(__file__).parent / "results.json"
PREPROCESSING = Preprocessing((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), crop_pct=0.9)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "table"), default="run")
    parser.add_argument("--images", type=Path, help="a folder of photographs instead of the bundled examples")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"which groups to run, of {', '.join(GROUPS)}")
    options = parser.parse_args()
    if options.command == "run":
        _run(_chosen(parser, options.only), options.images)
    table.write(table.read(RESULTS))


def _chosen(parser: argparse.ArgumentParser, only: str) -> list[str]:
    chosen = only.split(",")
    if unknown := [name for name in chosen if name not in GROUPS]:
        parser.error(f"Groups of {', '.join(GROUPS)} were expected; {', '.join(unknown)} came.")
    if "gpu" in chosen and not gpu.is_available():
        print("gpu: skipped, there is no CUDA device; its rows stay as they are", flush=True)
        chosen.remove("gpu")
    return chosen


def _run(chosen: list[str], folder: Path | None) -> None:
    """Measures group after group; what a group gave is written before the next one starts."""
    paths = sorted(folder.iterdir()) if folder else []
    decoded = [images.decode(p.read_bytes()) for p in paths] or [examples.load(item) for item in examples.EXAMPLES]
    for group in chosen:
        measured = []
        for row in GROUPS[group](decoded):
            goal = "" if row.goal is None else f" (goal {row.goal:g})"
            value = "not measured," if row.value is None else f"{row.value:g}"
            print(f"{row.name}: {value} {row.unit}{goal}", flush=True)
            measured.append(row)
        if not measured:  # no Chromium, say
            print(f"{group}: nothing can be measured here; its rows stay as they are", flush=True)
            continue
        before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
        RESULTS.write_text(json.dumps(merged(before, group, measured), indent=2) + "\n", encoding="utf-8")


def merged(before: list[dict[str, object]], group: str, measured: Iterable[Row]) -> list[dict[str, object]]:
    """All rows, those of this group exchanged for the measured ones, in the order of groups.

    A row that misses its goal as it did before keeps its reason.
    """
    results = [row for row in before if row.get("group") != group]
    results += [{**asdict(explained(row, before)), "group": group} for row in measured]
    order = [*GROUPS, *sorted({str(row.get("group")) for row in results} - set(GROUPS))]
    return sorted(results, key=lambda row: order.index(str(row.get("group"))))


def _speed(decoded: list[ImageInput]) -> Iterator[Row]:
    for size in ("tiny", "small", "base"):
        yield from speed.rows(_inputs(decoded), size)


def _operators(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import operators

    for size in operators.ROUNDS:
        yield from operators.rows(_inputs(decoded), size)


def _start(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import start

    yield from start.rows(decoded)


def _folder(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import folder

    yield from folder.rows(decoded)


def _figures(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import figures

    yield from figures.rows(decoded)


def _others(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import others

    for size in ("tiny", "small", "base"):
        yield from others.rows(_inputs(decoded), size)


def _opening(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import opening

    yield from opening.rows()


def _browser(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import browser

    yield from browser.rows(decoded)


def _viewer(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import browser

    yield from browser.viewer_rows(decoded[0])


def _growth(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import folder, growth

    yield from growth.rows()
    yield from folder.depths(decoded)


def _visitors(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import visitors

    yield from visitors.rows(decoded)


def _gpu(decoded: list[ImageInput]) -> Iterator[Row]:
    for size in gpu.SIZES:
        yield from gpu.rows(size, torch.device("cuda"))


def _attribution(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import attribution

    yield from attribution.rows(decoded)


GROUPS: dict[str, Callable[[list[ImageInput]], Iterator[Row]]] = {
    "speed": _speed,
    "operators": _operators,
    "start": _start,
    "folder": _folder,
    "figures": _figures,
    "others": _others,
    "attribution": _attribution,
    "opening": _opening,
    "browser": _browser,
    "viewer": _viewer,
    "visitors": _visitors,
    "growth": _growth,
    "gpu": _gpu,
}


def _inputs(decoded: list[ImageInput]) -> list[torch.Tensor]:
    return [preprocess.batch([preprocess.model_view(image.rgb, PREPROCESSING)], PREPROCESSING) for image in decoded]


if __name__ == "__main__":
    main()
