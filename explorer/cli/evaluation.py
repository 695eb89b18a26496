"""`python -m explorer evaluate`: what a model card says of checkpoints, measured on labelled images."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from explorer.measures.similarity import Band
    from explorer.models import LoadedModel
    from explorer.training.data import Dataset

_ABOUT = """\
Top-1 and top-5 with Wilson's 95% intervals, and the paired difference of every further checkpoint to the first.
--measures adds, over images drawn at random from a seed, token similarity and the ratio of the smoothed residual by
layer (mean and standard deviation between images) and eigenvalue counts; --times adds the median time of a plain
forward pass, all checkpoints in turn, and GFLOPs (multiply-adds, as papers count them). --json writes it all."""


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `evaluate` and what runs it."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _ABOUT
    parser.set_defaults(run=run)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="DATA",
        help="Parquet files, a folder with one sub-folder per class, or one whose file names hold WordNet ids",
    )
    parser.add_argument(
        "--source-size", type=int, help="pixels a side the data is read at; the checkpoint's by default"
    )
    parser.add_argument("--measures", type=int, metavar="N", help="measure on so many of the images too")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of those images (0)")
    parser.add_argument("--times", metavar="BATCH[,BATCH]", help="time forward passes of these batches too, as in 1,64")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number into this file")
    parser.add_argument("--classes", type=Path, help="class list of Parquet data: index, wnid and name, tab-separated")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")


def run(options: argparse.Namespace) -> int:
    """Runs `evaluate`: prints while it goes, writes at the end."""
    from explorer import files
    from explorer.models import load
    from explorer.serving import device as devices
    from explorer.training import evaluate, report

    device = devices.choose(options.device)
    batches = _batches(options.times)
    models = [load(path, device) for path in options.checkpoints]
    splits = _splits(options, models)
    hits = [
        evaluate.hits(model.module, data, model.card.preprocessing) for model, data in zip(models, splits, strict=True)
    ]
    rows = [_accuracy(*one) for one in zip(models, splits, hits, strict=True)]
    differences = _differences(models, hits)
    if options.measures is not None:
        for model, data, row in zip(models, splits, rows, strict=True):
            row.update(_measures(model, data, options.measures, options.seed))
    if batches:
        where = _device_name(device)
        for row, cost in zip(rows, _costs(models, batches, where), strict=True):
            row.update(cost)
    told = {"rounds": report.ROUNDS, "device": _device_name(device)} if batches else {}
    if options.json:
        found = {"models": rows, "differences": differences, **told}
        files.write_atomically(options.json, (json.dumps(found, indent=1) + "\n").encode())
    return 0


def _batches(text: str | None) -> list[int]:
    from explorer.types import ExplorerError

    try:
        found = [int(part) for part in text.split(",")] if text else []
        if min(found, default=1) < 1:
            raise ValueError
    except ValueError:
        raise ExplorerError(f"Batches of at least 1 image such as 1,64 were expected; {text!r} came.") from None
    return found


def _splits(options: argparse.Namespace, models: Sequence[LoadedModel]) -> list[Dataset]:
    """The data as each model wants it, read once for each size."""
    from explorer.training import data
    from explorer.types import ExplorerError

    classes = data.read_classes(options.classes) if options.classes else None
    read: dict[tuple[int, tuple[str, ...]], Dataset] = {}
    found = []
    for model, path in zip(models, options.checkpoints, strict=True):
        pre, wnids = model.card.preprocessing, model.card.wnids
        size = options.source_size or (pre.source_size or pre.input_size)[0]
        if (size, wnids) not in read:
            split = data.load(options.data, size, classes, wnids)
            if tuple(c.wnid for c in split.classes) != wnids:
                raise ExplorerError(f"The classes of the data are not the {len(wnids)} classes of {path.name}.")
            read[size, wnids] = split.to(next(model.module.parameters()).device)
        found.append(read[size, wnids])
    return found


def _accuracy(model: LoadedModel, data: Dataset, found: Tensor) -> dict[str, Any]:
    from explorer.training.evaluate import accuracy_of

    card = model.card
    reached = accuracy_of(found)
    shares = {name: (share, *reached.interval(share)) for name, share in vars(reached).items() if name != "count"}
    said = (
        f"{name.replace('top', 'top-')} {100 * share:.2f}% (95% interval {100 * low:.1f} to {100 * high:.1f})"
        for name, (share, low, high) in shares.items()
    )
    chance = 1 / len(data.classes)
    print(f"{card.name}: {', '.join(said)}, {reached.count} images, chance {100 * chance:.1f}%", flush=True)
    told = {"name": card.name, "digest": card.digest, "filter": card.filter, "source": card.source}
    read_at = list(data.images.shape[-2:])
    return {**told, "images": reached.count, "classes": len(data.classes), "read_at": read_at, **shares}


def _differences(models: Sequence[LoadedModel], hits: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Of every further model to the first, where both have the same classes."""
    from explorer.training.evaluate import paired_difference

    differences = []
    for model, found in zip(models[1:], hits[1:], strict=True):
        if model.card.wnids != models[0].card.wnids:
            continue
        one: dict[str, Any] = {"of": model.card.name, "minus": models[0].card.name}
        for place, name in enumerate(("top1", "top5")):
            mean, low, high = paired_difference(hits[0][:, place], found[:, place])
            one[name] = (mean, low, high)
            print(
                f"{one['of']} minus {one['minus']}: {name.replace('top', 'top-')} {100 * mean:+.2f} points "
                f"(95% interval {100 * low:+.1f} to {100 * high:+.1f}, paired)",
                flush=True,
            )
        differences.append(one)
    return differences


