"""What travels between an engine and its replicas: pickled records whose tensors are plain arrays, sent without a copy.

Only inside a cluster, whose members trust each other by its token; nothing here reads bytes of strangers.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.models import LoadedModel, packed
from explorer.models.checkpoints import on_the_same_weights


@dataclass(frozen=True, eq=False)
class Parcel:
    """A value, and the bytes of its arrays beside it."""

    data: bytes
    buffers: tuple[np.ndarray, ...]


def wrap(value: Any) -> Parcel:
    """A parcel of any value that can be pickled; tensors leave their device."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    return Parcel(stream.getvalue(), tuple(np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers))


def unwrap(parcel: Parcel) -> Any:
    """The value, on the CPU and in memory of its own: what Ray lends is read only, and shared."""
    return pickle.loads(parcel.data, buffers=[bytearray(buffer) for buffer in parcel.buffers])


def wrap_model(model: LoadedModel) -> Parcel:
    """A model without the second copy of its weights, which is laid out anew where it arrives."""
    module = on_the_same_weights(model.module)
    packed.unpack(module)
    return wrap(LoadedModel(model.card, module))


def unwrap_model(parcel: Parcel, device: torch.device) -> LoadedModel:
    """The model on a device, packed where its card says so and the device can."""
    model: LoadedModel = unwrap(parcel)
    module = model.module.to(device).eval().requires_grad_(False)
    if model.card.is_packed and packed.is_possible(module):
        packed.pack(module)
    return LoadedModel(model.card, module)


class _Pickler(pickle.Pickler):
    """Torch pickles a tensor's storage as a copy; NumPy lends its bytes."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor:
            return NotImplemented
        tensor = value.detach().cpu().contiguous()
        bits = tensor.view(torch.int16) if tensor.dtype is torch.bfloat16 else tensor
        return _tensor, (bits.numpy(), tensor.dtype)


def _tensor(bits: np.ndarray, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(bits).view(dtype)
