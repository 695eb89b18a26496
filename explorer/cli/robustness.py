"""`python -m explorer robustness`: accuracy of two models against the budget of an attack, over labelled images."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.disturb.settings import Attack
    from explorer.models import LoadedModel
    from explorer.pictures.labelled import Listing
    from explorer.runs.robustness import Labelled
    from explorer.runs.robustness_file import Result
    from explorer.training.data import Dataset

_ABOUT = """\
Attacks every image with each model's own gradients at every budget and counts how often the label is still the first
prediction, as in the paper's Fig. 5 and 6. Budgets and steps are in 255ths of a pixel's range, at the model's input, or
of a unit of the normalised input (--space normalised). With --transfer each model is also shown what was made with the
other's gradients.

The paper says of PGD "20 steps with step size of 0.15" and no more. Two readings:
  in pixels                     --attack pgd --step-share 0.15 --random-start
  as Han et al. coded it        --attack pgd --step-share 0.15 --random-start --space normalised --label predicted
Which of them its numbers are, if one, nobody knows.

The file holds the settings, then one line for each image. A run that was stopped goes on when the same command is given
again; a file of other settings is never added to. Every model sees the pictures as on the Attacks page, resized and
cropped as its card says; folders that are no class of the models and images that cannot be read are said and left out.
With --source-size they are read at that size and resized to the models' input, as in training."""
_CODES = "exit codes: 0 done, 1 some images could not be read, 2 something is wrong and said, 130 interrupted"


