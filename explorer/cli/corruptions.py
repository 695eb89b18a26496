"""`python -m explorer corruptions`: what noise, blur and the like do to two models, as a table."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.runs.corruptions import CorruptionStep

_ABOUT = """\
Writes one row per image, corruption, severity (0 is the clean picture) and model: prediction and probability, the
probability and margin of the clean prediction, Jensen-Shannon drift of attention, cosine of tokens and change of token
similarity by layer. The same seed gives the numbers of the Corruptions page.

An image that cannot be read is said and is a row with its error. A run that was stopped goes on when the same command
is given again. Beside the result a JSON of the same name holds settings, models, versions."""
_CODES = "exit code: 0 all images were measured, 1 some could not be read, 2 something is wrong, 130 interrupted"
_IMAGE = "image file, or example:NAME for a bundled one, such as example:chelsea.png"


def add_corruptions(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `corruptions` and what runs it."""
    from explorer.cli.engine import add_engine
    from explorer.cli.models import add_models
    from explorer.cli.options import declare
    from explorer.runs.settings import Plan

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _CODES
    parser.set_defaults(run=run)
    parser.add_argument("images", nargs="+", metavar="IMG", help=_IMAGE)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="result, ending in .csv or .parquet")
    declare(parser, Plan)
    add_models(parser)
    add_engine(parser)


def run(options: argparse.Namespace) -> int:
    """Runs `corruptions`; the bar counts images and is drawn on a terminal only."""
    last = _measure(options)
    unreadable = f", of which {last.failed:,} could not be read" if last.failed else ""
    print(f"{options.out}: {last.done:,} images{unreadable}", file=sys.stderr)
    return 1 if last.failed else 0


def _measure(options: argparse.Namespace) -> CorruptionStep:
    from tqdm import tqdm  # type: ignore[import-untyped]

    from explorer.cli.models import load_pair_of
    from explorer.cli.options import given
    from explorer.runs.corruptions import MADE_BY, measure
    from explorer.runs.partial import check_out
    from explorer.runs.settings import Plan

    plan = Plan(**given(options, Plan))
    check_out(options.out, MADE_BY)  # before a model is loaded
    with closing(measure(options.images, load_pair_of(options), options.out, plan)) as steps:
        last = next(steps)
        with tqdm(total=last.total, initial=last.done, unit=" images", disable=not sys.stderr.isatty()) as bar:
            for last in steps:
                bar.update(last.done - bar.n)
                if last.problem:
                    tqdm.write(f"explorer: {last.problem}", file=sys.stderr)
    return last
