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
from PIL.PngImagePlugin import PngImageFile

from explorer import provenance
from explorer.models import sources
from explorer.paper import operators
from explorer.serving.pair import HUB
from explorer.studio.parse import from_settings
from explorer.studio.spec import SETTINGS, Spec
from explorer.types import ROLES, ExplorerError, ModelCard
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

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "tool": f"Twicing Explorer {VERSION}",
            "settings": self.spec.as_settings(),
            "images": [provenance.of_image(name, digest) for name, digest in self.images],
            "models": list(self.models),
            "device": self.device,
            "threads": self.threads,
            "versions": versions(),
        }

    def json(self) -> str:
        return json.dumps(self.as_dict(), indent=2, sort_keys=True, ensure_ascii=False)

    def command(self, out: str) -> str:
        """The shell's words that make the figure again, run where the images lie."""
        words = ["python", "-m", "explorer", "figure", self.spec.template.name]
        if self.images:
            words += ["--images", *(f"./{name}" if name.startswith("-") else name for name, _ in self.images)]
        for model in self.models:
            words += _model_words(model)
        packed = [model["role"] for model in self.models if model.get("packed")]
        words += ["--packed"] if len(packed) == len(ROLES) else [f"--{role}-packed" for role in packed]
        if self.spec.input_size is None and (sizes := size_text(self.models)):
            words += _words("input-size", sizes)
        for setting in SETTINGS:
            value = getattr(self.spec, setting.name)
            if value != setting.default:
                words += _setting_words(setting.name, value)
        return shlex.join([*words, "--out", out])


def of(spec: Spec, images: Sequence[tuple[str, str]], cards: Sequence[ModelCard], device: torch.device) -> Record:
    """The record of a figure of these images and models."""
    models = tuple(
        {
            "role": role,
            **provenance.of_model(card),
            "trained_filter": operators.written(card.trained_filter),
            "declared_by": card.declared_by,
        }
        for role, card in zip(ROLES, cards, strict=True)
    )
    return Record(spec, tuple(images), models, str(device), torch.get_num_threads())


def read(data: bytes) -> Record:
    """The record in a figure's JSON or PNG. Raises `ExplorerError` when there is none."""
    try:
        text = _of_png(data) if data.startswith(b"\x89PNG") else data[:_MOST_BYTES].decode()
        written = json.loads(text)
        images = tuple((str(image["name"]), str(image["sha256"])) for image in written["images"])
        models = tuple(_model(role, model) for role, model in zip(ROLES, written["models"], strict=True))
        spec = from_settings(written["settings"])
        return Record(spec, images, models, str(written["device"]), int(written["threads"]))
    except ExplorerError:
        raise
    except Exception as error:
        raise ExplorerError(
            "The JSON or the PNG of a figure that the explorer made was expected; another file came."
        ) from error


def _model(role: str, model: Mapping[str, Any]) -> Mapping[str, Any]:
    """One model as `of` tells it. Raises `ValueError` or `KeyError` for anything else."""
    filters = {
        key: operators.written(operators.read(list(model[key]), len(model[key])))
        for key in ("filter", "trained_filter")
    }
    if model["role"] != role:
        raise ValueError(role)
    if "input_size" in model:
        height, width = map(int, model["input_size"])
        model = {**model, "input_size": [height, width]}
    return {**model, **{key: str(model[key]) for key in ("role", "name", "source", "sha256")}, **filters}


def _of_png(data: bytes) -> str:
    with PngImageFile(io.BytesIO(data)) as image:  # only its header: `Image.open` would refuse the largest posters
        return str(image.info[KEYWORD])


@cache
def versions() -> dict[str, str]:
    """What a figure's bytes depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def _model_words(model: Mapping[str, Any]) -> list[str]:
    """Nothing for a model that stands where none is named, under its own filter."""
    words = []
    source, role = str(model["source"]), model["role"]
    if source != _unnamed().get(role):
        words += _words(role, source.replace("hub: timm/", HUB).replace("hub: ", HUB))
    if model["filter"] != model["trained_filter"]:
        words += _words(f"{role}-operator", filter_text(model["filter"]))
    return words


def _unnamed() -> dict[str, str]:
    """The models that need not be named: the bundled ones, unless this process opens on another pair.

    Without the variable the command then means the same models, and where it was made it does so in any case.
    """
    return dict(zip(ROLES, sources.labels(), strict=True)) if sources.opens_bundled() else {}


def size_text(models: Sequence[Mapping[str, Any]]) -> str | None:
    """Input sizes other than the architectures' own as the shell takes them, 0 where a model has its own."""
    sizes = [model.get("input_size", (0, 0)) for model in models]
    squares = [height if height == width else 0 for height, width in sizes]  # others are declared beside their files
    return ",".join(map(str, squares)) if any(squares) else None


def filter_text(declared: Sequence[Any]) -> str:
    """Operators as the shell takes them."""
    return operators.as_text(operators.read(list(declared), len(declared)))


def _setting_words(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if isinstance(value, tuple) and all(isinstance(entry, int) for entry in value):
        return _words(flag, ",".join(map(str, value)))
    return _words(
        flag, *([_digits(value)] if isinstance(value, float) else value if isinstance(value, tuple) else [value])
    )


def _words(flag: str, *values: Any) -> list[str]:
    """An option with its values; those that look like options themselves are tied to it."""
    texts = list(map(str, values))
    if any(text.startswith("-") for text in texts):
        return [f"--{flag}={text}" for text in texts]
    return [f"--{flag}", *texts]


def _digits(value: float) -> str:
    """The shortest text that is read as the same number."""
    return repr(value).removesuffix(".0")
