"""What engines are called in the shell and in the environment; without torch, for the commands' help."""

from __future__ import annotations

from explorer.settings import Option

VARIABLE = "EXPLORER_ENGINE"


class EngineName(Option):
    """Where models compute."""

    LOCAL = "local", "inside this process"
    RAY = "ray", "on the replicas that `twicing-explorer serve` keeps"
