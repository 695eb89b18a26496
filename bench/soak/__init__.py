"""Attacks repeated for longer than a test may take, each against a fresh server.

A case is a function in a module of this folder, registered under a name; it returns rows with the bound that each has
to keep. `make soak` runs them and writes the table in the README.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.common import Row

Case = Callable[[], list[Row]]
CASES: dict[str, Case] = {}
"""By name, in the order in which they run."""


def case(name: str) -> Callable[[Case], Case]:
    """Registers a function as the case of this name."""

    def register(run: Case) -> Case:
        CASES[name] = run
        return run

    return register
