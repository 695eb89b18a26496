"""What a process loads once and every visitor shares, and no visitor can empty."""

from __future__ import annotations

import base64
import gc
import io
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageOps
from torch import Tensor

from explorer.measures import spectrum
from explorer.models import load, sources, with_quicker_layers
from explorer.pictures import examples, isolated
from explorer.pictures.crops import Cropping
from explorer.pictures.examples import Example
from explorer.pictures.photographs import Photograph
from explorer.serving import device as devices
from explorer.serving.cache import ByteLRU, cache_of, once
from explorer.serving.chosen import engine_of
from explorer.serving.engine import Engine
from explorer.traces import Comparison
from explorer.types import ExplorerError, ImageInput

_THUMBNAIL = 96
_WHOLE = 480
"""Pixels of a side of small pictures."""
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
    devices.set_threads(1)  # to load: small tensors, and beside them a browser that starts
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
    devices.set_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    result = Loaded(engine_of(models, device), tuple(problems))
    gc.freeze()  # what is loaded is not walked by every collection of garbage
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


def cropped(digest: str, whole: Photograph, crop: Cropping) -> ImageInput:
    """What a crop makes of an image, remembered by its own digest."""
    return _decoded().get_or_make(digest, lambda: crop.of(whole.image))


@once
def _thumbnails() -> ByteLRU[tuple[str, int], str]:
    return cache_of("thumbnails")


def thumbnail(digest: str, read: Callable[[], bytes]) -> str:
    """A small square picture as a data URI, remembered."""
    size = _THUMBNAIL, _THUMBNAIL
    return _small(digest, read, _THUMBNAIL, lambda picture: ImageOps.fit(picture, size, Image.Resampling.BICUBIC))


def whole(digest: str, read: Callable[[], bytes]) -> str:
    """All of a picture, small, as a data URI, to choose a part of it; remembered."""
    size = _WHOLE, _WHOLE
    return _small(digest, read, _WHOLE, lambda picture: ImageOps.contain(picture, size, Image.Resampling.BICUBIC))


def _small(digest: str, read: Callable[[], bytes], size: int, shrink: Callable[[Image.Image], Image.Image]) -> str:
    def draw() -> str:
        stream = io.BytesIO()
        shrink(Image.fromarray(reopen(digest, read).rgb)).save(stream, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()

    return _thumbnails().get_or_make((digest, size), draw)


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
