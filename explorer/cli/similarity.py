"""`python -m explorer similarity`: curves of a folder of images as CSV or Parquet."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.runs.similarity import FolderStep

_ABOUT = """\
Measures the token similarity of every image in a folder and its sub-folders after each block of two models, and writes
one row per image: image, sha256, error, baseline_0 to baseline_L and twicing_0 to twicing_L, where 0 is the embedding;
the second model's columns are called second_0 to second_L where its operator is not twicing.

An image that cannot be read is a row with its error. A run that was stopped goes on when the same command is given
again; changed files are measured anew. Beside the result a JSON of the same name holds definition, models, versions."""
_CODES = "exit code: 0 all images were measured, 1 some could not be read, 2 something is wrong, 130 interrupted"


def add_similarity(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `similarity` and what runs it."""
    from explorer.cli.engine import add_engine
    from explorer.cli.models import add_models
    from explorer.cli.options import declare
    from explorer.measures.settings import Definition
    from explorer.runs.settings import Passes

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _CODES
    parser.set_defaults(run=run)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of images; hidden files are skipped")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="result, ending in .csv or .parquet")
    declare(parser, Definition)
    declare(parser, Passes)
    add_models(parser)
    add_engine(parser)


def run(options: argparse.Namespace) -> int:
    """Runs `similarity`; the bar is drawn on a terminal only, the last line always."""
    last = _measure(options)
    unreadable = f", of which {last.failed:,} could not be read" if last.failed else ""
    print(f"{options.out}: {last.done:,} images{unreadable}", file=sys.stderr)
    return 1 if last.failed else 0


def _measure(options: argparse.Namespace) -> FolderStep:
    from tqdm import tqdm  # type: ignore[import-untyped]

    from explorer.cli.models import load_pair_of
    from explorer.cli.options import given
    from explorer.measures.settings import Definition
    from explorer.runs import similarity
    from explorer.runs.settings import Passes, Precision

    definition = Definition(**given(options, Definition))
    passes = Passes(**given(options, Passes))
    pair = load_pair_of(options, bfloat16=passes.precision is Precision.BFLOAT16)
    with closing(pair), closing(similarity.measure(options.folder, pair, options.out, definition)) as steps:
        last = next(steps)
        with tqdm(total=last.total, initial=last.done, unit=" images", disable=not sys.stderr.isatty()) as bar:
            for last in steps:
                bar.update(last.done - bar.n)
                if last.failed:
                    bar.set_postfix_str(f"{last.failed:,} unreadable", refresh=False)
    return last
