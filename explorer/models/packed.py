"""Linear layers on a second copy of their weights, as oneDNN lays it out: quicker on some CPUs, on others not.

The weights themselves stay as they are. Logits differ by rounding (tested within 1e-5 of the largest), so a model's
card says that they are packed, and files that are made with it. The operations are those of torch's own compiler;
where they are missing, nothing is packed.
"""

from __future__ import annotations

import itertools
import math
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VARIABLE = "EXPLORER_PACKED"
"""0: a server never packs; 1: wherever it can; otherwise where it is quicker."""
QUICKER = 0.97
"""Of the time of `F.linear`, at most."""
_SECONDS = 0.1
_ROUNDS = 4
"""At least so often is a shape timed; the first time does not count."""

_known: dict[object, bool] = {}
_probing = threading.Lock()


class PackedLinear(nn.Linear):
    """A linear layer that leaves gradients to `F.linear`, and computes all else on its packed weight."""

    packed: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            return super().forward(x)
        return _linear(x, self.packed, self.bias)


def is_possible(module: nn.Module) -> bool:
    """Whether the model is on a CPU, in float32, and torch has the operations."""
    weight, operations = next(module.parameters()), torch.ops.mkldnn
    return (
        (weight.device.type, weight.dtype) == ("cpu", torch.float32)
        and torch.backends.mkldnn.is_available()
        and all(hasattr(operations, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    )


def pack(module: Any) -> None:
    """Packs the linear layers of a model's blocks, in place, where `is_possible`; all at once, or all as they were."""
    layers = list(_layers(module))
    for layer, packed in zip(layers, map(_reordered, layers), strict=True):
        layer.register_buffer("packed", packed, persistent=False)  # shared like any buffer, and in no file
        layer.__class__ = PackedLinear


def unpack(module: Any) -> None:
    """Takes the second copy away again, in place: it is opaque, and what travels is laid out anew where it arrives."""
    layers: list[nn.Module] = [layer for layer in module.modules() if isinstance(layer, PackedLinear)]
    for layer in layers:
        del layer.packed
        layer.__class__ = nn.Linear


def nbytes(module: nn.Module) -> int:
    """Bytes of the second copy; 0 of a model that is not packed."""
    return sum(layer.weight.nbytes for layer in module.modules() if isinstance(layer, PackedLinear))


def is_quicker(module: Any) -> bool:
    """Whether the model's own layers are, for one image: found out in about a tenth of a second, or in four blocks.

    One answer for all models of these shapes, so that both of a pair are computed alike.
    """
    tokens = module.patch_embed.num_patches + module.num_prefix_tokens
    shapes = tokens, tuple(tuple(layer.weight.shape) for layer in _layers(module))
    with _probing:
        if shapes not in _known:
            _known[shapes] = ratio(module, tokens) <= QUICKER
        return _known[shapes]


@torch.inference_mode()
def ratio(module: Any, tokens: int) -> float:
    """Time of the packed layers over that of the layers as they are: medians of each shape, timed in turn."""
    layers = list(_layers(module))
    times: dict[torch.Size, list[tuple[float, float]]] = defaultdict(list)
    until = time.perf_counter() + _SECONDS
    for layer in itertools.cycle(layers):
        taken = times[layer.weight.shape]
        if len(taken) >= _ROUNDS and time.perf_counter() > until:
            break
        taken.append(_both_times(layer, torch.randn(1, tokens, layer.in_features)))
    medians = {
        shape: [statistics.median(form) for form in zip(*taken[1:], strict=True)] for shape, taken in times.items()
    }
    of_packed, of_plain = (sum(each) for each in zip(*(medians[layer.weight.shape] for layer in layers), strict=True))
    return float(of_packed / of_plain)


def _both_times(layer: nn.Linear, x: Tensor) -> tuple[float, float]:
    packed = _reordered(layer)
    start = time.perf_counter()
    _linear(x, packed, layer.bias)
    between = time.perf_counter()
    F.linear(x, layer.weight, layer.bias)
    return between - start, time.perf_counter() - between


def _flops(x: torch.Size, *_: object, out_shape: torch.Size, **__: object) -> int:
    return 2 * math.prod(x) * out_shape[-1]


FLOPS = {getattr(torch.ops.mkldnn, "_linear_pointwise", None): _flops}
"""For torch's counter, which does not know the operation: two for every multiply-add."""


def _linear(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return result


def _reordered(layer: nn.Linear) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
    return packed


def _layers(module: Any) -> Iterator[nn.Linear]:
    """Of all blocks, but for those whose weight is used with a bias of the attention's own."""
    for block in module.blocks:
        unused = block.attn.qkv if getattr(block.attn, "q_bias", None) is not None else None
        yield from (layer for layer in block.modules() if type(layer) is nn.Linear and layer is not unused)
