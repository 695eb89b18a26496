"""`app`: what becomes of the process, and what is refused before."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from explorer import cli
from explorer.models.sources import PAIR_VARIABLE, opening, prefix
from explorer.places import SITE
from tests.helpers import assert_one_sentence


class BecomesError(Exception):
    """In place of the process's end: what it would have become."""


@pytest.fixture
def becomes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[str], Mapping[str, str]]]:
    """The commands and environments that this process would have become."""
    seen: list[tuple[Sequence[str], Mapping[str, str]]] = []

    def execve(path: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        assert path == command[0] == sys.executable
        seen.append((command[1:], environment))
        raise BecomesError

    monkeypatch.setattr(os, "execve", execve)
    return seen


def test_it_is_streamlit_with_the_options_given(becomes: list[tuple[Sequence[str], Mapping[str, str]]]) -> None:
    with pytest.raises(BecomesError):
        cli.main(["app", "--server.port", "8600", "--server.headless=true"])
    ((command, environment),) = becomes
    assert command == [
        *("-P", "-m", "streamlit", "run", str(SITE / "app.py")),
        *("--server.port", "8600", "--server.headless=true"),
    ]
    assert environment == dict(os.environ)


def test_the_pair_is_named_wherever_the_server_looks_for_it(
    becomes: list[tuple[Sequence[str], Mapping[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = prefix()
    monkeypatch.chdir(opening("standard").parent)
    monkeypatch.delenv(PAIR_VARIABLE)
    with pytest.raises(BecomesError):
        cli.main(["app", "--pair", beside.name])
    ((command, environment),) = becomes
    assert environment[PAIR_VARIABLE] == str(beside)
    assert "--pair" not in command


def test_the_engine_is_named_wherever_the_server_looks_for_it(
    becomes: list[tuple[Sequence[str], Mapping[str, str]]],
) -> None:
    with pytest.raises(BecomesError):
        cli.main(["app", "--engine", "ray"])
    ((command, environment),) = becomes
    assert environment["EXPLORER_ENGINE"] == "ray"
    assert "--engine" not in command


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_pair_that_is_not_there_is_one_sentence(
    by_variable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if by_variable:
        monkeypatch.setenv(PAIR_VARIABLE, str(tmp_path / "mine"))
    assert cli.main(["app", *(() if by_variable else ("--pair", str(tmp_path / "mine")))]) == 2
    said = capsys.readouterr().err.removeprefix("explorer: ")
    assert_one_sentence(said)
    assert said.startswith(PAIR_VARIABLE if by_variable else "--pair")
    assert str(tmp_path / "mine-standard.safetensors") in said


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "explorer", "app", "--server.port", port, "--server.headless=true"]
        done = subprocess.run(command, cwd=SITE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(f"Port {port} is not available")


def test_it_needs_no_torch_to_start_streamlit() -> None:
    code = "import os, sys; os.execve = lambda *given: print('torch' in sys.modules)\nfrom explorer import cli\n"
    command = [sys.executable, "-c", f"{code}cli.main(['app'])"]
    done = subprocess.run(command, cwd=SITE, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_other_commands_pass_nothing_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["keep", "run", "--out", "folder", "--server.port", "8600"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --server.port 8600" in capsys.readouterr().err


def test_usage_names_the_command_that_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for started, expected in (("/usr/bin/twicing-explorer", "twicing-explorer"), ("x.py", "python -m explorer")):
        monkeypatch.setattr(sys, "argv", [started])
        with pytest.raises(SystemExit):
            cli.main(["app", "--help"])
        assert capsys.readouterr().out.startswith(f"usage: {expected} app [-h]")
