"""Vision transformers like DINOv2's, whatever names a file gives their weights: timm's, Hugging Face's or ONNX's.

A block is `x + g1 Attention(Norm(x))`, then `x + g2 MLP(Norm(x))`, with a learnt vector `g` for each of the two
(LayerScale). How many heads a model has cannot be read off weights: `folding` takes those of the model it makes, and an
ONNX graph proves them. Oquab et al. 2023, https://arxiv.org/abs/2304.07193.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.models import onnx_graph, weights
from explorer.models.checkpoints import MODEL
from explorer.models.onnx_graph import Graph
from explorer.models.weights import State, excerpt
from explorer.types import ExplorerError

SUFFIXES = (onnx_graph.SUFFIX, *weights.SUFFIXES)
PROJECTIONS = ("query", "key", "value")
"""Names of the three projections where a file has them apart, in the order in which timm stacks them."""

_TIMM = "patch_embed.proj.weight"
_HUGGING_FACE = "embeddings.patch_embeddings.projection.weight"
_TO_TIMM = (
    (r"embeddings\.patch_embeddings\.projection\.", r"patch_embed.proj."),
    (r"embeddings\.position_embeddings$", r"pos_embed"),
    (r"embeddings\.(cls_token|mask_token|register_tokens)$", r"\1"),
    (r"layernorm\.", r"norm."),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.", r"blocks.\1.attn."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"encoder\.layer\.(\d+)\.layer_scale(\d)\.lambda1$", r"blocks.\1.ls\2.gamma"),
    (r"encoder\.layer\.(\d+)\.", r"blocks.\1."),
)
_REGISTERS = ("reg_token", "register_tokens", "storage_tokens")
_NOT_OF_THE_BODY = ("mask_token", "head.", "classifier.")
_BLOCK = re.compile(r"blocks\.(\d+)\.")
_GATED = re.compile(r"\.mlp\.(w12|w3|weights_in|weights_out|fc1_g|fc1_x)\.")
_MAX_PATCH, _MAX_GRID = 64, 64


@dataclass(frozen=True, eq=False)
class Dinov2:
    """The body of a vision transformer with LayerScale, under timm's names."""

    name: str
    """Of the file."""
    state: State
    """`attn.query`, `attn.key` and `attn.value` stay apart where the file has them so."""
    width: int
    depth: int
    patch: int
    grid: int
    """Patches a side that there are positions for."""
    left_out: tuple[str, ...]
    """Weights of the file that are no part of the body, such as a head's."""
    declared: Mapping[str, Any]
    """What the file declares about itself."""
    digest: str
    graph: Graph | None
    """Where the file is a graph, what runs it."""
    final_norm: str
    """The module path of the norm after the last block, in the file's own names."""

    @property
    def has_projections_apart(self) -> bool:
        return "blocks.0.attn.query.weight" in self.state


def read(path: Path) -> Dinov2:
    """Reads a vision transformer like DINOv2's from ONNX, safetensors or torch's own files.

    Raises `ExplorerError` with one sentence for files that cannot be read or hold no such transformer, and for
    register tokens and gated MLPs, which DeiT has no place for.
    """
    if path.suffix not in SUFFIXES:
        raise ExplorerError(f"{path.name} was expected to end in one of {', '.join(SUFFIXES)}.")
    if path.suffix == onnx_graph.SUFFIX:
        graph = onnx_graph.read(path)
        return _body(path.name, graph.state, graph.metadata, graph.digest, graph)
    stored = weights.read(path)
    state = stored.sets.get(MODEL) or next(iter(stored.sets.values()))
    return _body(path.name, state, stored.declared or {}, stored.digest, None)


def check_finite(name: str, state: State) -> None:
    """Raises `ExplorerError` naming the first weight of `state` that is not finite everywhere."""
    for key, value in state.items():
        if not bool(value.isfinite().all()):
            raise ExplorerError(f"{name} was expected to hold finite numbers; {excerpt(key, 120)} has others.")


def _body(name: str, state: State, declared: Mapping[str, Any], digest: str, graph: Graph | None) -> Dinov2:
    markers = [key for key in state if key.endswith((_TIMM, _HUGGING_FACE))]
    if len(markers) != 1:
        raise ExplorerError(
            f"{name} was expected to hold one vision transformer under timm's or Hugging Face's names; "
            f"{len(markers)} patch embeddings came."
        )
    timm_names = markers[0].endswith(_TIMM)
    prefix = markers[0].removesuffix(_TIMM if timm_names else _HUGGING_FACE)
    inside = {_to_timm(key.removeprefix(prefix)): value for key, value in state.items() if key.startswith(prefix)}
    left_out = [key for key in inside if key.startswith(_NOT_OF_THE_BODY)]
    if graph is not None:  # running it proves that nothing else counts
        left_out = [key for key in inside if not _is_of_the_body(key)]
    body = {key: value for key, value in inside.items() if key not in left_out}
    _check_kind(name, inside)
    patch, grid = _sizes(name, body)
    return Dinov2(
        name=name,
        state=body,
        width=body[_TIMM].shape[0],
        depth=len({match[1] for key in body if (match := _BLOCK.match(key))}),
        patch=patch,
        grid=grid,
        left_out=(*left_out, *(key for key in state if not key.startswith(prefix))),
        declared=declared,
        digest=digest,
        graph=graph,
        final_norm=prefix + ("norm" if timm_names else "layernorm"),
    )


def _to_timm(key: str) -> str:
    for theirs, ours in _TO_TIMM:
        key, count = re.subn(f"^{theirs}", ours, key)
        if count:
            break
    return key


def _is_of_the_body(key: str) -> bool:
    return key in ("cls_token", "pos_embed") or key.startswith(("patch_embed.", "blocks.", "norm."))


def _check_kind(name: str, state: State) -> None:
    for key in state:
        if key in _REGISTERS:
            raise ExplorerError(f"{name} has register tokens ({key}); a model without them was expected.")
        if _GATED.search(key):
            raise ExplorerError(f"{name} has gated MLPs ({excerpt(key, 80)}, as in SwiGLU); plain ones were expected.")
    widened, narrowed = (state.get(f"blocks.0.mlp.{layer}.weight") for layer in ("fc1", "fc2"))
    if widened is not None and narrowed is not None and widened.shape != narrowed.shape[::-1]:
        raise ExplorerError(
            f"{name} has gated MLPs (mlp.fc1 is wider than mlp.fc2, as in SwiGLU); plain ones were expected."
        )


def _sizes(name: str, state: State) -> tuple[int, int]:
    """Pixels a side of a patch, and patches a side of the grid the positions are of."""
    kernel = tuple(state[_TIMM].shape)
    if len(kernel) != 4 or kernel[2] != kernel[3] or not 0 < kernel[3] <= _MAX_PATCH:
        raise ExplorerError(
            f"{name} was expected to cut square patches of at most {_MAX_PATCH} pixels a side; "
            f"its patch embedding is of shape {list(kernel)[:8]}."
        )
    shape = tuple(state["pos_embed"].shape) if "pos_embed" in state else ()
    patches = shape[1] - 1 if len(shape) == 3 else 0
    grid = math.isqrt(max(patches, 0))
    if not 0 < grid <= _MAX_GRID or grid * grid != patches:
        raise ExplorerError(
            f"{name} was expected to have positions for a class token and a square of at most {_MAX_GRID} patches a "
            f"side; they are of shape {list(shape)[:8]}."
        )
    return kernel[3], grid
