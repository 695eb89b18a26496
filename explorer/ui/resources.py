"""What a process loads once and every visitor shares."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
import torch

from explorer import examples, images
from explorer.measures import spectrum
from explorer.models import load
from explorer.serving import device as devices
from explorer.serving.cache import ByteLRU
from explorer.serving.engine import Engine, LocalEngine
from explorer.types import ExplorerError, ImageInput, Trace

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


@dataclass(frozen=True, eq=False)
class StoredImage:
    """A decoded image with its size in bytes, for the cache."""

    image: ImageInput

    @property
    def nbytes(self) -> int:
        return self.image.rgb.nbytes


@st.cache_resource(show_spinner="Loading the models …")
def engine() -> Engine:
    """The bundled checkpoints on the chosen device. Raises `ExplorerError` when none can be loaded."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1))
    device = devices.choose()
    paths = sorted(CHECKPOINTS.glob("*.safetensors"))
    if not paths:
        raise ExplorerError("The checkpoints folder holds no .safetensors file; see checkpoints/README.md.")
    local = LocalEngine([load(path, device) for path in paths], device)
    # Streamlit collects garbage after every script run; frozen objects are not walked again.
    gc.collect()
    gc.freeze()
    return local


@st.cache_resource(show_spinner=False)
def _decoded() -> ByteLRU[str, StoredImage]:
    return ByteLRU(256 * 2**20)


def decode(key: str, data: bytes) -> ImageInput:
    """Decodes once per `key`; raises `images.ImageError`."""
    stored = _decoded().get(key)
    if stored is None:
        stored = StoredImage(images.decode(data))
        _decoded().put(key, stored)
    return stored.image


def example(item: examples.Example) -> ImageInput:
    """A bundled photograph, decoded once."""
    stored = _decoded().get(item.file)
    return stored.image if stored else decode(item.file, examples.read(item))


@st.cache_resource(show_spinner=False, max_entries=256)
def spectrum_of(digest: str, model: str, layer: int, _trace: Trace) -> spectrum.Spectrum:
    """The spectrum of one layer, computed when first asked for; a few kilobytes each."""
    return spectrum.spectrum(_trace, layer)
