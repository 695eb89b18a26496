"""The command line: the explorer in a browser, figures and measurements without one, training and evaluation."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from explorer.version import VERSION

_COMMANDS = {
    "app": ("app", "the explorer in a browser"),
    "serve": ("serve", "models for many visitors, on the GPUs and machines that Ray finds"),
    "figure": ("figure", "a figure for a paper, from images and two models"),
    "again": ("figure", "the figure that a JSON or PNG of the explorer describes"),
    "compare": ("figure", "maps, curves and an interactive page for each image"),
    "similarity": ("similarity", "token-similarity curves of a folder of images"),
    "attribute": ("attribute", "maps of what a class rests on, for images and two models"),
    "corruptions": ("corruptions", "what noise, blur and the like do to two models, as a table"),
    "robustness": ("robustness", "accuracy against the budget of an attack, over labelled images"),
    "train": ("train", "train models that differ in their operator alone, on the same batches"),
    "branch": ("train", "take a finished pair off a training run, which goes on"),
    "keep": ("train", "write a small copy of a training run, enough to go on from"),
    "import-weights": ("import_weights", "make weights of others, such as DINOv2's, a start for training"),
    "evaluate": ("evaluate", "accuracy of checkpoints and what a model card says of them"),
}
_CODES = "exit codes: 0 done, 1 done but for some images, 2 something is wrong and said, 130 interrupted"
_RESUMABLE = ("similarity", "corruptions", "robustness", "train")


def command() -> int:
    """`main` in a process of its own, which ends without a traceback whenever it is interrupted."""
    try:
        return main()
    except KeyboardInterrupt:  # a second one, while the first was said
        return 130
    finally:
        if _hears_interrupts():
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is written


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; errors a person can act on are one sentence on stderr and exit code 2."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as the output for errors: names of files may be no Unicode
    try:
        try:
            return _run(given)
        finally:
            sys.stdout.flush()  # here, where a disk that is full can be said
    except KeyboardInterrupt:
        print(_interrupted(given), file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in `| head`
        _write_no_more()
        return 141  # as a shell says of a program that wrote to a closed pipe
    except OSError as error:  # where nothing closer knows better, as on a full disk
        reason = os.strerror(error.errno) if error.errno else str(error)
        print(f"explorer: {f'{Path(str(error.filename)).name}: ' if error.filename else ''}{reason}.", file=sys.stderr)
        _write_no_more()
        return 2


def _interrupted(given: list[str]) -> str:
    goes_on = ", and the same command goes on from there" if {*given[:1]} & {*_RESUMABLE} else ""
    return f"explorer: Interrupted; what was written is whole{goes_on}."


def _write_no_more() -> None:
    """What Python would flush at its end goes nowhere, where it has come to nothing before."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(given: list[str]) -> int:
    name = given[0] if given else ""
    is_light = name == "app"  # becomes another process, so that this one needs no torch
    if name in _COMMANDS and not is_light and not {"-h", "--help"} & set(given):
        with _ending_at_once(given):
            _import(name)  # before anything that brings timm with all of it
    parser = _parser(name)
    options, passed_on = parser.parse_known_args(given)
    if passed_on and not is_light:
        parser.error(f"unrecognized arguments: {' '.join(passed_on)}")
    options.passed_on = passed_on
    run: Callable[[argparse.Namespace], int] = options.run
    if is_light:
        return run(options)
    from explorer.types import ExplorerError

    try:
        return run(options)
    except ExplorerError as error:
        print(f"explorer: {error}", file=sys.stderr)
        return 2


@contextmanager
def _ending_at_once(given: list[str]) -> Iterator[None]:
    """Within it, Ctrl-C ends the process with a sentence, whatever code it meets: nothing has been written yet.

    Raised as an exception in the middle of an import, some libraries swallow it or print it.
    """
    if not _hears_interrupts():
        yield
        return

    def end(*_: object) -> None:
        os.write(2, f"{_interrupted(given)}\n".encode())
        os._exit(130)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _hears_interrupts() -> bool:
    """Not in a thread, and not where a shell started the process in the background."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _import(command: str) -> None:
    from explorer import startup

    if command != "train":  # alone on its machine for hours, it may as well spin: steps were 4 to 10% shorter
        startup.few_spins()
    with startup.no_collecting():
        startup.import_timm()


def _parser(command: str) -> argparse.ArgumentParser:
    """Only the command that was asked for is imported. None brings torch, so that help is there at once."""
    started = Path(sys.argv[0]).name
    prog = started if started == "twicing-explorer" else "python -m explorer"
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, epilog=f"COMMAND --help says more; {_CODES}")
    parser.add_argument("--version", action="version", version=f"Twicing Explorer {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, help) in _COMMANDS.items():
        subparser = commands.add_parser(name, help=help)
        if name == command:
            getattr(import_module(f"explorer.cli.{module}"), f"add_{name.replace('-', '_')}")(subparser)
    return parser
