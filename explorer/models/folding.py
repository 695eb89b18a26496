"""A plain DeiT out of a vision transformer with LayerScale: exactly, but for patches and positions of another size.

LayerScale multiplies what a linear layer puts out by a learnt vector, and is folded into that layer:
`g (W x + b) = (diag(g) W) x + g b`. Patch embeddings are resampled by the pseudo-inverse of resizing, so that a resized
patch gives the same token (Beyer et al. 2023, https://arxiv.org/abs/2212.08013); positions bicubically and
without antialiasing, as DINOv2 itself does it. Before anything is resampled, `fold_error` and `graph_error` compare.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Attention, resample_abs_pos_embed, resample_patch_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from explorer.models import registry
from explorer.models.checkpoints import check_state
from explorer.models.dinov2 import PROJECTIONS, Dinov2, check_finite
from explorer.models.weights import State
from explorer.types import STANDARD, ExplorerError, Filter

FOLD_TOLERANCE = 1e-10
"""Of the largest value, in float64."""
GRAPH_TOLERANCE = 1e-5
"""Of the largest value, where the graph computes in float32."""
_SCALED = (("ls1.gamma", "attn.proj"), ("ls2.gamma", "mlp.fc2"))
_SMALL_GRID = 4
_KIND = "a vision transformer like DINOv2's"


class ProjectionsApart(nn.Module):
    """Softmax attention whose query, key and value have a layer each, as Hugging Face names them."""

    def __init__(self, dim: int, num_heads: int, **_: Any) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        layers = (self.query, self.key, self.value)
        q, k, v = (layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for layer in layers)  # (B, H, N, d)
        projected: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return projected


def check_fits(source: Dinov2, architecture: str) -> None:
    """Raises `ExplorerError` unless folding and resampling are all that separates `source` from the architecture."""
    target = registry.skeleton(architecture, 0, _standard(architecture))
    if type(target) is not VisionTransformer:
        raise ExplorerError(
            f"A DeiT with a class token alone was expected, such as deit_small_patch16_224; {architecture} came."
        )
    width, depth = target.embed_dim, len(target.blocks)
    if (source.width, source.depth) != (width, depth):
        raise ExplorerError(
            f"{architecture} has width {width} and {depth} blocks; {source.name} has width {source.width} and "
            f"{source.depth} blocks."
        )
    check_state(source.name, source.state, _unfolded_skeleton(source, target).state_dict(), _KIND)
    check_finite(source.name, source.state)


def fold(source: Dinov2) -> dict[str, Tensor]:
    """The weights without LayerScale, queries, keys and values in one layer, in float64; sizes stay the source's."""
    folded = {key: value.double() for key, value in source.state.items()}
    for block in (f"blocks.{number}." for number in range(source.depth)):
        for scale, layer in _SCALED:
            gamma = folded.pop(block + scale)
            folded[f"{block}{layer}.weight"] = gamma[:, None] * folded[f"{block}{layer}.weight"]
            folded[f"{block}{layer}.bias"] = gamma * folded[f"{block}{layer}.bias"]
        if source.has_projections_apart:
            for kind in ("weight", "bias"):
                parts = [folded.pop(f"{block}attn.{projection}.{kind}") for projection in PROJECTIONS]
                folded[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
    return folded


def resample(state: State, architecture: str) -> dict[str, Tensor]:
    """Patch embedding and positions of a folded state, of the sizes that the architecture has; all in float32."""
    target = registry.skeleton(architecture, 0, _standard(architecture)).patch_embed
    resampled = {key: value.float() for key, value in state.items()}
    resampled["patch_embed.proj.weight"] = resample_patch_embed(
        resampled["patch_embed.proj.weight"], list(target.patch_size)
    )
    resampled["pos_embed"] = _positions(resampled["pos_embed"], target.grid_size)
    return resampled


def fold_error(source: Dinov2, folded: State, architecture: str, seed: int = 0) -> float:
    """Relative error of the architecture with folded weights to the source as it is, on random pixels, in float64.

    Compared are all tokens after the final norm, at the source's own patch size and grid: the largest difference over
    the largest value. Raises `ExplorerError` where it exceeds `FOLD_TOLERANCE`, as it would if queries, keys and values
    were joined in another order than theirs.
    """
    target = _folded_skeleton(source, architecture)
    check_state(source.name, folded, target.state_dict(), architecture)
    side = source.patch * source.grid
    error = _error(
        _tokens(target, folded, _noise(side, side, seed)), unfolded_tokens(source, architecture, side, side, seed)
    )
    if not error <= FOLD_TOLERANCE:
        raise ExplorerError(
            f"{source.name}, folded, differs from itself by {error:.1e} of its largest value; at most "
            f"{FOLD_TOLERANCE:g} was expected."
        )
    return error


def graph_error(source: Dinov2, architecture: str, seed: int = 0) -> float | None:
    """Relative error of what was read from an ONNX graph to the graph itself; None for other files.

    Raises `ExplorerError` where it exceeds `GRAPH_TOLERANCE`, and where the graph cannot be run up to its final norm.
    """
    if source.graph is None:
        return None
    small = source.patch * min(source.grid, _SMALL_GRID)
    height, width = (small if side is None else side for side in source.graph.image_size)
    if height % source.patch or width % source.patch:
        raise ExplorerError(
            f"{source.name} takes images of {height}x{width}; whole patches of {source.patch} were expected."
        )
    expected = source.graph.tokens(source.final_norm, _noise(height, width, seed))
    tokens = unfolded_tokens(source, architecture, height, width, seed)
    if expected.shape != tokens.shape:
        raise ExplorerError(
            f"{source.name} was expected to put out tokens of shape {list(tokens.shape)}; "
            f"{list(expected.shape)[:8]} came."
        )
    error = _error(tokens, expected.double())
    if not error <= GRAPH_TOLERANCE:
        raise ExplorerError(
            f"The weights read from {source.name} give tokens that differ from its own by {error:.1e} of the largest "
            f"value; at most {GRAPH_TOLERANCE:g} was expected."
        )
    return error


def unfolded_tokens(source: Dinov2, architecture: str, height: int, width: int, seed: int = 0) -> Tensor:
    """All tokens after the final norm `[1, N, dim]` of the source with its LayerScale, in float64."""
    model = _unfolded_skeleton(source, _folded_skeleton(source, architecture), height, width)
    grid = (height // source.patch, width // source.patch)
    state = {**source.state, "pos_embed": _positions(source.state["pos_embed"].float(), grid)}
    return _tokens(model, state, _noise(height, width, seed))


def _positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Positions `[1, 1 + n^2, dim]` of a square grid, of another one."""
    resampled: Tensor = resample_abs_pos_embed(positions, list(grid), interpolation="bicubic", antialias=False)
    return resampled


def _folded_skeleton(source: Dinov2, architecture: str) -> Any:
    sizes = {"img_size": source.patch * source.grid, "patch_size": source.patch}
    return registry.skeleton(architecture, 0, _standard(architecture), **sizes)


def _unfolded_skeleton(source: Dinov2, target: Any, height: int = 0, width: int = 0) -> VisionTransformer:
    """timm's own transformer with LayerScale, of the source's sizes; what weights do not show is the target's."""
    side = source.patch * source.grid
    with torch.device("meta"):
        return VisionTransformer(
            img_size=(height or side, width or side),
            patch_size=source.patch,
            num_classes=0,
            global_pool="",
            embed_dim=target.embed_dim,
            depth=len(target.blocks),
            num_heads=target.blocks[0].attn.num_heads,
            mlp_ratio=target.blocks[0].mlp.fc1.out_features / target.embed_dim,
            init_values=1.0,
            weight_init="skip",
            attn_layer=ProjectionsApart if source.has_projections_apart else Attention,
        )


def _standard(architecture: str) -> Filter:
    return registry.uniform_filter(registry.architecture(architecture).depth, STANDARD)


def _tokens(skeleton: Any, state: State, image: Tensor) -> Tensor:
    skeleton.load_state_dict({key: value.double() for key, value in state.items()}, strict=True, assign=True)
    with torch.inference_mode():
        tokens: Tensor = skeleton.eval().forward_features(image.double())
    return tokens


def _noise(height: int, width: int, seed: int) -> Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def _error(tokens: Tensor, expected: Tensor) -> float:
    return float((tokens - expected).abs().max() / expected.abs().max())
