"""One traced forward pass: the only file that touches a model's internals.

The pass walks the model's own modules in timm's order and writes what the views need into memory the trace owns.
There are no hooks to forget and nothing is left behind in the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, ResPostBlock, VisionTransformer
from torch import Tensor, nn

from explorer.measures.attention import entropy as entropy_of_rows
from explorer.measures.attention import entropy_of_scores
from explorer.measures.residual import norms
from explorer.models import packed, room
from explorer.models.fan import Fan, FanBlock
from explorer.models.twicing import (
    Filtered,
    FilteredDiffAttention,
    HeadTensor,
    attention_of,
    check_operators,
    get_filter,
    matrix_of,
    project,
    queries_keys_values,
)
from explorer.paper import operators
from explorer.paper.kernels import KERNELS
from explorer.traces import RowMeasures, Trace
from explorer.types import ExplorerError, Filter, Operator, Size, prefix_names

Stream = Float[Tensor, "image token dim"]
Attend = Callable[[Stream], Stream]
"""What a block's attention makes of its input."""


@dataclass(frozen=True)
class Geometry:
    """Sizes of a model's trace."""

    depth: int
    heads: int
    tokens: int
    channels: int
    dim: int
    classes: int
    """Classes of the logits; of a model without a classifier, the features it ends in."""
    grid: Size
    prefix: int
    filter: Filter
    has_class_token: bool
    has_distillation_token: bool

    @property
    def prefix_names(self) -> tuple[str, ...]:
        return prefix_names(self.prefix, self.has_class_token, self.has_distillation_token)

    @property
    def nbytes(self) -> int:
        """Bytes of one float32 trace."""
        attention = self.depth * self.heads * self.tokens**2
        values = self.depth * self.heads * self.tokens * self.channels
        stream = (self.depth + 1) * self.tokens * self.dim
        rows = 3 * self.depth * self.heads * self.tokens
        return 4 * (attention + values + stream + self.classes + rows)


def _pre_norm(block: Any, x: Stream, attend: Attend) -> Stream:
    x = x + block.ls1(attend(block.norm1(x)))
    x = x + block.ls2(block.mlp(block.norm2(x)))
    return x


def _pre_norm_eva(block: Any, x: Stream, attend: Attend) -> Stream:
    x = x + _scaled(attend(block.norm1(x)), block.gamma_1)
    return x + _scaled(block.mlp(block.norm2(x)), block.gamma_2)


def _fan(block: Any, x: Stream, attend: Attend) -> Stream:
    x = x + block.gamma1 * attend(block.norm1(x))
    x = x + block.gamma2 * block.mlp(block.norm2(x))
    return x


def _post_norm(block: Any, x: Stream, attend: Attend) -> Stream:
    x = x + block.norm1(attend(x))
    x = x + block.norm2(block.mlp(x))
    return x


def _scaled(x: Stream, gamma: Tensor | None) -> Stream:
    return x if gamma is None else gamma * x


BLOCKS: dict[type[nn.Module], Callable[[Any, Stream, Attend], Stream]] = {
    Block: _pre_norm,
    ResPostBlock: _post_norm,
    EvaBlock: _pre_norm_eva,
    EvaBlockPostNorm: _post_norm,
    FanBlock: _fan,
}
"""The blocks that are reproduced, each with its equations."""

MODELS = (VisionTransformer, VisionTransformerDistilled, Eva, Fan)


