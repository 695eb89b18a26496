"""timm's vision transformers under a filter: the architectures, one traced pass, weights from files, hub and DINOv2."""

from explorer.models.checkpoints import (
    LoadedModel,
    in_bfloat16,
    load,
    with_filter,
    with_packed_layers,
    with_quicker_layers,
)
from explorer.models.registry import ARCHITECTURES, create, twicing_in, uniform_filter

__all__ = [
    "ARCHITECTURES",
    "LoadedModel",
    "create",
    "in_bfloat16",
    "load",
    "twicing_in",
    "uniform_filter",
    "with_filter",
    "with_packed_layers",
    "with_quicker_layers",
]