def add_robustness(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `robustness` and what runs it."""
    from explorer.cli.models import add_models
    from explorer.cli.options import declare
    from explorer.disturb.settings import Attack
    from explorer.runs.settings import Sample

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _CODES
    parser.set_defaults(run=run)
    parser.add_argument(
        "data",
        type=Path,
        nargs="+",
        metavar="DATA",
        help="Parquet files, folders with one sub-folder per class, or folders whose file names hold WordNet ids",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="result, ending in .jsonl")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the printed table as CSV, with top-5")
    parser.add_argument(
        "--transfer", action="store_true", help="show each model the images made to fool the other, too"
    )
    parser.add_argument(
        "--eps", default="0,1,2,4,6", metavar="E[,E...]", help="budgets in 255ths, 0 to 8 (0,1,2,4,6); 0 is no attack"
    )
    declare(parser, Attack)
    parser.add_argument(
        "--step-size",
        type=float,
        metavar="S",
        help="of pgd in 255ths; without it and a share 2.5 eps / steps, as Madry et al. recommend",
    )
    declare(parser, Sample)
    parser.add_argument(
        "--classes",
        type=Path,
        help="class list of Parquet data: index, wnid and name, tab-separated; the classes.tsv beside it by default",
    )
    add_models(parser)


def run(options: argparse.Namespace) -> int:
    """Runs `robustness`; the bar is drawn on a terminal only, the table always."""
    from explorer import files

    broken: list[str] = []
    result = _sweep(options, broken)
    print(_table(result))
    if options.csv:
        files.write_atomically(options.csv, _csv(result).encode())
    return 1 if broken else 0


def _sweep(options: argparse.Namespace, broken: list[str]) -> Result:
    """What the file holds at the end; images that could not be read are said and added to `broken`."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    from explorer import files
    from explorer.cli.models import load_models_of
    from explorer.cli.options import given
    from explorer.disturb.settings import units
    from explorer.pictures import labelled
    from explorer.runs.robustness import sweep
    from explorer.runs.settings import Sample
    from explorer.types import ExplorerError

    for path, suffix in ((options.out, ".jsonl"), (options.csv, ".csv")):
        if path and path.suffix.lower() != suffix:
            raise ExplorerError(f"A name ending in {suffix} was expected for the result; {path.name} came.")
    attack, eps, sample = _attack(options), _eps(options.eps), Sample(**given(options, Sample))
    models = load_models_of(options)
    cards = [model.card for model in models]
    print(f"{attack.rule()}; {units(replace(attack, eps=1 / 255), cards)}")
    listing = labelled.from_paths(options.data, cards, options.classes)
    listing = listing.at_most(sample.images)

    def left_out(why: str) -> None:
        broken.append(why)
        tqdm.write(f"explorer: {why}", file=sys.stderr)

    for problem in listing.problems:
        print(f"explorer: {problem}", file=sys.stderr)
    try:
        steps = sweep(
            models,
            _data(listing, models, sample.source_size, left_out),
            attack,
            options.out,
            eps=eps,
            batch_size=sample.batch_size,
            data_name=f"{', '.join(path.absolute().name for path in options.data)}, {listing.digest}",
            transfer=options.transfer,
        )
        last = next(steps)
        with tqdm(total=len(listing.items), initial=last.done, unit=" images", disable=not sys.stderr.isatty()) as bar:
            for last in steps:
                bar.update(last.done - bar.n)
    except OSError as error:
        raise ExplorerError(f"{options.out.name} could not be written: {files.why(error, options.out)}.") from error
    return last.result


def _attack(options: argparse.Namespace) -> Attack:
    from explorer.cli.options import given
    from explorer.disturb.settings import Attack

    return Attack(step_size=None if options.step_size is None else options.step_size / 255, **given(options, Attack))


def _eps(text: str) -> tuple[float, ...]:
    from explorer.types import ExplorerError

    try:
        values = [float(part) for part in text.split(",")]
        if not all(math.isfinite(value) and 0 <= value <= 8 for value in values):
            raise ValueError
    except ValueError:
        raise ExplorerError(
            f"eps: numbers from 0 to 8 such as 0,1,2,4,6, in 255ths, were expected; {text[:40]!r} came."
        ) from None
    return tuple(value / 255 for value in sorted(set(values)))


def _data(
    listing: Listing, models: Sequence[LoadedModel], source_size: int | None, left_out: Callable[[str], None]
) -> Dataset | Iterator[Labelled]:
    """What each model sees, decoded when it is its turn; with a size, all images at it."""
    from explorer.pictures import labelled, preprocess
    from explorer.training import data

    pictures = labelled.decoded(listing.items, left_out)
    cards = [model.card for model in models]
    if not source_size:
        return (
            (item.name, [preprocess.model_view(image.rgb, card.preprocessing) for card in cards], item.labels)
            for item, image in pictures
        )
    square = data.read_at(source_size)
    read = [(preprocess.model_view(image.rgb, square), item.labels[0]) for item, image in pictures]
    return data.dataset([view for view, _ in read], [label for _, label in read])


def _table(result: Result) -> str:
    """Top-1 with its 95% interval for each model and budget, and for each model shown the other's images."""
    lines = []
    for curve in result.curves:
        lines.append(f"{curve.name}, {len(result.ranks)} images")
        for eps, accuracy in zip(curve.eps, curve.accuracy, strict=True):
            low, high = (100 * end for end in accuracy.interval(accuracy.top1))
            lines.append(
                f"  eps {255 * eps:g}/255: top-1 {100 * accuracy.top1:.1f}% (95% interval {low:.1f} to {high:.1f})"
            )
    return "\n".join(lines)


def _csv(result: Result) -> str:
    """A row for each curve and budget: shares with the ends of their 95% Wilson intervals, and the attack.

    `eps_255ths` is in the attack's space, `eps_pixels_255ths` the same in pixels, on average over channels, for the
    model that was to be fooled.
    """
    import csv
    import io
    from statistics import mean

    from explorer import files

    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    shares = [f"{share}{end}" for share in ("top1", "top5") for end in ("", "_low", "_high")]
    settings = ["attack", "space", "label", "settings"]
    rows.writerow(["model", "made_to_fool", "eps_255ths", "eps_pixels_255ths", "images", *shares, *settings])
    models, attack = result.settings["models"], result.attack
    for curve in result.curves:
        for eps, accuracy in zip(curve.eps, curve.accuracy, strict=True):
            numbers = [
                number for share in (accuracy.top1, accuracy.top5) for number in (share, *accuracy.interval(share))
            ]
            trial = [files.cell(models[curve.target]["name"]), files.cell(models[curve.source]["name"])]
            scale = mean(models[curve.source].get("std", [1.0]))
            budgets = [f"{255 * eps:g}", f"{255 * eps * scale:.6g}"]
            row = [*trial, *budgets, accuracy.count, *(f"{number:.6g}" for number in numbers)]
            rows.writerow([*row, attack.kind, attack.space, files.cell(attack.label), attack.rule()])
    return stream.getvalue()
