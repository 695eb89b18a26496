"""timm's attention with one changed step: `A V` becomes `U = E V + E_0 V^1`, by the block's operator.

The standard one is timm's own forward, untouched; twicing is Twicing Attention (paper Def. 2, Alg. 1). Operators add no
parameters, so state dicts are interchangeable: which operator belongs to which weights must be declared. But for
differential attention, whose weights are its own: it is refused on others, and every other kernel on them.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers import Attention, AttentionRope, DiffAttention
from timm.layers.attention import resolve_self_attn_mask
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaAttention
from torch import Tensor, nn

from explorer.models.fan import TokenMixing
from explorer.paper import kernels, operators
from explorer.paper.filters import Smooth
from explorer.paper.kernels import KERNELS
from explorer.types import DIFFERENTIAL, STANDARD, ExplorerError, Operator, Operators

HeadTensor = Float[Tensor, "batch head token channel"]
QueryTensor = Float[Tensor, "batch _ token _"]
"""Or keys: in differential attention of twice as many heads, with half the channels."""
Tokens = Float[Tensor, "batch token dim"]


class _Pass(threading.local):
    """What blocks leave for later ones in the plain pass of this thread; the last block lets go of it."""

    first: HeadTensor | None = None
    before: HeadTensor | None = None


_passing = _Pass()


class Filtered(nn.Module):
    """Makes `U = E V + E_0 V^1` by the block's operator, where timm's own makes `A V`; mixed into timm's classes."""

    own: ClassVar[Operator] = STANDARD
    """What timm's own forward applies."""
    operator: Operator = STANDARD
    layer: int = 0
    carries: bool = False
    """Whether any block of the model uses values of another, so that all leave theirs."""
    is_last: bool = False

    def forward(
        self, x: Tokens, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tokens:
        """Dropout acts on `A` once, so all applications of `A` see the same dropped matrix."""
        attn: Any = self
        if self.operator == self.own and not self.carries:
            rotary = {} if rope is None else {"rope": rope}
            standard: Tensor = super().forward(x, attn_mask=attn_mask, is_causal=is_causal, **rotary)
            return standard
        q, k, v = queries_keys_values(attn, x, rope)
        before = _passing.before if self.carries and self.layer else None
        if self.carries and not self.layer:
            _passing.first = v
        is_fused = attn.fused_attn and KERNELS[self.operator.kernel].is_fused
        if is_fused and not (self.training and attn.attn_drop.p > 0.0):
            masked: dict[str, Any] = {"attn_mask": attn_mask, "is_causal": is_causal}
            if self.operator.kernel == "elliptical":
                q = kernels.stretched(q, v, before)
            smooth: Smooth = lambda values: F.scaled_dot_product_attention(q, k, values, **masked)  # noqa: E731
        else:
            bias = resolve_self_attn_mask(x.shape[1], q, attn_mask, is_causal)
            matrix = attn.attn_drop(matrix_of(attn, self.operator, q, k, v, before, bias))
            smooth = matrix.matmul
        u = operators.output(self.operator, self.layer, smooth, v, _passing.first)
        if self.carries:
            _passing.before = v
            if self.is_last:
                _passing.first = _passing.before = None
        return project(attn, u, x)


class FilteredAttention(Filtered, Attention):  # type: ignore[misc]  # takes rope as well, which is None here
    """Of ViT, DeiT, DINOv2, CLIP, SigLIP: one `qkv`, optional norms of queries and keys, gate, norm of joined heads."""


class FilteredEvaAttention(Filtered, EvaAttention):
    """Of EVA and DINOv3: rotary position embedding, separate biases or projections."""


class FilteredAttentionRope(Filtered, AttentionRope):
    """Of timm's other rotary transformers; may share keys and values between heads."""


class FilteredDiffAttention(Filtered, DiffAttention):  # type: ignore[misc]  # as above
    """Of timm's transformers with differential attention, whose values have twice the channels of queries and keys."""

    own = operator = DIFFERENTIAL

    def queries_keys_values(self, x: Tokens) -> tuple[QueryTensor, QueryTensor, HeadTensor]:
        """Two heads of queries and keys for each of the values."""
        heads = (2 * self.num_heads, 2 * self.num_heads, self.num_heads)
        q, k, v = (
            part.unflatten(-1, (each, -1)).transpose(1, 2)
            for part, each in zip(self.qkv(x).chunk(3, dim=2), heads, strict=True)
        )
        return self.q_norm(q), self.k_norm(k), v


class FilteredTokenMixing(Filtered, TokenMixing):  # type: ignore[misc]  # as above
    """Of FAN, over the patches alone."""


FILTERED: dict[type[nn.Module], type[Filtered]] = {
    Attention: FilteredAttention,
    EvaAttention: FilteredEvaAttention,
    AttentionRope: FilteredAttentionRope,
    DiffAttention: FilteredDiffAttention,
    TokenMixing: FilteredTokenMixing,
}


def make_filtered(model: nn.Module) -> None:
    """Turns every block's attention into its filtered kind, with the standard operator; weights stay where they are.

    Raises `ExplorerError` naming the model, or the first block and its attention, that is not of a known kind.
    """
    blocks: Any = getattr(model, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList):
        raise ExplorerError(f"A transformer with a list of blocks was expected; {type(model).__name__} has none.")
    for number, block in enumerate(blocks, start=1):
        attn = getattr(block, "attn", None)
        if type(attn) not in FILTERED:
            came = "no attn of its own" if attn is None else _named(type(attn))
            known = ", ".join(map(_named, FILTERED))
            raise ExplorerError(f"An attn out of {known} was expected in every block; block {number} has {came}.")
    for block in blocks:
        # The kinds differ in `forward` alone, so changing the class keeps parameters, their names and timm's set-up.
        block.attn.__class__ = FILTERED[type(block.attn)]  # type: ignore[index]


def _named(kind: type) -> str:
    """The class with its module, because timm has several called Attention and Block."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


def queries_keys_values(
    attn: Any, x: Tokens, rope: Tensor | None = None
) -> tuple[QueryTensor, QueryTensor, HeadTensor]:
    """QueryTensor, keys and values of the normalised tokens `x`, as timm's attentions compute them.

    Those of differential attention have two heads of queries and keys for each of the values.
    """
    batch, tokens, _ = x.shape
    if isinstance(attn, FilteredDiffAttention | FilteredTokenMixing):
        return attn.queries_keys_values(x)
    if attn.qkv is not None:
        if getattr(attn, "q_bias", None) is None:
            qkv = attn.qkv(x)
        else:
            qkv = F.linear(x, attn.qkv.weight, torch.cat((attn.q_bias, attn.k_bias, attn.v_bias)))
        qkv = qkv.reshape(batch, tokens, 3, attn.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, N, d) each
    else:
        projections = (attn.q_proj, attn.k_proj, attn.v_proj)
        q, k, v = (linear(x).unflatten(-1, (-1, attn.head_dim)).transpose(1, 2) for linear in projections)
    q, k = attn.q_norm(q), attn.k_norm(k)
    if rope is not None:
        prefix, half = attn.num_prefix_tokens, getattr(attn, "rotate_half", False)
        q, k = (
            torch.cat([h[:, :, :prefix], apply_rot_embed_cat(h[:, :, prefix:], rope, half=half)], dim=2).type_as(v)
            for h in (q, k)
        )
    groups = getattr(attn, "num_kv_groups", 1)
    return (q, k, v) if groups == 1 else (q, k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1))


def matrix_of(
    attn: Any,
    operator: Operator,
    q: QueryTensor,
    k: QueryTensor,
    v: HeadTensor,
    before: HeadTensor | None,
    bias: Tensor | None = None,
    **memory: Tensor | None,
) -> Float[Tensor, "batch head query key"]:
    """`A` of a block, as in `operators.matrix_of`, with what its weights say of it."""
    weight = attn._compute_lambda().type_as(q) if isinstance(attn, FilteredDiffAttention) else None
    return operators.matrix_of(operator, q, k, attn.scale, v, before, bias, weight=weight, **memory)


def project(attn: Any, u: HeadTensor, x: Tokens) -> Tokens:
    """Joins the heads, applies their norm, the gate computed from `x` and the output projection.

    Each head of differential attention is normalised before, by the root of its mean square.
    """
    if isinstance(attn, FilteredDiffAttention):
        u = attn.sub_norm(u) * (1 - attn.lambda_init)
    joined = attn.norm(u.transpose(1, 2).flatten(2))
    if getattr(attn, "gate", None) is not None:
        joined = joined * attn.gate(x).sigmoid()
    projected: Tensor = attn.proj_drop(attn.proj(joined))
    return projected


def attention_of(block: nn.Module) -> Filtered:
    """The attention of a block of a model that was made filtered.

    Raises `ExplorerError` for any other attention.
    """
    if not isinstance(block.attn, Filtered):
        raise ExplorerError(f"Expected a filtered attention; {type(block.attn).__name__} came.")
    return block.attn


def set_filter(model: nn.Module, chosen: Operators) -> None:
    """Declares the operator of every block of a model that was made filtered.

    Raises `ExplorerError` for another number of them than blocks, and for one that does not go with a block.
    """
    check_operators(model, chosen)
    blocks: Any = model.blocks
    carries = needs_other_values(chosen)
    for layer, (block, operator) in enumerate(zip(blocks, chosen, strict=True)):
        attn = attention_of(block)
        attn.operator, attn.layer, attn.carries, attn.is_last = operator, layer, carries, layer == len(blocks) - 1


def check_operators(model: nn.Module, chosen: Operators) -> None:
    """Raises `ExplorerError` for another number of operators than blocks, and for one that does not go with a block."""
    blocks: Any = model.blocks
    if len(chosen) != len(blocks):
        raise ExplorerError(f"An operator is needed for each of the {len(blocks)} blocks; {len(chosen)} came.")
    for number, (block, operator) in enumerate(zip(blocks, chosen, strict=True), start=1):
        operators.check(operator)
        attn, kernel = attention_of(block), KERNELS[operator.kernel]
        if operator.kernel != attn.own.kernel and KERNELS[attn.own.kernel].has_own_weights:
            raise ExplorerError(
                f"The weights of block {number} are of {attn.own.kernel} attention and go with no other; "
                f"{operator} came."
            )
        if operator.kernel != attn.own.kernel and kernel.has_own_weights:
            raise ExplorerError(
                f"{kernel.title} attention goes with weights that were trained with it; those of block {number} have "
                "no place for it."
            )
        if not kernel.takes_rotary and isinstance(attn, FilteredEvaAttention | FilteredAttentionRope):
            raise ExplorerError(
                f"{kernel.title} attention goes with queries and keys that are not rotated; those of block {number} "
                "are."
            )


def needs_other_values(chosen: Operators) -> bool:
    """Whether any block uses the values of another."""
    return operators.needs_first_values(chosen) or any(KERNELS[each.kernel].needs_values_before for each in chosen)


def get_filter(model: nn.Module) -> Operators:
    """The operator of every block."""
    blocks: Any = model.blocks
    return tuple(attention_of(block).operator for block in blocks)
