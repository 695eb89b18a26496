"""`python -m docs.gpu COMMAND`: what README.md beside this says, minute by minute."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docs.gpu import home
from explorer.types import ExplorerError

_BEGAN = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; errors a person can act on are one sentence on stderr and exit code 2."""
    options, extra = _parser().parse_known_args(arguments)
    if extra and not options.passes:
        _parser().error(f"unrecognized arguments: {' '.join(extra)}")
    try:
        options.run(options, extra)
    except ExplorerError as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m docs.gpu", description=__doc__)
    parser.set_defaults(passes=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_here(commands)
    _add_there(commands)
    return parser


def _add(commands: Any, name: str, run: object, help: str, passes: bool = False) -> argparse.ArgumentParser:
    """A command; what it `passes` on are options of `explorer train`, so its own are not to be abbreviated."""
    part: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
    part.set_defaults(run=run, passes=passes)
    return part


def _add_here(commands: Any) -> None:
    cut = _add(commands, "cut", _cut, "here: writes data and start as loads")
    cut.add_argument("--train", type=Path, nargs="+", required=True, metavar="PARQUET")
    cut.add_argument("--val", type=Path, nargs="+", required=True, metavar="PARQUET")
    cut.add_argument("--classes", type=Path, required=True, help="class list: index, wnid and name, tab-separated")
    cut.add_argument("--init", type=Path, required=True, help="start, as import-weights writes it")
    cut.add_argument("--add", type=Path, nargs="*", default=[], metavar="FILE", help="goes along in the first load")
    cut.add_argument("--val-images", type=int, default=5000)
    cut.add_argument("--size", type=int, default=64, help="pixels a side of the decoded images (64)")
    cut.add_argument("--loads", type=int, default=3)
    cut.add_argument("--out", type=Path, default=Path("runs/gpu"))
    join = _add(commands, "join", _join, "here: parts as files again, if all bytes are the same")
    join.add_argument("parts", type=Path, help="folder")
    join.add_argument("out", type=Path, help="folder")


def _add_there(commands: Any) -> None:
    decode = _add(commands, "decode", _decode, "there: decodes one load into the run's folder")
    decode.add_argument("load", type=Path)
    decode.add_argument("folder", type=Path, metavar="RUN")
    decode.add_argument("--workers", type=int, default=1)
    help = "there: compiles one model at one size into the compiler's cache; options of `explorer train` may follow"
    warm = _add(commands, "warm", _warm, help, passes=True)
    warm.add_argument("operator")
    warm.add_argument("pixels", type=int)
    warm.add_argument("--class-count", type=int, default=200)
    help = "there: trains the pair by the clock; options of `explorer train` may follow"
    train = _add(commands, "train", _train, help, passes=True)
    train.add_argument("folder", type=Path, metavar="RUN")
    train.add_argument("out", type=Path, metavar="OUT", help="for what travels home")
    train.add_argument("--minutes", type=float, default=7.0, help="from now to the last checkpoint (7)")
    train.add_argument("--steps", type=int, nargs=2, metavar=("TRUNK", "DECAY"), help="counted instead: a dry run")
    train.add_argument("--eager", action="store_true", help="compile nothing")
    back = _add(commands, "home", _home, "there: puts a model's checkpoint into parts, in place of its small copy")
    back.add_argument("folder", type=Path, metavar="RUN")
    back.add_argument("model")
    back.add_argument("out", type=Path, metavar="OUT")


def _cut(options: argparse.Namespace, _: list[str]) -> None:
    from docs.gpu import loads
    from explorer.cli import train

    sources = loads.Sources(options.train, options.val, options.classes, options.init, options.add)
    revision = train._revision()
    for folder in loads.cut(sources, options.out, options.loads, options.val_images, options.size, revision):
        print(f"{folder}: {loads.weigh(folder) / 2**20:.1f} MiB")


def _decode(options: argparse.Namespace, _: list[str]) -> None:
    from docs.gpu import loads

    count = loads.decode(options.load, options.folder, options.workers)
    print(f"{options.load.name}: {count} pieces are decoded after {time.monotonic() - _BEGAN:.1f} s.")


def _warm(options: argparse.Namespace, extra: list[str]) -> None:
    from docs.gpu import timed

    seconds = timed.warm(options.operator, options.pixels, options.class_count, extra)
    print(f"{options.operator} at {options.pixels} px is compiled after {seconds:.1f} s.")


def _train(options: argparse.Namespace, extra: list[str]) -> None:
    from docs.gpu import timed

    steps = tuple(options.steps) if options.steps else None
    process = timed.train(options.folder, options.out, _BEGAN + 60 * options.minutes, steps, extra, options.eager)
    print(f"{process.summary()} The command took {time.monotonic() - _BEGAN:.0f} s.")


def _home(options: argparse.Namespace, _: list[str]) -> None:
    from docs.gpu import timed

    path = timed.checkpoint(options.folder, options.model)
    home.drop(timed.copy_name(options.model), options.out)
    home.split(path.read_bytes(), path.name, options.out)
    print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB")


def _join(options: argparse.Namespace, _: list[str]) -> None:
    for path in home.join(options.parts, options.out):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
