"""One traced forward pass: the only file that touches a model's internals.

The pass walks the model's own modules in timm's order and writes what the views need into memory the trace owns.
There are no hooks to forget and nothing is left behind in the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor

from explorer import operators
from explorer.models.twicing import FilteredAttention, attention_of, get_filter, project, queries_keys_values
from explorer.types import ExplorerError, Filter, Size, Trace


@dataclass(frozen=True)
class Geometry:
    """Sizes of a model's trace."""

    depth: int
    heads: int
    tokens: int
    channels: int
    dim: int
    classes: int
    grid: Size
    prefix: int
    filter: Filter

    @property
    def nbytes(self) -> int:
        """Bytes of one float32 trace."""
        attention = self.depth * self.heads * self.tokens**2
        values = self.depth * self.heads * self.tokens * self.channels
        stream = (self.depth + 1) * self.tokens * self.dim
        return 4 * (attention + values + stream + self.classes)


def geometry(model: VisionTransformer) -> Geometry:
    """Sizes of the trace this model leaves.

    Raises `ExplorerError` naming the first block whose attention the traced pass does not reproduce.
    """
    for number, block in enumerate(model.blocks, start=1):
        if type(block) is not Block:
            raise ExplorerError(f"Block {number} is a {type(block).__name__}; the explorer traces timm's Block only.")
        if not isinstance(block.attn, FilteredAttention) or block.attn.gate is not None:
            gate = " with a gate" if getattr(block.attn, "gate", None) is not None else ""
            raise ExplorerError(
                f"Block {number} has {type(block.attn).__name__}{gate}; the explorer traces FilteredAttention only, "
                "without a gate."
            )
    attn = attention_of(model.blocks[0])
    height, width = model.patch_embed.grid_size
    return Geometry(
        depth=len(model.blocks),
        heads=attn.num_heads,
        tokens=height * width + model.num_prefix_tokens,
        channels=attn.head_dim,
        dim=model.embed_dim,
        classes=model.num_classes,
        grid=(height, width),
        prefix=model.num_prefix_tokens,
        filter=get_filter(model),
    )


@torch.inference_mode()
def trace(model: VisionTransformer, images: Float[Tensor, "image 3 height width"]) -> list[Trace]:
    """Runs the images in one batched pass and returns a trace of each.

    Logits equal the untraced model's (tested within 1e-5 of the largest logit in float32, 1e-10 in float64).
    """
    if model.training:
        raise ExplorerError("Expected a model in eval mode; a model in training mode came.")
    sizes = geometry(model)
    expected = tuple(model.patch_embed.img_size)
    if tuple(images.shape[-2:]) != expected:
        raise ExplorerError(f"Expected images of {expected} pixels; {tuple(images.shape[-2:])} came.")
    traces = [_empty(sizes, images) for _ in images]
    x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))  # (B, N, D)
    _keep(traces, "tokens", 0, x)
    for layer, block in enumerate(cast(Sequence[Block], model.blocks)):
        attn = attention_of(block)
        q, k, v = queries_keys_values(attn, block.norm1(x))  # (B, H, N, d)
        attention = operators.attention(q, k, attn.scale)  # (B, H, N, N)
        u = operators.apply_filter(attention, v, attn.a)  # (B, H, N, d)
        x = x + block.ls1(project(attn, u))
        x = x + block.ls2(block.mlp(block.norm2(x)))
        _keep(traces, "attention", layer, attention)
        _keep(traces, "values", layer, v)
        _keep(traces, "tokens", layer + 1, x)
    logits = model.forward_head(model.norm(x))
    for image, one in enumerate(traces):
        one.logits.copy_(logits[image])
    return traces


def _empty(sizes: Geometry, like: Tensor) -> Trace:
    """A trace in one contiguous block: one allocation is quicker than many small ones."""
    shapes = (
        (sizes.depth, sizes.heads, sizes.tokens, sizes.tokens),
        (sizes.depth, sizes.heads, sizes.tokens, sizes.channels),
        (sizes.depth + 1, sizes.tokens, sizes.dim),
        (sizes.classes,),
    )
    lengths = [math.prod(shape) for shape in shapes]
    block = torch.empty(sum(lengths), dtype=like.dtype, device=like.device)
    attention, values, tokens, logits = (
        part.view(shape) for part, shape in zip(block.split(lengths), shapes, strict=True)
    )
    return Trace(attention, values, tokens, logits, sizes.grid, sizes.prefix, sizes.filter)


def _keep(traces: list[Trace], what: str, layer: int, batch: Tensor) -> None:
    for image, one in enumerate(traces):
        getattr(one, what)[layer].copy_(batch[image])
