"""Gradient-weighted rollout on the matrix each block really applies.

Chefer, Gur & Wolf 2021, "Generic attention-model explainability", https://arxiv.org/abs/2103.15679, whose rule for
self-attention is `R <- R + mean_h(relu(G * A)) R` with `G` the gradient of the class's logit with respect to `A`.
Adapted: `A` becomes the effective `E`, an argument of its own, so `G = dy/dE` is the gradient with respect to
what meets `V`, not to what it was made of. Entries of `E` may be negative; one whose gradient is negative as well
speaks for the class and counts. With the standard operator everywhere it is the original rule.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.models.trace import BLOCKS, Attend, answer, embed, geometry
from explorer.models.twicing import attention_of, matrix_of, project, queries_keys_values
from explorer.paper import operators

HeadMatrix = Float[Tensor, "image head query key"]
Matrices = list[HeadMatrix]


def forward(
    module: Any, images: Float[Tensor, "image 3 height width"]
) -> tuple[Float[Tensor, "image class"], Matrices, list[HeadMatrix | None]]:
    """Logits, and `E` and `E_0` of every block as nodes of their graph, the latter None where there is none.

    `images` are normalised. The matrices are formed and applied, `E V + E_0 V^1`, so that a gradient with respect to
    them exists. Needs grad mode.
    """
    geometry(module)  # refuses what the walk does not reproduce
    kept: Matrices = []
    kept_of_first: list[HeadMatrix | None] = []
    first: Tensor | None = None  # values of the first block, and of the one before
    before: Tensor | None = None

    def attending(attn: Any, rope: Tensor | None) -> Attend:
        def attend(x: Tensor) -> Tensor:
            nonlocal first, before
            q, k, v = queries_keys_values(attn, x, rope)  # (B, H, N, d)
            first = v if first is None else first
            matrix = matrix_of(attn, attn.operator, q, k, v, before)  # (B, H, N, N)
            _, of_first = operators.polynomials(attn.operator, attn.layer)
            effective = _node(operators.effective(matrix, attn.operator, attn.layer))
            u = effective @ v  # (B, H, N, N) @ (B, H, N, d) -> (B, H, N, d)
            kept.append(effective)
            kept_of_first.append(None if of_first.is_zero else _node(of_first.matrix(matrix)))
            if (from_first := kept_of_first[-1]) is not None:
                u = u + from_first @ first
            before = v
            return project(attn, u, x)

        return attend

    x, ropes = embed(module, images)
    for block, rope in zip(module.blocks, ropes, strict=False):
        x = BLOCKS[type(block)](block, x, attending(attention_of(block), rope))
    return answer(module, x), kept, kept_of_first


def _node(matrix: HeadMatrix) -> HeadMatrix:
    """Where neither weights nor images ask for gradients, the graph starts here."""
    return matrix if matrix.requires_grad else matrix.requires_grad_()


def weighted_rollout(
    module: Any, images: Float[Tensor, "image 3 height width"], target: int
) -> Float[Tensor, "image token"]:
    """`r (I + C_L) ... (I + C_1) - r` with `C_l = mean_h relu(dy/dE_l * E_l)`; never negative.

    What `E_0` takes from the first block's values joins by the same rule: `R^l = (I + C_l) R^(l-1) + C_0l`, `R^0 = I`.

    `r` is the row of what the head reads: CLS, the mean of CLS and distillation token, or the mean of the patches.
    """
    with torch.enable_grad():
        logits, own, of_first = forward(module, images)
        there = [matrix for matrix in of_first if matrix is not None]
        gradients = iter(torch.autograd.grad(logits[:, target].sum(), [*own, *there]))
    start = readout(module, images.shape[0]).to(logits)  # (B, N)
    weighted = [_weighted(matrix, next(gradients)) for matrix in own]
    weighted_first = [None if matrix is None else _weighted(matrix, next(gradients)) for matrix in of_first]
    row = start[:, None]
    joining = torch.zeros_like(row)  # what reaches the first block's values past the blocks between
    for matrix, past in zip(reversed(weighted), reversed(weighted_first), strict=True):
        if past is not None:
            joining = joining + row @ past
        row = row + row @ matrix  # (B, 1, N) @ (B, N, N) -> (B, 1, N)
    return (row + joining)[:, 0] - start


def _weighted(matrix: HeadMatrix, gradient: HeadMatrix) -> Float[Tensor, "image query key"]:
    return torch.relu(gradient * matrix.detach()).mean(dim=1)


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
