"""A head's attention as an image filter over a photograph's patches, beside nonlocal means over the same patches.

Both are `A = D^-1 W` with positive `W`: `W_ij = exp(-|P_i - P_j|^2 / h^2)` of two patches, `exp(q_i . k_j / sqrt(d))`
of two tokens. The model applies `A` to the values of its layer; here both are applied to the patches' colours, which no
model does: a way to see what the weights mix. Keys that are no patch (CLS) have no colour: rows are renormalised over
the patches.

Paper Sec. 2.2 and 2.3; Nguyen et al., "Mitigating over-smoothing in transformers via regularized nonlocal functionals".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from explorer.lessons.nonlocal_means import FloatPicture
from explorer.paper import operators
from explorer.types import ExplorerError, Size

TokenMatrix = Float[np.ndarray, "query key"]
"""Rows sum to 1."""
Patches = Float[np.ndarray, "patch component"]
"""Patches or all pixels of patches, row by row over the grid."""

_REAL = 1e-7
"""Imaginary parts below this share of a modulus are rounding."""


@dataclass(frozen=True, eq=False)
class FilteredPatches:
    """Patches through one filter, step by step: the steps of twicing."""

    values: Patches
    """`V`."""
    smoothed: Patches
    """`A V`."""
    smoothed_residual: Patches
    """`A (V - A V)`."""

    @property
    def residual(self) -> Patches:
        """`V - A V`."""
        return np.asarray(self.values - self.smoothed)

    @property
    def likeness(self) -> float:
        """Correlation of `A V` with `V` over patches and channels, means over the patches taken off.

        1 where `A` only fades the picture, 0 where it makes another, below 0 where it turns light and dark around.
        """
        before, after = (patches - patches.mean(axis=0) for patches in (self.values, self.smoothed))
        length = float(np.linalg.norm(before) * np.linalg.norm(after))
        return float((before * after).sum()) / length if length else 0.0

    @property
    def twiced(self) -> Patches:
        """`2 A V - A^2 V`."""
        return np.asarray(self.smoothed + self.smoothed_residual)


@dataclass(frozen=True, eq=False)
class PatchFilter:
    """A matrix over the patches of a grid."""

    matrix: TokenMatrix
    grid: Size

    def apply(self, values: Patches) -> FilteredPatches:
        A, V = (torch.from_numpy(np.asarray(array, dtype=np.float64)) for array in (self.matrix, values))
        smoothed, correction = operators.smoothing_steps(A, V)
        return FilteredPatches(V.numpy(), smoothed.numpy(), correction.numpy())

    def row(self, y: int, x: int) -> Float[np.ndarray, "height width"]:
        """The weights of one query patch as a map; they sum to 1."""
        return np.asarray(self.matrix[y * self.grid[1] + x].reshape(self.grid))

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of `A`, by falling modulus; those of a matrix that is not symmetric may be complex."""
        eigenvalues = np.linalg.eigvals(self.matrix)
        return np.asarray(eigenvalues[np.argsort(-np.abs(eigenvalues))])

    @property
    def complex_count(self) -> int:
        """Eigenvalues off the real axis, up to rounding."""
        z = self.eigenvalues
        return int((np.abs(z.imag) > _REAL * np.maximum(np.abs(z), 1e-6)).sum())

    @property
    def negative_count(self) -> int:
        """Real eigenvalues below 0, up to rounding."""
        z = self.eigenvalues
        real = np.abs(z.imag) <= _REAL * np.maximum(np.abs(z), 1e-6)
        return int((real & (z.real < -1e-6)).sum())

    @property
    def breadth(self) -> float:
        """How many patches a row weighs: exp of its entropy, mean over rows; from 1 to the number of patches."""
        A = self.matrix
        return float(np.exp(-(A * np.log(np.maximum(A, 1e-300))).sum(axis=1)).mean())


def nonlocal_means(pixels: Patches, bandwidth: float, grid: Size) -> PatchFilter:
    """`A = D^-1 W`, `W_ij = exp(-|P_i - P_j|^2 / h^2)`, with the mean of squares over a patch's pixels and channels.

    `W` is symmetric and positive semidefinite, so that the spectrum of `A` is real and in [0, 1].
    """
    if not bandwidth > 0:
        raise ExplorerError(f"A bandwidth above 0 was expected; {bandwidth} came.")
    P = pixels.astype(np.float64)
    P = (P - P.mean(axis=0)) / np.sqrt(P.shape[1])  # distances do not change, and lose fewer digits
    squares = (P**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * P @ P.T, 0.0)
    np.fill_diagonal(distances, 0.0)
    W = np.exp(-distances / bandwidth**2)
    return PatchFilter(W / W.sum(axis=1, keepdims=True), grid)


def attention(matrix: TokenMatrix, prefix: int, grid: Size) -> PatchFilter:
    """A head's `A` between patches alone: queries and keys without the prefix tokens, rows renormalised.

    Raises `ExplorerError` where a patch gives no weight to any patch.
    """
    patches = matrix[prefix:, prefix:].astype(np.float64)
    total = patches.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise ExplorerError("Patches that attend to patches were expected; in this head one attends to none.")
    return PatchFilter(patches / total, grid)


def likenesses(
    attention_of_all: Float[np.ndarray, "layer head query key"], prefix: int, grid: Size, values: Patches
) -> Float[np.ndarray, "layer head"]:
    """`FilteredPatches.likeness` of every head. Raises `ExplorerError` as `attention` does."""
    by_layer = [[attention(head, prefix, grid).apply(values).likeness for head in layer] for layer in attention_of_all]
    return np.array(by_layer)


def prefix_weight(matrix: TokenMatrix, prefix: int) -> float:
    """What the patches' rows give to the prefix tokens, mean over patches: what renormalising leaves out."""
    return float(matrix[prefix:, :prefix].astype(np.float64).sum(axis=1).mean())


def cut(picture: FloatPicture, grid: Size) -> Patches:
    """A picture's patches, row by row, each as one vector of its pixels.

    Raises `ExplorerError` for a size that does not divide.
    """
    height, width, channels = picture.shape
    if height % grid[0] or width % grid[1]:
        raise ExplorerError(
            f"A picture that divides into {grid[0]} × {grid[1]} patches was expected; {height} × {width} px came."
        )
    side = height // grid[0], width // grid[1]
    apart = picture.reshape(grid[0], side[0], grid[1], side[1], channels)
    return apart.swapaxes(1, 2).reshape(grid[0] * grid[1], -1)


def mean_colours(pixels: Patches, channels: int = 3) -> Float[np.ndarray, "patch {channels}"]:
    """The mean colour of each patch."""
    return np.asarray(pixels.reshape(len(pixels), -1, channels).mean(axis=1))


def joined(patches: Patches, grid: Size, side: Size = (1, 1)) -> FloatPicture:
    """Patches of `side` pixels laid out on their grid: the inverse of `cut`, and for colours one pixel a patch."""
    apart = patches.reshape(*grid, *side, -1).swapaxes(1, 2)
    return np.ascontiguousarray(apart.reshape(grid[0] * side[0], grid[1] * side[1], -1))
