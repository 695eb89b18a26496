"""Whether a trace fits into memory, asked before a pass begins: it grows with the square of the patches."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from explorer import processes
from explorer.types import ExplorerError

if TYPE_CHECKING:
    from explorer.models.trace import Geometry

VARIABLE = "EXPLORER_TRACE_MIB"
"""The most that a trace of one image may take; by default a quarter of the memory, for a pair and its measures."""


def most(device: torch.device) -> int:
    """Bytes that a trace may take there. Raises `ExplorerError` for a variable that is no number."""
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        is_cuda = device.type == "cuda"
        return (torch.cuda.get_device_properties(device).total_memory if is_cuda else processes.memory()) // 4
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given)):
        raise ExplorerError(f"{VARIABLE} was expected to be a whole number of MiB from 1 on; {given[:40]!r} came.")
    return int(given) * 2**20


def check(sizes: Geometry, patch: int, device: torch.device) -> None:
    """Raises `ExplorerError`, with the largest square input that fits, for a trace that does not."""
    limit = most(device)
    if sizes.nbytes <= limit:
        return
    height, width = sizes.grid
    fits = next((side for side in range(max(sizes.grid), 0, -1) if at(sizes, side).nbytes <= limit), 0)
    best = f"an input of {fits * patch} px is the largest that fits" if fits else "none of any size fits"
    raise ExplorerError(
        f"A trace at {height}x{width} patches takes {sizes.nbytes / 2**20:,.0f} MiB and {limit / 2**20:,.0f} MiB are "
        f"allowed here ({VARIABLE}); {best}."
    )


def at(sizes: Geometry, side: int) -> Geometry:
    """The sizes of the same model with so many patches on a side."""
    return replace(sizes, grid=(side, side), tokens=side * side + sizes.prefix)
