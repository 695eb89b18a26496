"""Capture, measures, spectra and similarity curves beside plain forward passes; memory of a traced pass.

Ratios are to two sequential plain forwards of stock timm models with fused attention, interleaved with what is measured
in one run, medians, distinct images, every trace kept. Speed does not depend on the weights, which are random.

The floor of capturing, predicted from its parts for DeiT-Tiny on two cores (two forwards 52 ms): explicit in place of
fused attention 1.2 ms, the second product with `A` of the twicing model 1.8 ms, and 17.8 MiB of kept traces on fresh
pages 5.2 ms, because the system hands out zeroed pages of 4 KiB: 1.16x. Memory that is used again costs next to
nothing, but every trace is kept here, as a cache keeps it.

Capture is of attention, values, tokens and logits, as it always was here; with row measures it is what a page asks for
(see ADR 0013), and what all measures then start from. Linear layers are packed where the probe of a server says so.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import timm
import torch
from torch import Tensor

from bench.common import Row, medians
from explorer.measures import attention, residual, similarity, spectrum
from explorer.measures.settings import Definition, Matrix
from explorer.models import create, packed, uniform_filter
from explorer.models.trace import geometry, states, trace
from explorer.traces import Trace

ROUNDS = {"tiny": 41, "small": 21, "base": 15}
GOALS: Mapping[str, Mapping[str, float]] = {
    "tiny": {"capture": 1.05, "capture and all measures but spectra": 1.15, "spectra of one layer": 0.6},
    "small": {"capture": 0.97, "capture and all measures but spectra": 1.02},
    "base": {"capture": 0.92, "capture and all measures but spectra": 0.95},
}
PEAK = {"tiny": 15, "small": 28, "base": 55}


def rows(inputs: Sequence[Tensor], size: str) -> list[Row]:
    """All rows of one size of DeiT, `tiny`, `small` or `base`; inputs are preprocessed images `(1, 3, 224, 224)`."""
    name = f"deit_{size}_patch16_224"
    stock = [timm.create_model(name).eval() for _ in range(2)]
    pair = [create(name, 1000, uniform_filter(12, a)).eval().requires_grad_(False) for a in (1.0, 2.0)]
    ratio = packed.ratio(pair[0], geometry(pair[0]).tokens) if packed.is_possible(pair[0]) else math.inf
    if ratio <= packed.QUICKER:
        for model in pair:
            packed.pack(model)

    @torch.inference_mode()
    def plain(x: Tensor) -> list[Tensor]:
        return [model(x) for model in stock]

    def capture(x: Tensor, rows: bool = False) -> list[Trace]:
        return [trace(model, x, rows=rows)[0] for model in pair]

    def analyse(x: Tensor) -> object:
        return [(one, measures(one)) for one in capture(x, rows=True)]

    traces = capture(inputs[0])
    tasks: dict[str, Callable[[Tensor], object]] = {
        "plain": plain,
        "capture": capture,
        "capture with row measures": lambda x: capture(x, rows=True),
        "capture and all measures but spectra": analyse,
        "spectra of one layer": lambda _: spectrum.spectra([(one, 5) for one in traces]),
    }
    seconds = medians(tasks, inputs, ROUNDS[size])
    base = seconds.pop("plain")
    threads = f"{torch.get_num_threads()} CPU threads, linear layers {_form(ratio)}"
    found = [
        Row(
            f"{task}, both DeiT-{size.title()} models, one image",
            round(taken / base, 3),
            "x two plain forwards",
            GOALS[size].get(task),
            note=f"{threads}, median of {ROUNDS[size]} interleaved rounds, two forwards {1e3 * base:.1f} ms",
        )
        for task, taken in seconds.items()
    ]
    if size == "tiny":
        found += [_all_layers(traces, base), _folder(stock[0], pair[0], inputs)]
    trace_size = geometry(pair[0]).nbytes / 2**20
    peak = peak_of_trace(name)
    note = f"growth of peak resident memory in a fresh process; the trace itself holds {trace_size:.1f} MiB"
    return [*found, Row(f"peak memory per image and model, DeiT-{size.title()}", peak, "MiB", PEAK[size], note=note)]


def _form(ratio: float) -> str:
    return f"{'packed' if ratio <= packed.QUICKER else 'as they are'} (packed {ratio:.2f} of the time, probed)"


@torch.inference_mode()
def measures(one: Trace) -> list[object]:
    """Everything the views ask of a trace, but its spectra."""
    return [
        attention.maps(one, 0, Matrix.EFFECTIVE, attention.Heads.MEAN),
        attention.rollout(one, 0),
        attention.entropies(one),
        attention.distance(one, (16, 16)),
        similarity.token_similarity(one),
        residual.magnitudes(one),
    ]


def _all_layers(traces: Sequence[Trace], base: float) -> Row:
    started = time.perf_counter()
    spectrum.spectra([(one, layer) for one in traces for layer in range(one.depth)])
    taken = time.perf_counter() - started
    return Row(
        "spectra of all layers, both DeiT-Tiny models, one image",
        round(taken / base, 2),
        "x two plain forwards",
        6,
        note="float64, eigenvalues and singular values, one run",
    )


def _folder(stock: torch.nn.Module, model: torch.nn.Module, inputs: Sequence[Tensor]) -> Row:
    """Similarity curves of many images in batches, beside plain forwards of the same batches."""
    batches = [torch.cat([inputs[(start + i) % len(inputs)] for i in range(8)]) for start in range(6)]

    @torch.inference_mode()
    def plain(x: Tensor) -> Tensor:
        logits: Tensor = stock(x)
        return logits

    def curves(x: Tensor) -> Tensor:
        return torch.stack([similarity.of_tokens(tokens, Definition(), 1) for tokens in states(model, x)])

    seconds = medians({"plain": plain, "curves": curves}, batches, 12)
    return Row(
        "similarity curves over a folder, standard DeiT-Tiny",
        round(seconds["curves"] / seconds["plain"], 3),
        "x plain forwards",
        1.02,
        note="batches of 8; only curves are kept, so that memory does not grow with the number of images",
    )


_PEAK = """
import sys, timm, torch
from explorer.models import create, uniform_filter
from explorer.models.trace import trace
def peak():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
model = create(sys.argv[1], 1000, uniform_filter(12, 2.0)).eval()
image = torch.randn(1, 3, 224, 224)
with torch.inference_mode():
    for _ in range(3):
        model(image)
open("/proc/self/clear_refs", "w").write("5")
before, kept = peak(), []
for _ in range(8):
    kept.append(trace(model, image))
print((peak() - before) / 8)
"""


def peak_of_trace(name: str) -> float:
    """MiB by which the peak of resident memory grows per kept trace, beyond that of plain forwards."""
    runs = [subprocess.run([sys.executable, "-c", _PEAK, name], capture_output=True, text=True) for _ in range(3)]
    if any(run.returncode for run in runs):
        raise RuntimeError(runs[0].stderr)
    return round(statistics.median(float(run.stdout) for run in runs), 1)
