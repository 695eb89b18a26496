"""What all commands share."""

import re
from pathlib import Path

import pytest

from explorer import cli
from tests.helpers import assert_one_sentence


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


def test_the_readme_lists_every_command() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("| command | |\n")[2].partition("\n\n")[0]
    listed = [name for row in table.splitlines() for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(cli._COMMANDS)
