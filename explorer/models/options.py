"""What a declaration may change of timm's architecture: a short list of its options, each within limits.

What shapes can show of them is compared with the weights afterwards.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from explorer.models.weights import excerpt
from explorer.types import ExplorerError, Size

_LARGEST = 10_000
_Count = Annotated[int, Meta(ge=1, le=100)] | UnsetType
_Switch = bool | UnsetType


class TimmOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Options of timm's vision transformers, called as timm calls them."""

    img_size: Any = UNSET
    patch_size: _Count = UNSET
    depth: _Count = UNSET
    embed_dim: Annotated[int, Meta(ge=1, le=8192)] | UnsetType = UNSET
    num_heads: _Count = UNSET
    mlp_ratio: Annotated[float, Meta(gt=0, le=16)] | UnsetType = UNSET
    init_values: Annotated[float, Meta(gt=0, le=1)] | UnsetType | None = UNSET
    reg_tokens: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    class_token: _Switch = UNSET
    no_embed_class: _Switch = UNSET
    qkv_bias: _Switch = UNSET
    qk_norm: _Switch = UNSET
    pre_norm: _Switch = UNSET
    final_norm: _Switch = UNSET
    fc_norm: _Switch = UNSET
    global_pool: Literal["", "avg", "avgmax", "max", "token"] | UnsetType = UNSET


def read(declared: Any) -> dict[str, Any]:
    """The options that are declared, by name. Raises `ExplorerError` for others, and for values out of range."""
    try:
        options: dict[str, Any] = msgspec.to_builtins(msgspec.convert(declared, TimmOptions))
    except msgspec.ValidationError as error:
        known = ", ".join(TimmOptions.__struct_fields__)
        raise ExplorerError(f"options out of {known} were expected; {excerpt(str(error), 120)} came.") from None
    return options


def size_of(declared: Any) -> Size:
    """`(height, width)` out of one number for a square, or of two. Raises `ExplorerError` for anything else."""
    sides = declared if isinstance(declared, list | tuple) else (declared, declared)
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= _LARGEST for side in sides):
        raise ExplorerError(f"an input size such as 224 or [224, 224] was expected; {excerpt(str(declared), 40)} came.")
    return sides[0], sides[1]
