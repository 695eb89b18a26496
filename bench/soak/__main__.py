"""Runs the attacks, writes bench/soak/results.json and the README's table; `--only class,studio` runs some of them."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path

from bench import soak
from bench.common import Row, explained
from bench.table import between, misses

RESULTS = Path(__file__).parent / "results.json"
README = Path(__file__).parents[2] / "README.md"


def main() -> int:
    """Runs, prints and writes; 1 where a bound was broken."""
    for module in pkgutil.iter_modules(soak.__path__):
        if module.name != "__main__":
            importlib.import_module(f"bench.soak.{module.name}")
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--only", default=",".join(soak.CASES), help="which cases to run")
    chosen = parser.parse_args().only.split(",")
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results = {name: before[name] for name in soak.CASES if name in before}
    for name in chosen:
        results[name] = [asdict(explained(row, before.get(name, []))) for row in soak.CASES[name]()]
        print(
            *(f"{name}: {row['name']}: {row['value']:g} {row['unit']}" for row in results[name]), sep="\n", flush=True
        )
    ordered = {name: results[name] for name in soak.CASES if name in results}
    RESULTS.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
    README.write_text(written(README.read_text(encoding="utf-8"), rows(ordered)), encoding="utf-8")
    return 0 if all(row.holds for row in rows({name: ordered[name] for name in chosen})) else 1


def rows(results: dict[str, list[dict[str, object]]]) -> list[Row]:
    """Of all cases, in order."""
    return [Row(**row) for case in results.values() for row in case]  # type: ignore[arg-type]


def table(results: list[Row]) -> str:
    """In Markdown, what broke its bound in bold, and why below."""
    lines = [
        f"| {row.name} | {text if row.holds else f'**{text}**'} | {'' if row.goal is None else f'{row.goal:g}'} |"
        for row in results
        for text in [f"{row.value:.3g} {row.unit}".strip()]
    ]
    return "\n\n".join(("\n".join(("| attack | | at most |", "|---|---|---|", *lines)), *misses(results)))


def written(text: str, results: list[Row]) -> str:
    """The README with the table between its marks."""
    return between(text, "soak", table(results))


if __name__ == "__main__":
    sys.exit(main())
