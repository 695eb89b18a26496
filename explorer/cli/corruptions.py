"""`python -m explorer corruptions`: what noise, blur and the like do to two models, as a table."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.disturb.corruptions import Corruption
    from explorer.runs.corruptions import CorruptionStep, Plan

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
    from explorer.cli.figure import add_models
    from explorer.disturb.corruptions import Corruption

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _CODES
    parser.set_defaults(run=run)
    parser.add_argument("images", nargs="+", metavar="IMG", help=_IMAGE)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="result, ending in .csv or .parquet")
    parser.add_argument(
        "--kind",
        default="all",
        metavar="K[,K...]",
        help=f"{', '.join(Corruption)}, or all (default)",
    )
    parser.add_argument(
        "--severities", metavar="S", help="ImageNet-C's, or at 64 px Tiny-ImageNet-C's, such as 1,3-5; 1-5 by default"
    )
    parser.add_argument(
        "--strength", metavar="S[,S...]", help="any strength up to 5, such as 2.5; instead of severities or with them"
    )
    parser.add_argument("--seed", type=int, default=0, help="of noise and occlusion (0)")
    parser.add_argument(
        "--first-token", action="store_true", help="attention rows of the first token, CLS, instead of all"
    )
    parser.add_argument(
        "--final-jpeg", action="store_true", help="pictures end as JPEG of quality 85, as ImageNet-C's files do"
    )
    add_models(parser)


def run(options: argparse.Namespace) -> int:
    """Runs `corruptions`; the bar counts images and is drawn on a terminal only."""
    last = _measure(options)
    unreadable = f", of which {last.failed:,} could not be read" if last.failed else ""
    print(f"{options.out}: {last.done:,} images{unreadable}", file=sys.stderr)
    return 1 if last.failed else 0


def _measure(options: argparse.Namespace) -> CorruptionStep:
    from tqdm import tqdm  # type: ignore[import-untyped]

    from explorer.cli.figure import load_pair_of
    from explorer.runs.corruptions import MADE_BY, measure
    from explorer.runs.partial import check_out

    plan = _plan(options)
    check_out(options.out, MADE_BY)  # before a model is loaded
    with closing(measure(options.images, load_pair_of(options), options.out, plan)) as steps:
        last = next(steps)
        with tqdm(total=last.total, initial=last.done, unit=" images", disable=not sys.stderr.isatty()) as bar:
            for last in steps:
                bar.update(last.done - bar.n)
                if last.problem:
                    tqdm.write(f"explorer: {last.problem}", file=sys.stderr)
    return last


def _plan(options: argparse.Namespace) -> Plan:
    from explorer.cli.options import each, numbers
    from explorer.disturb.corruptions import SEVERITIES
    from explorer.measures.drift import Queries
    from explorer.runs.corruptions import Plan
    from explorer.types import ExplorerError

    severities = numbers(options.severities, "severities") if options.severities else ()
    if not set(severities) <= set(SEVERITIES):
        raise ExplorerError(f"severities: numbers from 1 to 5 were expected; {options.severities[:40]!r} came.")
    custom = each(options.strength, float, "strength") if options.strength else ()
    strengths = tuple(sorted({*map(float, severities), *custom})) or tuple(map(float, SEVERITIES))
    queries = Queries.FIRST if options.first_token else Queries.ALL
    return Plan(_kinds(options.kind), strengths, options.seed, queries, options.final_jpeg)


def _kinds(text: str) -> tuple[Corruption, ...]:
    from explorer.disturb.corruptions import Corruption

    return tuple(Corruption) if text == "all" else tuple(dict.fromkeys(map(Corruption.called, text.split(","))))
