"""Runs every benchmark and writes bench/results.json; `--images DIR` uses a folder instead of the bundled examples.

Ratios are to two sequential plain forwards of stock timm models with fused attention, interleaved with what is measured
in one run, medians, distinct images. The floor of capturing is the two forwards plus writing what is kept: attention,
values and tokens of DeiT-Tiny are 8.9 MiB an image, which at a few GB/s is 2 to 4 ms, and a twicing block applies `A`
twice: about 1.15x was predicted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch

from explorer import examples, images
from explorer.measures import attention, residual, similarity, spectrum
from explorer.models import create, uniform_filter
from explorer.trace import geometry, trace
from explorer.types import Preprocessing, Trace

RESULTS = Path(__file__).parent / "results.json"
ROUNDS = 15


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--images", type=Path, help="a folder of photographs instead of the bundled examples")
    options = parser.parse_args()
    paths = sorted(options.images.iterdir()) if options.images else []
    decoded = [images.decode(p.read_bytes()) for p in paths] or [examples.load(item) for item in examples.EXAMPLES]
    preprocessing = Preprocessing((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), crop_pct=0.9)
    inputs = [images.batch([images.model_view(image.rgb, preprocessing)], preprocessing) for image in decoded]
    results = [row for name in ("tiny", "base") for row in _model(name, inputs)]
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for row in results:
        print(f"{row['name']}: {row['value']} {row['unit']} (goal {row['goal']})")


def _model(size: str, inputs: list[torch.Tensor]) -> list[dict[str, object]]:
    """All benchmarks of one size of DeiT; speed does not depend on the weights, which are random."""
    name = f"deit_{size}_patch16_224"
    stock = timm.create_model(name).eval()
    pair = [create(name, 1000, uniform_filter(12, a)).eval() for a in (1.0, 2.0)]

    def plain(x: torch.Tensor) -> None:
        with torch.inference_mode():
            stock(x), stock(x)

    def capture(x: torch.Tensor) -> list[Trace]:
        return [trace(model, x)[0] for model in pair]

    def analyse(x: torch.Tensor) -> None:
        for one in capture(x):
            attention.maps(one, 0, attention.Operator.EFFECTIVE, attention.Heads.MEAN)
            attention.entropy(one.attention)
            attention.distance(one, (16, 16))
            attention.rollout(one, 0)
            similarity.token_similarity(one)
            residual.magnitudes(one)

    traces = capture(inputs[0])

    def spectra(_: torch.Tensor) -> None:
        for one in traces:
            spectrum.spectrum(one, 5)

    goals = {"capture": (1.10, 1.05), "measures": (1.2, 1.1), "spectra of one layer": (0.6, None)}
    tasks: dict[str, Callable[[torch.Tensor], object]] = {
        "capture": capture,
        "measures": analyse,
        "spectra of one layer": spectra,
    }
    ratios = _ratios(plain, tasks, inputs)
    rows: list[dict[str, object]] = [
        {
            "name": f"{task}, both DeiT-{size.title()} models, one image",
            "value": round(ratio, 3),
            "unit": "x two plain forwards",
            "goal": goals[task][0 if size == "tiny" else 1],
            "better": "lower",
            "note": f"{torch.get_num_threads()} CPU threads, median of {ROUNDS} interleaved rounds",
        }
        for task, ratio in ratios.items()
    ]
    rows.append(
        {
            "name": f"trace of one image, DeiT-{size.title()}",
            "value": round(geometry(pair[0]).nbytes / 2**20, 1),
            "unit": "MiB",
            "goal": 15 if size == "tiny" else 55,
            "better": "lower",
            "note": "what the cache holds, float32",
        }
    )
    return rows


def _ratios(
    plain: Callable[[torch.Tensor], object],
    tasks: dict[str, Callable[[torch.Tensor], object]],
    inputs: list[torch.Tensor],
) -> dict[str, float]:
    """Median time of each task over the median time of `plain`, interleaved round by round."""
    everything = {"plain": plain, **tasks}
    times: dict[str, list[float]] = {name: [] for name in everything}
    kept = []  # every result of a round is kept alive, as a cache would
    for number in range(ROUNDS + 2):
        x = inputs[number % len(inputs)]
        for name, task in everything.items():
            started = time.perf_counter()
            kept.append(task(x))
            if number >= 2:
                times[name].append(time.perf_counter() - started)
        kept = kept[-40:]
    base = statistics.median(times["plain"])
    return {name: statistics.median(times[name]) / base for name in tasks}


if __name__ == "__main__":
    main()
