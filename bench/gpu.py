"""Whole analysis beside two plain forward passes on a GPU: one image and a batch, and the memory both need.

Whole analysis is capture and all measures but spectra, which LAPACK takes on the CPU. Without a CUDA device the group
is skipped. `python -m bench.gpu --device cpu --batch 4` is a dry run of the same code that writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict, Unpack

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from bench.common import Row, medians
from bench.speed import measures
from explorer.models import create, uniform_filter
from explorer.models.trace import trace
from explorer.serving import device as devices

SIZES = ("tiny", "small", "base")
BATCH = 64
ROUNDS = {1: 41, BATCH: 15}
GOAL = 1.5
"""Of the batch; a single image is bound by the launches of many small kernels."""


class Options(TypedDict, total=False):
    """Sizes that differ from those of the model's name."""

    img_size: int
    embed_dim: int
    depth: int
    num_heads: int


def is_available() -> bool:
    return torch.cuda.is_available()


def rows(
    size: str, device: torch.device, batch: int = BATCH, rounds: int | None = None, **options: Unpack[Options]
) -> Iterator[Row]:
    """Times and memory of one size of DeiT, of `SIZES`; `options` go to timm, for smaller models in tests."""
    name = f"deit_{size}_patch16_224"
    stock = [_stock(name, options).to(device) for _ in range(2)]
    pair = [create(name, 1000, uniform_filter(len(stock[0].blocks), a), **options).eval().to(device) for a in (1, 2)]
    shape = (3, *stock[0].patch_embed.img_size)

    @torch.inference_mode()
    def plain(x: Tensor) -> list[Tensor]:
        return [model(x) for model in stock]

    def capture(x: Tensor) -> object:
        return [trace(model, x) for model in pair]

    def analyse(x: Tensor) -> object:
        return [[(one, measures(one)) for one in trace(model, x)] for model in pair]

    tasks: dict[str, Callable[[Tensor], object]] = {"capture": capture, "whole analysis": analyse}
    for count in (1, batch):
        inputs = [torch.randn(count, *shape, device=device) for _ in range(3)]
        waiting = {what: _waiting(task, device) for what, task in {"plain": plain, **tasks}.items()}
        repeats = rounds or ROUNDS.get(count, ROUNDS[BATCH])
        seconds = medians(waiting, inputs, repeats, keep=1)
        base = seconds.pop("plain")
        images = "one image" if count == 1 else f"a batch of {count}"
        note = f"{devices.describe(device)}, float32, median of {repeats} interleaved rounds"
        for what, taken in seconds.items():
            yield Row(
                f"{what}, both DeiT-{size.title()} models, {images}",
                round(taken / base, 3),
                "x two plain forwards",
                GOAL if count > 1 else None,
                note=f"{note}, two forwards {1e3 * base:.2f} ms",
            )
        for what, task in ({"two plain forwards": plain, **tasks}).items():
            if device.type == "cuda":
                peak = _peak(task, inputs[0])
                yield Row(f"peak memory, {what}, DeiT-{size.title()}, {images}", peak, "MiB", None, note=note)


def _stock(name: str, options: Options) -> VisionTransformer:
    model = timm.create_model(name, **options)
    assert isinstance(model, VisionTransformer)
    return model.eval()


def _waiting(task: Callable[[Tensor], object], device: torch.device) -> Callable[[Tensor], object]:
    def run(x: Tensor) -> object:
        result = task(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    return run


def _peak(task: Callable[[Tensor], object], x: Tensor) -> float:
    """MiB of the device beyond what was allocated before, at the most."""
    torch.cuda.synchronize(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    result = task(x)
    torch.cuda.synchronize(x.device)
    del result
    return round((torch.cuda.max_memory_allocated(x.device) - before) / 2**20, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the rows and writes nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args(arguments)
    for size in options.sizes.split(","):
        for row in rows(size, devices.device_called(options.device), options.batch, options.rounds):
            print(f"{row.name}: {row.value:g} {row.unit} ({row.note})", flush=True)


if __name__ == "__main__":
    main()
