"""What engines are called in the shell and in the environment; without torch, for the commands' help."""

from __future__ import annotations

import os

from explorer.settings import Option

VARIABLE = "EXPLORER_ENGINE"


class EngineName(Option):
    """Where models compute."""

    LOCAL = "local", "inside this process"
    RAY = "ray", "on the replicas that `twicing-explorer serve` keeps"


def engine_name(asked: str | None = None) -> EngineName:
    """The one asked for, else the environment's, else local. Raises `ExplorerError` for one there is not."""
    return EngineName.called(asked or os.environ.get(VARIABLE, "").strip() or EngineName.LOCAL)