def geometry(model: Any) -> Geometry:
    """Sizes of the trace this model leaves.

    Raises `ExplorerError` naming the model, or its first block, that the traced pass does not reproduce.
    """
    if type(model) not in MODELS:
        known = ", ".join(kind.__name__ for kind in MODELS)
        raise ExplorerError(f"The explorer traces {known}; {type(model).__name__} came.")
    for number, block in enumerate(model.blocks, start=1):
        if type(block) not in BLOCKS or not isinstance(block.attn, Filtered):
            known = ", ".join(kind.__name__ for kind in BLOCKS)
            came = f"a {type(block).__name__} with {type(getattr(block, 'attn', None)).__name__}"
            raise ExplorerError(f"The explorer traces {known} with a filtered attention; block {number} is {came}.")
    attn: Any = model.blocks[0].attn
    height, width = model.patch_embed.grid_size
    return Geometry(
        depth=len(model.blocks),
        heads=attn.num_heads,
        tokens=height * width + model.num_prefix_tokens,
        channels=attn.head_dim * (2 if isinstance(attn, FilteredDiffAttention) else 1),
        dim=model.embed_dim,
        classes=model.num_classes or model.head_hidden_size,
        grid=(height, width),
        prefix=model.num_prefix_tokens,
        filter=get_filter(model),
        has_class_token=model.cls_token is not None and not isinstance(model, Fan),  # which has it after its blocks
        has_distillation_token=isinstance(model, VisionTransformerDistilled),
    )


