"""What all commands share."""

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
