"""What all commands share."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from explorer import cli
from tests.helpers import assert_one_sentence

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("command", "goes_on"), [("figure", False), ("similarity", True), ("train", True)])
def test_an_interrupt_while_libraries_are_imported_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, goes_on: bool
) -> None:
    def interrupted(name: str) -> None:
        assert name == command
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_import", interrupted)
    assert cli.main([command]) == 130
    printed = capsys.readouterr()
    assert printed.out == ""
    assert_one_sentence(printed.err.strip().removeprefix("explorer: "))
    assert ("goes on from there" in printed.err) == goes_on


def test_an_interrupt_in_the_middle_of_an_import_ends_the_process() -> None:
    """Whatever the library would have done with the exception."""
    code = """
import os, signal, sys
from explorer import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
def swallows(name):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        pass
cli._import = swallows
sys.exit(cli.command())
"""
    words = [sys.executable, "-c", code, "similarity", "folder", "--out", "x.csv"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    sentence = "explorer: Interrupted; what was written is whole, and the same command goes on from there.\n"
    assert (done.stdout, done.stderr) == ("", sentence)


def test_an_interrupt_at_the_very_end_prints_nothing() -> None:
    code = """
import atexit, os, signal, sys
from explorer import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
cli._run = lambda _: 0
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
sys.exit(cli.command())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_command_in_the_background_hears_no_interrupt() -> None:
    """A shell has its background ignore what is meant for its foreground."""
    code = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from explorer import cli
cli._import = lambda _: os.kill(os.getpid(), signal.SIGINT)
code = 0
try:
    code = cli.command()
finally:
    os.kill(os.getpid(), signal.SIGINT)
    print(code)
"""
    words = [sys.executable, "-c", code, "branch", "absent", "--steps", "5"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2\n")


def test_the_readme_lists_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("| command | |\n")[2].partition("\n\n")[0]
    listed = [name for row in table.splitlines() for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(cli._COMMANDS)


def test_help_waits_for_no_library_that_makes_anything() -> None:
    """In a process of its own: this one has imported them all."""
    code = """
import contextlib, io, sys
from explorer import cli
for command in cli._COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        cli.main([command, "--help"])
    assert "--help" in out.getvalue()
    heavy = "torch", "torchvision", "timm", "streamlit", "captum", "matplotlib", "plotly", "scipy", "pyarrow"
    print(command, *(name for name in heavy if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*cli._COMMANDS]
