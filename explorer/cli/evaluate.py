"""`python -m explorer evaluate`: what a model card says of checkpoints, measured on labelled images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from explorer.measures.similarity import Band
    from explorer.models import LoadedModel
    from explorer.pictures.labelled import Item
    from explorer.training.data import Dataset
    from explorer.types import Preprocessing

_ABOUT = """\
Top-1 and top-5 with Wilson's 95% intervals, and the paired difference of every further checkpoint to the first.
--measures adds, over images drawn at random from a seed, similarity of the tokens and of the attention outputs and the
ratio of the smoothed residual by layer (mean and standard deviation between images) and eigenvalue counts; --times adds
the median time of a plain forward pass with fused attention, all checkpoints in turn, and GFLOPs: the multiply-adds of
A and its products, as papers count them (fused attention makes A twice for twicing). --json writes it all.

Every model sees the pictures as on the pages, resized and cropped as its card says; folders that are no class of it and
images that cannot be read are said and left out. With --source-size they are read at that size and resized to the
model's input, as in training."""
_CODES = "exit codes: 0 done, 1 some images could not be read, 2 something is wrong and said, 130 interrupted"
_AT_ONCE = 250


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `evaluate` and what runs it."""
    from explorer.cli.options import declare
    from explorer.runs.settings import Evaluation

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _CODES
    parser.set_defaults(run=run)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT", help="file of weights")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="DATA",
        help="Parquet files, folders with one sub-folder per class, or folders whose file names hold WordNet ids",
    )
    declare(parser, Evaluation)
    parser.add_argument(
        "--input-size", type=int, metavar="N", help="pixels on a side of the models' input instead of what they declare"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number into this file")
    parser.add_argument(
        "--classes",
        type=Path,
        help="class list of Parquet data: index, wnid and name, tab-separated; the classes.tsv beside it by default",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")


def run(options: argparse.Namespace) -> int:
    """Runs `evaluate`: prints while it goes, writes at the end."""
    from explorer import files
    from explorer.cli.options import given
    from explorer.models import load
    from explorer.runs import evaluation
    from explorer.runs.settings import Evaluation
    from explorer.serving import device as devices

    settings = Evaluation(**given(options, Evaluation))
    device = devices.device_called(options.device)
    models = [load(path, device, input_size=options.input_size) for path in options.checkpoints]
    readings = [_reading(model, settings.source_size) for model in models]
    broken: set[str] = set()
    by_model = _hits(options, settings.images, models, readings, broken)
    rows = [
        _accuracy(model, reading, hits) for model, reading, (hits, _) in zip(models, readings, by_model, strict=True)
    ]
    differences = _differences(models, [hits for hits, _ in by_model])
    if settings.measures is not None:
        for model, reading, (_, items), row in zip(models, readings, by_model, rows, strict=True):
            row.update(_measures(model, reading, items, settings.measures, settings.seed))
    if settings.times:
        where = _device_name(device)
        for row, cost in zip(rows, _costs(models, settings.times, where), strict=True):
            row.update(cost)
    timing = {"rounds": evaluation.ROUNDS, "device": _device_name(device)} if settings.times else {}
    if options.json:
        report = {"models": rows, "differences": differences, **timing}
        files.write_atomically(options.json, (json.dumps(report, indent=1) + "\n").encode())
    return 1 if broken else 0


def _reading(model: LoadedModel, source_size: int | None) -> Preprocessing:
    """How the model's pictures are read."""
    from explorer.training import data

    return data.read_at(source_size) if source_size else model.card.preprocessing


def _hits(
    options: argparse.Namespace,
    at_most: int | None,
    models: Sequence[LoadedModel],
    readings: Sequence[Preprocessing],
    broken: set[str],
) -> list[tuple[Tensor, list[Item]]]:
    """For each model its hits, and the images they are of; models of the same classes share one pass over the data."""
    from explorer.pictures import labelled

    by_place: dict[int, tuple[Tensor, list[Item]]] = {}
    for classes in dict.fromkeys(map(_classes, models)):
        places = [place for place, model in enumerate(models) if _classes(model) == classes]
        first = models[places[0]]
        listing = labelled.from_paths(options.data, [first.card], options.classes).at_most(at_most)
        for problem in listing.problems:
            _say(problem)
        hits, items = _of_group([(models[place], readings[place]) for place in places], listing.items, broken)
        by_place |= {place: (of_model, items) for place, of_model in zip(places, hits, strict=True)}
    return [by_place[place] for place in range(len(models))]


def _of_group(
    group: Sequence[tuple[LoadedModel, Preprocessing]], items: Sequence[Item], broken: set[str]
) -> tuple[list[Tensor], list[Item]]:
    """Hits of each model on the images that can be read, and those."""
    import torch

    from explorer.pictures import labelled, preprocess
    from explorer.training import evaluate
    from explorer.types import ExplorerError

    def left_out(why: str) -> None:
        if why not in broken:
            _say(why)
        broken.add(why)

    hits: list[list[Tensor]] = [[] for _ in group]
    read: list[Item] = []
    pictures = labelled.decoded(items, left_out)
    views = ((item, [preprocess.model_view(image.rgb, reading) for _, reading in group]) for item, image in pictures)
    while batch := list(islice(views, _AT_ONCE)):
        for place, (model, _) in enumerate(group):
            data = _dataset(model, [(item, seen[place]) for item, seen in batch])
            hits[place].append(evaluate.hits(model.module, data, model.card.preprocessing))
        read += [item for item, _ in batch]
    if not read:
        raise ExplorerError(f"An image that can be read was expected; none of {len(items)} can.")
    return [torch.cat(of_model) for of_model in hits], read