def _measures(model: LoadedModel, data: Dataset, wanted: int, seed: int) -> dict[str, Any]:
    from explorer.training import report

    found = report.measure(model, data, report.draw(len(data), wanted, seed))
    eigen = found.eigenvalues
    print(f"{model.card.name}, {found.similarity.count} images, mean ± standard deviation between them:")
    print(f"  token similarity from the embedding on  {_said(found.similarity)}")
    print(f"  smoothed residual to smoothed, by block {_said(found.ratio)}")
    print(
        f"  of {eigen.count:,} eigenvalues {100 * eigen.on_curve / eigen.count:.1f}% are real and not negative; under "
        f"2λ − λ² {eigen.leaving} leave the unit disc, the largest modulus is {eigen.largest:.3f}",
        flush=True,
    )
    return {
        "measured": found.similarity.count,
        "seed": seed,
        "similarity": _listed(found.similarity),
        "ratio": _listed(found.ratio),
        "eigenvalues": vars(eigen),
    }


def _said(band: Band) -> str:
    return "  ".join(f"{mean:.3f}±{std:.3f}" for mean, std in zip(band.mean.tolist(), band.std.tolist(), strict=True))


def _listed(band: Band) -> dict[str, list[float]]:
    return {"mean": band.mean.tolist(), "std": band.std.tolist()}


def _costs(models: Sequence[LoadedModel], batches: Sequence[int], where: str) -> list[dict[str, Any]]:
    """Multiply-adds, parameters and milliseconds per image by batch size."""
    from explorer.trace import count
    from explorer.training import report

    times = {batch: report.forward_times(models, batch) for batch in batches}
    found = []
    for place, model in enumerate(models):
        size = count(model.module)
        ms = {str(batch): 1e3 * seconds[place] for batch, seconds in times.items()}
        said = ", ".join(f"{taken:.2f} ms per image in batches of {batch}" for batch, taken in ms.items())
        print(
            f"{model.card.name}: {size.multiply_adds / 1e9:.3f} GFLOPs, plain forward pass {said}, {where}", flush=True
        )
        found.append({"multiply_adds": size.multiply_adds, "parameters": size.parameters, "ms_per_image": ms})
    return found


def _device_name(device: Any) -> str:
    import torch

    from explorer.serving import device as devices

    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{devices.describe(device)}{threads}, float32"
