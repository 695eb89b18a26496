"""What a larger input and a larger model cost: time and memory of a traced pass against the pixels, layers and heads.

Each in a fresh process: twicing, the dearer operator, with the row measures that a page asks for, beside the plain pass
of the stock model with fused attention, interleaved. `N` tokens cost `N^2` in every head of every layer, for good: the
matrices are what a trace holds. What would take more than half of the free memory is not measured, and its row says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import timm
import torch

from bench.common import Row, medians
from explorer.models import create, uniform_filter
from explorer.models.trace import geometry, trace

ROOT = Path(__file__).resolve().parents[1]
SIDES = (224, 384, 512, 1024)
MODELS = (("tiny", 12), ("small", 12), ("small", 24), ("base", 12))
"""Sizes of DeiT and their blocks: 3, 6, 6 and 12 heads."""
SECONDS = 6.0
"""About so long each pair of passes is repeated."""


def rows() -> Iterator[Row]:
    """DeiT-Tiny at every size, then every model at 224 px."""
    configurations = [("tiny", 12, side) for side in SIDES] + [(*model, SIDES[0]) for model in MODELS[1:]]
    for size, depth, side in configurations:
        yield from _rows(size, depth, side)


def _rows(size: str, depth: int, side: int) -> Iterator[Row]:
    title = f"growth, DeiT-{size.title()}, {depth} blocks, {side} px"
    command = [sys.executable, "-m", "bench.growth", size, str(depth), str(side)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    values = json.loads(done.stdout.splitlines()[-1])
    note = values.pop("note")
    for what, unit in UNITS.items():
        yield Row(f"{title}: {what}", values.get(what), unit, None, note=note)


UNITS = {
    "tokens": "",
    "plain pass": "ms",
    "traced pass": "ms",
    "traced to plain": "x",
    "trace": "MiB",
    "peak memory": "MiB",
}


def measure(size: str, depth: int, side: int) -> dict[str, object]:
    """Values by name, and a note."""
    name = f"deit_{size}_patch16_224"
    stock = timm.create_model(name, img_size=side, depth=depth).eval().requires_grad_(False)
    model = create(name, 1000, uniform_filter(depth, 2.0), img_size=side, depth=depth).eval().requires_grad_(False)
    sizes = geometry(model)
    values: dict[str, object] = {"tokens": sizes.tokens, "trace": round(sizes.nbytes / 2**20, 2)}
    x = torch.randn(1, 3, side, side)
    if 1.5 * sizes.nbytes > _available() / 2:
        return {**values, "note": f"not measured: {_available() / 2**30:.0f} GiB of memory were free"}

    @torch.inference_mode()
    def plain(x: torch.Tensor) -> object:
        return stock(x)

    plain(x)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmHWM")
    trace(model, x)
    values["peak memory"] = round((_status("VmHWM") - before) / 2**20, 1)
    tasks = {"plain pass": plain, "traced pass": lambda x: trace(model, x)}
    once = sum(medians(tasks, [x], 1, keep=1).values())
    rounds = max(3, min(31, round(SECONDS / once)))
    seconds = medians(tasks, [x], rounds, keep=1)
    values |= {what: round(1e3 * taken, 1) for what, taken in seconds.items()}
    values["traced to plain"] = round(seconds["traced pass"] / seconds["plain pass"], 2)
    values["note"] = f"{torch.get_num_threads()} CPU threads, median of {rounds} interleaved rounds, one image, twicing"
    return values


def _status(field: str, path: str = "/proc/self/status") -> int:
    """Bytes."""
    return int(Path(path).read_text(encoding="ascii").split(f"{field}:")[1].split()[0]) * 1024


def _available() -> int:
    return _status("MemAvailable", "/proc/meminfo")


if __name__ == "__main__":
    size, depth, side = sys.argv[1:]
    print(json.dumps(measure(size, int(depth), int(side))))