def _dataset(model: LoadedModel, seen: Sequence[tuple[Item, np.ndarray]]) -> Dataset:
    from explorer.training import data

    dataset = data.dataset([view for _, view in seen], [item.labels[0] for item, _ in seen])
    return dataset.to(next(model.module.parameters()).device)


def _classes(model: LoadedModel) -> tuple[Any, ...]:
    return model.card.wnids, model.card.classes, model.module.num_classes


def _say(problem: str) -> None:
    print(f"explorer: {problem}", file=sys.stderr)


def _accuracy(model: LoadedModel, reading: Preprocessing, hits: Tensor) -> dict[str, Any]:
    from explorer import provenance
    from explorer.measures.accuracy import accuracy_of

    card = model.card
    reached = accuracy_of(hits)
    shares = {name: (share, *reached.interval(share)) for name, share in vars(reached).items() if name != "count"}
    said = (
        f"{name.replace('top', 'top-')} {100 * share:.2f}% (95% interval {100 * low:.1f} to {100 * high:.1f})"
        for name, (share, low, high) in shares.items()
    )
    classes = model.module.num_classes
    print(f"{card.name}: {', '.join(said)}, {reached.count} images, chance {100 / classes:.1f}%", flush=True)
    read_at = list(reading.source_size or reading.input_size)
    return {**provenance.of_model(card), "images": reached.count, "classes": classes, "read_at": read_at, **shares}


def _differences(models: Sequence[LoadedModel], hits: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Of every further model to the first, where both have the same classes."""
    from explorer.measures.accuracy import paired_difference

    differences = []
    for model, of_model in zip(models[1:], hits[1:], strict=True):
        if _classes(model) != _classes(models[0]):
            continue
        difference: dict[str, Any] = {"of": model.card.name, "minus": models[0].card.name}
        for place, name in enumerate(("top1", "top5")):
            mean, low, high = paired_difference(hits[0][:, place], of_model[:, place])
            difference[name] = (mean, low, high)
            print(
                f"{difference['of']} minus {difference['minus']}: {name.replace('top', 'top-')} "
                f"{100 * mean:+.2f} points (95% interval {100 * low:+.1f} to {100 * high:+.1f}, paired)",
                flush=True,
            )
        differences.append(difference)
    return differences


def _measures(
    model: LoadedModel, reading: Preprocessing, items: Sequence[Item], wanted: int, seed: int
) -> dict[str, Any]:
    import torch

    from explorer.pictures import labelled, preprocess
    from explorer.runs import evaluation
    from explorer.training.data import draw

    drawn = [items[place] for place in draw(len(items), wanted, seed).tolist()]
    pictures = labelled.decoded(drawn, _say)  # they could be read before
    data = _dataset(model, [(item, preprocess.model_view(image.rgb, reading)) for item, image in pictures])
    measures = evaluation.measure(model, data, torch.arange(len(data)))
    eigen = measures.eigenvalues
    print(f"{model.card.name}, {measures.similarity.count} images, mean ± standard deviation between them:")
    print(f"  token similarity from the embedding on  {_said(measures.similarity)}")
    print(f"  of attention outputs, by block          {_said(measures.outputs)}")
    print(f"  smoothed residual to smoothed, by block {_said(measures.ratio)}")
    print(
        f"  of {eigen.count:,} eigenvalues {eigen.vanishing:,} cannot be told from 0 in float32; of the others "
        f"{100 * eigen.real_share:.1f}% are real and not negative; under 2λ − λ² {eigen.leaving} leave the unit disc, "
        f"the largest modulus is {eigen.largest:.3f}",
        flush=True,
    )
    return {
        "measured": measures.similarity.count,
        "seed": seed,
        "similarity": _listed(measures.similarity),
        "output_similarity": _listed(measures.outputs),
        "ratio": _listed(measures.ratio),
        "eigenvalues": vars(eigen),
    }


def _said(band: Band) -> str:
    return "  ".join(f"{mean:.3f}±{std:.3f}" for mean, std in zip(band.mean.tolist(), band.std.tolist(), strict=True))


def _listed(band: Band) -> dict[str, list[float]]:
    return {"mean": band.mean.tolist(), "std": band.std.tolist()}


def _costs(models: Sequence[LoadedModel], batches: Sequence[int], where: str) -> list[dict[str, Any]]:
    """Multiply-adds, parameters and milliseconds per image by batch size."""
    from explorer.models.trace import count
    from explorer.runs import evaluation

    times = {batch: evaluation.forward_times(models, batch) for batch in batches}
    costs = []
    for place, model in enumerate(models):
        size = count(model.module)
        ms = {str(batch): 1e3 * seconds[place] for batch, seconds in times.items()}
        said = ", ".join(f"{taken:.2f} ms per image in batches of {batch}" for batch, taken in ms.items())
        print(
            f"{model.card.name}: {size.multiply_adds / 1e9:.3f} GFLOPs, plain forward pass {said}, {where}", flush=True
        )
        costs.append({"multiply_adds": size.multiply_adds, "parameters": size.parameters, "ms_per_image": ms})
    return costs


def _device_name(device: Any) -> str:
    import torch

    from explorer.serving import device as devices

    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{devices.describe(device)}{threads}, float32"
