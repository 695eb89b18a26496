"""What a process loads once and every visitor shares, and no visitor can empty."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from explorer.figures.maps import data_uri
from explorer.measures import spectrum
from explorer.models import load, sources, with_quicker_layers
from explorer.pictures import examples, isolated
from explorer.pictures.examples import Example
from explorer.serving import device as devices
from explorer.serving.cache import ByteLRU, cache_of, once
from explorer.serving.engine import Engine, LocalEngine
from explorer.traces import Comparison
from explorer.types import ExplorerError, ImageInput

_THUMBNAIL = 96
_larger: deque[ImageInput] = deque(maxlen=1)
"""The last photograph that is larger than the whole cache; at most 60 MiB, and decoded once, not by every rerun."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """The engine, and a sentence for every checkpoint it could not load."""

    engine: Engine
    problems: tuple[str, ...]


@once
def loaded() -> Loaded:
    """The pair that opens and what is loaded beside it, on the chosen device.

    Raises `ExplorerError` when nothing can be loaded.
    """
    torch.set_num_threads(1)  # to load: small tensors, and beside them a browser that starts
    device = devices.device_called()
    ready, problems = [], []
    with ThreadPoolExecutor(1) as beside:  # tries out packed layers while the next file is read
        for path in sources.to_load():
            try:
                ready.append(beside.submit(with_quicker_layers, load(path, device)))
            except ExplorerError as error:
                problems.append(str(error))
    models = [model.result() for model in ready]
    if not models:
        where = "The checkpoints folder holds" if sources.opens_bundled() else f"{sources.PAIR_VARIABLE} names"
        raise ExplorerError(" ".join([f"{where} no checkpoint that loads.", *problems]))
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    result = Loaded(LocalEngine(models, device), tuple(problems))
    gc.freeze()  # Streamlit collects garbage after every script run; what is loaded is not walked again
    return result


def engine() -> Engine:
    """The engine every visitor shares."""
    return loaded().engine


@once
def _decoded() -> ByteLRU[str, ImageInput]:
    return cache_of("photographs")


@dataclass(frozen=True, eq=False)
class Payload:
    """What the viewer is sent for one image and pair."""

    data: bytes

    @property
    def nbytes(self) -> int:
        return len(self.data)


@once
def payloads() -> ByteLRU[tuple[str, ...], Payload]:
    """What the viewer was sent last, for a few visitors."""
    return cache_of("payloads")


@once
def curves() -> ByteLRU[tuple[object, ...], Tensor]:
    """Small results per image, so that a folder's curves need not keep its traces."""
    return cache_of("curves")


def decode(data: bytes) -> ImageInput:
    """Decodes and remembers by SHA-256; raises `images.ImageError`."""
    image = isolated.DECODER.decode(data)
    _decoded().put(image.digest, image)
    if image.nbytes > _decoded().capacity:
        _larger.append(image)
    return image


@once
def digest(example: Example) -> str:
    """SHA-256 of a bundled photograph, decoded once per process."""
    return decode(examples.read(example)).digest


def reopen(digest: str, read: Callable[[], bytes]) -> ImageInput:
    """An image that was decoded before, from memory or from its bytes again."""
    larger = next((image for image in list(_larger) if image.digest == digest), None)
    return _decoded().get(digest) or larger or decode(read())


@once
def _thumbnails() -> ByteLRU[str, str]:
    return cache_of("thumbnails")


def thumbnail(digest: str, read: Callable[[], bytes]) -> str:
    """A small square picture as a data URI, remembered."""

    def shrink() -> str:
        picture = Image.fromarray(reopen(digest, read).rgb)
        return data_uri(np.asarray(ImageOps.fit(picture, (_THUMBNAIL, _THUMBNAIL))))

    return _thumbnails().get_or_make(digest, shrink)


@once
def _spectra() -> ByteLRU[tuple[object, ...], list[spectrum.Spectrum]]:
    return cache_of("spectra")


def spectra_of(digest: str, models: tuple[str, str], layer: int, comparison: Comparison) -> list[spectrum.Spectrum]:
    """Both models' spectra of one layer, computed when first asked for, and remembered."""
    key = digest, models, layer

    def compute() -> list[spectrum.Spectrum]:
        with devices.computing():
            return spectrum.spectra([(trace, layer) for trace in comparison])

    return _spectra().get_or_make(key, compute)
