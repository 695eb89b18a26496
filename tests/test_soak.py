"""The driver of `make soak`: its cases are registered, its table says what broke a bound."""

import json
import sys
from pathlib import Path

import pytest

from bench import soak
from bench.common import Row
from bench.soak import __main__ as driver

MISSED = {"60 visitors at once: upload to maps, p99", "60 first visits to 10 pages, twice: longest answer"}
"""Bounds that two cores do not keep, in bold in the README: 20 and 16 s in place of 15."""


def test_cases_write_their_rows_and_a_broken_bound_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results.json"
    readme.write_text("before\n<!-- soak -->\nold\n<!-- end -->\nafter <!-- end -->\n", encoding="utf-8")
    monkeypatch.setattr(driver, "README", readme)
    monkeypatch.setattr(driver, "RESULTS", results)
    monkeypatch.setattr(soak, "CASES", dict(soak.CASES))
    soak.case("held")(lambda: [Row("waits", 1.5, "s", 2.0)])
    soak.case("broken")(lambda: [Row("errors", 1, "", 0)])
    monkeypatch.setattr(sys, "argv", ["soak", "--only", "held"])
    assert driver.main() == 0
    monkeypatch.setattr(sys, "argv", ["soak", "--only", "broken"])
    assert driver.main() == 1
    assert list(json.loads(results.read_text(encoding="utf-8"))) == ["held", "broken"]
    text = readme.read_text(encoding="utf-8")
    assert "| waits | 1.5 s | 2 |\n| errors | **1** | 0 |\n\nMissed, and why:\n\n- errors: not yet known why.\n" in text
    assert text.endswith("\n<!-- end -->\nafter <!-- end -->\n")
    assert "old" not in text
    assert {"class", "strangers", "studio"} <= set(soak.CASES)


def test_the_readme_has_the_table_of_the_last_run() -> None:
    readme = driver.README.read_text(encoding="utf-8")
    results = json.loads(driver.RESULTS.read_text(encoding="utf-8"))
    assert driver.written(readme, driver.rows(results)) == readme
    assert {row.name for row in driver.rows(results) if not row.holds} == MISSED
    assert all(row.holds or row.reason for row in driver.rows(results))
