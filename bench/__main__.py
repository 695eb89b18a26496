"""Runs every benchmark and writes bench/results.json; `--images DIR` uses a folder instead of the bundled examples.

`--only speed,start,folder,figures,others,attribution,browser,visitors,gpu` runs some of them and keeps the other rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from bench import gpu, speed
from bench.common import Row
from explorer.pictures import examples, images, preprocess
from explorer.types import ImageInput, Preprocessing

RESULTS = Path(__file__).parent / "results.json"
PREPROCESSING = Preprocessing((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), crop_pct=0.9)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--images", type=Path, help="a folder of photographs instead of the bundled examples")
    parser.add_argument("--only", default=",".join(GROUPS), help="which groups to run")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if "gpu" in chosen and not gpu.is_available():
        print("gpu: skipped, there is no CUDA device; its rows stay as they are", flush=True)
        chosen.remove("gpu")
        if not chosen:
            return
    paths = sorted(options.images.iterdir()) if options.images else []
    decoded = [images.decode(p.read_bytes()) for p in paths] or [examples.load(item) for item in examples.EXAMPLES]
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    results = [row for row in before if row.get("group") in GROUPS and row["group"] not in chosen]
    for group in chosen:
        for row in GROUPS[group](decoded):
            goal = "" if row.goal is None else f" (goal {row.goal:g})"
            print(f"{row.name}: {row.value:g} {row.unit}{goal}", flush=True)
            results.append({**asdict(row), "group": group})
    results.sort(key=lambda row: list(GROUPS).index(row["group"]))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _speed(decoded: list[ImageInput]) -> Iterator[Row]:
    for size in ("tiny", "small", "base"):
        yield from speed.rows(_inputs(decoded), size)


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

    for size in ("tiny", "base"):
        yield from others.rows(_inputs(decoded), size)


def _browser(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import browser

    yield from browser.rows(decoded)


def _visitors(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import visitors

    yield from visitors.rows(decoded)


def _gpu(decoded: list[ImageInput]) -> Iterator[Row]:
    for size in ("tiny", "base"):
        yield from gpu.rows(size, torch.device("cuda"))


def _attribution(decoded: list[ImageInput]) -> Iterator[Row]:
    from bench import attribution

    yield from attribution.rows(decoded)


GROUPS: dict[str, Callable[[list[ImageInput]], Iterator[Row]]] = {
    "speed": _speed,
    "start": _start,
    "folder": _folder,
    "figures": _figures,
    "others": _others,
    "attribution": _attribution,
    "browser": _browser,
    "visitors": _visitors,
    "gpu": _gpu,
}


def _inputs(decoded: list[ImageInput]) -> list[torch.Tensor]:
    return [preprocess.batch([preprocess.model_view(image.rgb, PREPROCESSING)], PREPROCESSING) for image in decoded]


if __name__ == "__main__":
    main()
