"""timm's Attention with one changed step: `A V` becomes `p_a(A) V = A V + (a - 1) A (V - A V)`.

`a = 1` is timm's own forward, untouched; `a = 2` is Twicing Attention (paper Def. 2, Alg. 1). The filter adds no
parameters, so state dicts of both are interchangeable: which filter belongs to which weights must be declared.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from timm.layers import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from explorer import operators
from explorer.types import STANDARD, ExplorerError, Filter

Heads = Float[Tensor, "batch head token channel"]
Stream = Float[Tensor, "batch token dim"]


class FilteredAttention(Attention):
    """Multi-head self-attention whose matrix is passed through the quadratic filter `p_a` before it meets `V`."""

    a: float = STANDARD

    def forward(self, x: Stream, attn_mask: Tensor | None = None, is_causal: bool = False) -> Stream:
        """Dropout acts on `A` once, so both applications of `A` see the same dropped matrix."""
        if self.a == STANDARD:
            standard: Tensor = super().forward(x, attn_mask=attn_mask, is_causal=is_causal)
            return standard
        if attn_mask is not None or is_causal:
            raise NotImplementedError("A filtered block takes no attention mask.")
        if self.gate is not None:
            raise NotImplementedError("A filtered block takes no attention gate.")
        q, k, v = queries_keys_values(self, x)
        if self.fused_attn and not (self.training and self.attn_drop.p > 0.0):
            smoothed = F.scaled_dot_product_attention(q, k, v)  # A V
            u = smoothed + (self.a - 1.0) * F.scaled_dot_product_attention(q, k, v - smoothed)
        else:
            attention = self.attn_drop(operators.attention(q, k, self.scale))
            u = operators.apply_filter(attention, v, self.a)
        return project(self, u)


def queries_keys_values(attn: Attention, x: Stream) -> tuple[Heads, Heads, Heads]:
    """Queries, keys and values of the normalised tokens `x`, as timm computes them."""
    batch, tokens, _ = x.shape
    qkv = attn.qkv(x).reshape(batch, tokens, 3, attn.num_heads, attn.head_dim).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.unbind(0)
    return attn.q_norm(q), attn.k_norm(k), v


def project(attn: Attention, u: Heads) -> Stream:
    """Concatenates the heads and applies the output projection."""
    batch, _, tokens, _ = u.shape
    joined = attn.norm(u.transpose(1, 2).reshape(batch, tokens, attn.attn_dim))
    projected: Tensor = attn.proj_drop(attn.proj(joined))
    return projected


def attention_of(block: nn.Module) -> FilteredAttention:
    """The attention of a block of a model built by `registry.create`.

    Raises `ExplorerError` for any other attention.
    """
    if not isinstance(block.attn, FilteredAttention):
        raise ExplorerError(f"Expected a filtered attention; {type(block.attn).__name__} came.")
    return block.attn


def set_filter(model: VisionTransformer, filter: Filter) -> None:
    """Declares the coefficient `a` of every block of a model built by `registry.create`."""
    if len(filter) != len(model.blocks):
        raise ExplorerError(
            f"A filter needs one coefficient for each of the {len(model.blocks)} blocks; {len(filter)} came."
        )
    for block, a in zip(model.blocks, filter, strict=True):
        attention_of(block).a = float(a)


def get_filter(model: VisionTransformer) -> Filter:
    """The coefficient `a` of every block."""
    return tuple(attention_of(block).a for block in model.blocks)
