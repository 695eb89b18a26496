"""Which engine is used: the one inside this process, or Ray's, which `EXPLORER_ENGINE` or `--engine` asks for."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from explorer.models import LoadedModel
from explorer.serving.engine import Engine, LocalEngine
from explorer.serving.names import EngineName, engine_name


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
