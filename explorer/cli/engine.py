"""The option that says where models compute."""

from __future__ import annotations

import argparse

from explorer.serving.names import VARIABLE, EngineName


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Declares `--engine`."""
    choices = "; ".join(f"{name}: {name.label}" for name in EngineName)
    parser.add_argument(
        "--engine",
        metavar="NAME",
        choices=[*map(str, EngineName)],
        help=f"where models compute, {choices}; else what {VARIABLE} says, else local",
    )
