"""Gradient-weighted rollout on the matrix each block really applies.

Chefer, Gur & Wolf 2021, "Generic attention-model explainability", https://arxiv.org/abs/2103.15679, whose rule for
self-attention is `R <- R + mean_h(relu(G * A)) R` with `G` the gradient of the class's logit with respect to `A`.
Adapted: `A` becomes the effective `E = p_a(A)`, an argument of its own, so `G = dy/dE` is the gradient with respect to
what meets `V`, not to what it was made of. Entries of `E` may be negative; one whose gradient is negative as well
speaks for the class and counts. For `a = 1` everywhere it is the original rule.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.models.trace import BLOCKS, Attend, embed, geometry
from explorer.models.twicing import attention_of, project, queries_keys_values
from explorer.paper import operators

Matrices = list[Float[Tensor, "image head query key"]]


def forward(
    module: Any, images: Float[Tensor, "image 3 height width"]
) -> tuple[Float[Tensor, "image class"], Matrices]:
    """Logits, and the effective matrix of every block as a node of their graph; `images` are normalised.

    The matrices are formed and applied, `E V`, so that a gradient with respect to them exists. Needs grad mode.
    """
    geometry(module)  # refuses what the walk does not reproduce
    kept: Matrices = []

    def attending(attn: Any, rope: Tensor | None) -> Attend:
        def attend(x: Tensor) -> Tensor:
            q, k, v = queries_keys_values(attn, x, rope)  # (B, H, N, d)
            matrix = operators.effective(operators.attention(q, k, attn.scale), attn.a)  # (B, H, N, N)
            if not matrix.requires_grad:  # neither weights nor images ask for gradients: the graph starts here
                matrix.requires_grad_()
            kept.append(matrix)
            return project(attn, matrix @ v, x)  # (B, H, N, N) @ (B, H, N, d) -> (B, H, N, d)

        return attend

    x, ropes = embed(module, images)
    for block, rope in zip(module.blocks, ropes, strict=False):
        x = BLOCKS[type(block)](block, x, attending(attention_of(block), rope))
    return module.forward_head(module.norm(x)), kept


def weighted_rollout(
    module: Any, images: Float[Tensor, "image 3 height width"], target: int
) -> Float[Tensor, "image token"]:
    """`r (I + C_L) ... (I + C_1) - r` with `C_l = mean_h relu(dy/dE_l * E_l)`; never negative.

    `r` is the row of what the head reads: CLS, the mean of CLS and distillation token, or the mean of the patches.
    """
    with torch.enable_grad():
        logits, matrices = forward(module, images)
        gradients = torch.autograd.grad(logits[:, target].sum(), matrices)
    start = readout(module, images.shape[0]).to(logits)  # (B, N)
    row = start[:, None]
    for matrix, gradient in zip(reversed(matrices), reversed(gradients), strict=True):
        kept = torch.relu(gradient * matrix.detach()).mean(dim=1)  # (B, N, N)
        row = row + row @ kept  # (B, 1, N) @ (B, N, N) -> (B, 1, N)
    return row[:, 0] - start


def readout(module: Any, images: int) -> Float[Tensor, "image token"]:
    """Share of each token in what the classifier reads, attention pooling taken as the mean of the patches."""
    sizes = geometry(module)
    row = torch.zeros(images, sizes.tokens)
    if module.global_pool == "token":
        read = 2 if getattr(module, "dist_token", None) is not None else 1
        row[:, :read] = 1 / read
    else:
        row[:, sizes.prefix :] = 1 / (sizes.tokens - sizes.prefix)
    return row
