"""Which engine is used: the one inside this process, or Ray's, which `EXPLORER_ENGINE` or `--engine` asks for."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch

from explorer.models import LoadedModel
from explorer.serving.engine import Engine, LocalEngine
from explorer.serving.names import VARIABLE, EngineName


def engine_name(asked: str | None = None) -> EngineName:
    """The one asked for, else the environment's, else local. Raises `ExplorerError` for one there is not."""
    return EngineName.called(asked or os.environ.get(VARIABLE, "").strip() or EngineName.LOCAL)


def engine_of(
    models: Iterable[LoadedModel], device: torch.device, *, name: str | None = None, cache_bytes: int | None = None
) -> Engine:
    """An engine with these models, which are on the device. Raises `ExplorerError` where it cannot be had.

    Ray's takes them to its replicas, whose device counts, whatever the one here is.
    """
    if engine_name(name) is EngineName.RAY:
        from explorer.serving.remote.cluster import ray_here

        ray_here()
        from explorer.serving.remote.engine import RayEngine

        return RayEngine(models, cache_bytes=cache_bytes)
    return LocalEngine(models, device, cache_bytes=cache_bytes)
