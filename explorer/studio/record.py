"""Where a figure comes from: settings, images and weights by their hashes, versions; no time, host or absolute path."""

from __future__ import annotations

import io
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from PIL import Image

from explorer.serving.pair import HUB
from explorer.studio import spec as specs
from explorer.studio.spec import SETTINGS, Spec
from explorer.types import ExplorerError, ModelCard
from explorer.version import VERSION

_LIBRARIES = ("torch", "timm", "matplotlib", "numpy", "pillow")
_MOST_BYTES = 64 * 2**20
KEYWORD = "Keywords"
"""Where PNG and PDF carry the record, as JSON."""


@dataclass(frozen=True)
class Record:
    """Everything that fixes a figure's bytes."""

    spec: Spec
    images: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each."""
    models: tuple[Mapping[str, Any], ...]
    device: str
    threads: int

    def told(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "tool": f"Twicing Explorer {VERSION}",
            "settings": self.spec.told(),
            "images": [{"name": name, "sha256": digest} for name, digest in self.images],
            "models": list(self.models),
            "device": self.device,
            "threads": self.threads,
            "versions": versions(),
        }

    def json(self) -> str:
        return json.dumps(self.told(), indent=2, sort_keys=True, ensure_ascii=False)

    def command(self, out: str) -> str:
        """The shell's words that make the figure again, run where the images lie."""
        words = ["python", "-m", "explorer", "figure", self.spec.template.value]
        if self.images:
            words += ["--images", *(name for name, _ in self.images)]
        for model in self.models:
            words += _model_words(model)
        for one in SETTINGS:
            value = getattr(self.spec, one.name)
            if value != one.default:
                words += _setting_words(one.name, value)
        return shlex.join([*words, "--out", out])


def of(spec: Spec, images: Sequence[tuple[str, str]], cards: Sequence[ModelCard], device: torch.device) -> Record:
    """The record of a figure of these images and models."""
    models = tuple(
        {
            "role": role,
            "name": card.title,
            "source": card.source,
            "sha256": card.digest,
            "filter": list(card.filter),
            "trained_filter": list(card.trained_filter),
            "declared_by": card.declared_by,
        }
        for role, card in zip(("baseline", "twicing"), cards, strict=True)
    )
    return Record(spec, tuple(images), models, str(device), torch.get_num_threads())


def read(data: bytes) -> Record:
    """The record in a figure's JSON or PNG. Raises `ExplorerError` when there is none."""
    try:
        text = _of_png(data) if data.startswith(b"\x89PNG") else data[:_MOST_BYTES].decode()
        told = json.loads(text)
        images = tuple((str(one["name"]), str(one["sha256"])) for one in told["images"])
        models = tuple({"role": str(one["role"]), "sha256": str(one["sha256"]), **one} for one in told["models"])
        return Record(specs.from_told(told["settings"]), images, models, str(told["device"]), int(told["threads"]))
    except ExplorerError:
        raise
    except Exception as error:
        raise ExplorerError(
            "The JSON or the PNG of a figure that the explorer made was expected; another file came."
        ) from error


def _of_png(data: bytes) -> str:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return str(image.info[KEYWORD])


@cache
def versions() -> dict[str, str]:
    """What a figure's bytes depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def _model_words(model: Mapping[str, Any]) -> list[str]:
    """Nothing for a bundled model under its own filter."""
    words = []
    source, role = str(model["source"]), model["role"]
    suffix = "standard" if role == "baseline" else "twicing"
    if not source.startswith("checkpoints/") or not source.endswith(f"-{suffix}.safetensors"):
        words += [f"--{role}", source.replace("hub: timm/", HUB).replace("hub: ", HUB)]
    if model["filter"] != model["trained_filter"]:
        distinct = sorted(set(model["filter"]))
        values = distinct if len(distinct) == 1 else model["filter"]
        words += [f"--{role}-filter", ",".join(f"{a:g}" for a in values)]
    return words


def _setting_words(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if isinstance(value, tuple) and all(isinstance(one, int) for one in value):
        return [f"--{flag}", ",".join(map(str, value))]
    if isinstance(value, tuple):
        return [f"--{flag}", *value]
    return [f"--{flag}", f"{value:g}" if isinstance(value, float) else str(value)]