@torch.inference_mode()
def trace(
    model: Any, images: Float[Tensor, "image 3 height width"], filter: Filter | None = None, *, rows: bool = True
) -> list[Trace]:
    """Runs the images in one batched pass and returns a trace of each, under the model's own filter or another.

    Logits equal the untraced model's (tested within 1e-5 of the largest logit in float32, 1e-10 in float64). `rows`
    takes row measures, too: less work than computing them from the trace, for nothing where nobody asks for them.
    """
    if model.training:
        raise ExplorerError("Expected a model in eval mode; a model in training mode came.")
    sizes = geometry(model)
    if filter is not None:
        check_operators(model, filter)
        sizes = replace(sizes, filter=filter)
    expected = tuple(model.patch_embed.img_size)
    if tuple(images.shape[-2:]) != expected:
        raise ExplorerError(f"Expected images of {expected} pixels; {tuple(images.shape[-2:])} came.")
    room.check(sizes, expected[0] // sizes.grid[0], images.device)
    traces = [_empty(sizes, images, rows) for _ in images]
    # Of every block in turn, so that they stay in the processor's cache, as its matrix does while rows are measured.
    scores = images.new_empty(len(images), sizes.heads, sizes.tokens, sizes.tokens)  # (B, H, N, N)

    first: HeadTensor | None = None  # values of the first block, and of the one before
    before: HeadTensor | None = None

    def attending(attn: Any, layer: int, rope: Tensor | None) -> Attend:
        operator = sizes.filter[layer]

        def attend(x: Stream) -> Stream:
            nonlocal first, before
            q, k, v = queries_keys_values(attn, x, rope)  # (B, H, N, d)
            if first is None:
                first = v
            # The matrix of a single image is computed where it is kept; of a batch, it is copied to each trace.
            own = traces[0].attention[layer, None] if len(traces) == 1 else None
            attention = matrix_of(attn, operator, q, k, v, before, scores=scores, out=own)
            if own is None:
                _keep(traces, "attention", layer, attention)
            _keep(traces, "values", layer, v)
            steps = None
            if rows:
                steps = operators.smoothing_steps(attention, v)  # (B, H, N, d) each
                entropy = _entropy(operator, attention, scores)
                _keep_rows(traces, layer, RowMeasures(entropy, *norms(*steps)))
            u = operators.output(operator, layer, attention.matmul, v, first, steps)
            before = v
            return project(attn, u, x)

        return attend

    x, ropes = embed(model, images)  # (B, N, D)
    _keep(traces, "tokens", 0, x)
    for layer, (block, rope) in enumerate(zip(model.blocks, ropes, strict=False)):
        x = BLOCKS[type(block)](block, x, attending(attention_of(block), layer, rope))
        _keep(traces, "tokens", layer + 1, x)
    logits = answer(model, x)
    for image, of_image in enumerate(traces):
        of_image.logits.copy_(logits[image])
    if isinstance(model, Fan):
        maps = model.class_attention(x)
        return [replace(each, class_attention=of.clone()) for each, of in zip(traces, maps, strict=True)]
    return traces


def answer(model: Any, tokens: Stream) -> Float[Tensor, "image class"]:
    """The logits that a model makes of the tokens after its last block."""
    logits: Tensor = model.forward_head(model.joined(tokens) if isinstance(model, Fan) else model.norm(tokens))
    return logits


@torch.inference_mode()
def states(model: Any, images: Float[Tensor, "image 3 height width"]) -> Iterator[Stream]:
    """The tokens of the images after the embedding and after every block, at the cost of a plain forward pass."""
    x, ropes = embed(model, images)
    yield x
    for block, rope in zip(model.blocks, ropes, strict=False):
        x = block(x) if rope is None else block(x, rope=rope)
        yield x


@dataclass(frozen=True)
class ModelSize:
    """What a model costs: its parameters, and the multiply-adds of one image, filters included."""

    parameters: int
    multiply_adds: int
    packed: int = 0
    """Bytes of the second copy of its linear layers' weights, where it has one."""


def count(model: Any) -> ModelSize:
    """Counts the multiply-adds of matrix products and convolutions in a traced pass, as papers count FLOPs."""
    from torch.utils.flop_counter import FlopCounterMode  # imports a compiler

    first = next(model.parameters())
    image = torch.zeros(1, 3, *model.patch_embed.img_size, dtype=first.dtype, device=first.device)
    counter: Any = FlopCounterMode(display=False, custom_mapping=packed.FLOPS)
    counter.mod_tracker = _WholeModel()
    with counter:
        trace(model, image, rows=False)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return ModelSize(parameters, counter.get_total_flops() // 2, packed.nbytes(model))


class _WholeModel(nullcontext[None]):
    """Counts by no module. The counter's own tracker hooks into all passes of the process and breaks gradients."""

    parents = frozenset({"Global"})


def embed(model: Any, images: Tensor) -> tuple[Stream, Iterator[Tensor | None]]:
    """The embedded tokens, and the rotary position embedding of every block: none, the same, or its own."""
    if isinstance(model, Fan):
        return model.embed(images), itertools.repeat(None)
    embedded = model._pos_embed(model.patch_embed(images))
    tokens, rope = embedded if isinstance(model, Eva) else (embedded, None)
    if rope is not None and model.rope_mixed:
        return model.norm_pre(tokens), iter(rope)
    return model.norm_pre(tokens), itertools.repeat(rope)


def _empty(sizes: Geometry, like: Tensor, rows: bool) -> Trace:
    """A trace in one contiguous block: one allocation is quicker than many small ones."""
    shapes = (
        (sizes.depth, sizes.heads, sizes.tokens, sizes.tokens),
        (sizes.depth, sizes.heads, sizes.tokens, sizes.channels),
        (sizes.depth + 1, sizes.tokens, sizes.dim),
        (sizes.classes,),
        *((sizes.depth, sizes.heads, sizes.tokens),) * (3 if rows else 0),
    )
    lengths = [math.prod(shape) for shape in shapes]
    block = torch.empty(sum(lengths), dtype=like.dtype, device=like.device)
    attention, values, tokens, logits, *measured = (
        part.view(shape) for part, shape in zip(block.split(lengths), shapes, strict=True)
    )
    return Trace(
        attention,
        values,
        tokens,
        logits,
        grid=sizes.grid,
        prefix=sizes.prefix,
        filter=sizes.filter,
        has_class_token=sizes.has_class_token,
        has_distillation_token=sizes.has_distillation_token,
        rows=RowMeasures(*measured) if rows else None,
    )


def _entropy(operator: Operator, attention: Tensor, scores: Tensor) -> Tensor:
    kernel = KERNELS[operator.kernel]
    if kernel.is_signed:
        return torch.full_like(attention[..., 0], math.nan)
    return entropy_of_scores(attention, scores) if kernel.sums_to_one else entropy_of_rows(attention)


def _keep(records: Sequence[Trace | RowMeasures | None], name: str, layer: int, batch: Tensor) -> None:
    for image, record in enumerate(records):
        getattr(record, name)[layer].copy_(batch[image])


def _keep_rows(traces: Sequence[Trace], layer: int, batch: RowMeasures) -> None:
    for field in fields(RowMeasures):
        _keep([trace.rows for trace in traces], field.name, layer, getattr(batch, field.name))
