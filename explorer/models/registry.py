"""The architectures the explorer knows, as a literal table, and how to build one.

DeiT: "Training data-efficient image transformers & distillation through attention", https://arxiv.org/abs/2012.12877
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import timm
from timm.models.vision_transformer import VisionTransformer

from explorer.models.twicing import FilteredAttention, set_filter
from explorer.types import STANDARD, TWICING, ExplorerError, Filter, Size


@dataclass(frozen=True)
class Architecture:
    """One row of the table: a timm entry point and what differs from it."""

    title: str
    timm_name: str
    input_size: Size = (224, 224)
    depth: int = 12
    options: Mapping[str, Any] = field(default_factory=dict)


ARCHITECTURES: Mapping[str, Architecture] = {
    "deit_tiny_patch16_224": Architecture("DeiT-Tiny", "deit_tiny_patch16_224"),
    "deit_small_patch16_224": Architecture("DeiT-Small", "deit_small_patch16_224"),
    "deit_base_patch16_224": Architecture("DeiT-Base", "deit_base_patch16_224"),
    # DeiT-Tiny's body on small images: what a CPU can train.
    "deit_tiny_patch8_64": Architecture(
        "DeiT-Tiny/8 64px", "deit_tiny_patch16_224", (64, 64), options={"img_size": 64, "patch_size": 8}
    ),
}


def architecture(name: str) -> Architecture:
    """The row of the table called `name`."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        known = ", ".join(ARCHITECTURES)
        raise ExplorerError(f"Expected an architecture out of {known}; {name!r} came.") from None


def uniform_filter(depth: int, a: float) -> Filter:
    """The same coefficient in every block."""
    return (float(a),) * depth


def twicing_in(depth: int, first: int, last: int) -> Filter:
    """Twicing in blocks `first` to `last` (1-based, inclusive, as the paper writes `[10-12]`), standard elsewhere."""
    if not 1 <= first <= last <= depth:
        raise ExplorerError(f"Expected 1 <= first <= last <= {depth} blocks; [{first}-{last}] came.")
    return tuple(TWICING if first <= block <= last else STANDARD for block in range(1, depth + 1))


def create(name: str, num_classes: int, filter: Filter, **options: Any) -> VisionTransformer:
    """A freshly initialised model with the given filter; `options` go to timm (stochastic depth, dynamic size).

    The weights are random: whoever shows the model to people loads a checkpoint first.
    """
    row = architecture(name)
    model = timm.create_model(
        row.timm_name, num_classes=num_classes, attn_layer=FilteredAttention, **{**row.options, **options}
    )
    vit = cast(VisionTransformer, model)
    set_filter(vit, filter)
    return vit
