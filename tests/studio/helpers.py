"""Tiny random models and drawn pictures for figures: the same on every machine, made once."""

from __future__ import annotations

import io
import json
from functools import cache, partial
from typing import Any

import numpy as np
import timm
from PIL import Image

from explorer.models import LoadedModel
from explorer.models.twicing import make_filtered, set_filter
from explorer.paper import operators
from explorer.pictures.photographs import Photograph
from explorer.runs import robustness_file
from explorer.serving.pair import ModelPair, load_pair
from explorer.studio import Made, make
from explorer.studio.parse import from_settings
from explorer.types import CropMode, Filter, ModelCard, Preprocessing, Size
from tests.helpers import CLASSES, quadratics, randomise

STANDARD: Filter = quadratics(1.0, 1.0, 1.0)
TWICING: Filter = quadratics(2.0, 2.0, 2.0)


def model(
    name: str = "Tiny",
    filter: Filter = STANDARD,
    seed: int = 0,
    *,
    heads: int = 2,
    size: Size = (32, 32),
    crop_pct: float = 1.0,
    crop_mode: CropMode = CropMode.CENTER,
    architecture: str = "deit_tiny_patch16_224",
    timm_name: str = "deit_tiny_patch16_224",
    **options: Any,
) -> LoadedModel:
    """A model of as many blocks as the filter has, on patches of 8 px; `options` go to timm."""
    shape = {"img_size": size, "patch_size": 8, "embed_dim": 32, "depth": len(filter), "num_heads": heads}
    module = timm.create_model(timm_name, num_classes=len(CLASSES), **shape, **options)
    make_filtered(module)
    set_filter(module, filter)
    preprocessing = Preprocessing(size, (0.5,) * 3, (0.25,) * 3, crop_pct=crop_pct, crop_mode=crop_mode)
    card = ModelCard(
        name=name,
        architecture=architecture,
        filter=filter,
        trained_filter=filter,
        classes=CLASSES,
        wnids=tuple(f"n{i}" for i in range(len(CLASSES))),
        outputs=len(CLASSES),
        preprocessing=preprocessing,
        recipe="none",
        data="random",
        top1=None,
        git_revision="abc",
        digest=f"{seed:02d}" * 32,
        source=f"tiny/{name}.safetensors",
    )
    return LoadedModel(card, randomise(module, seed).eval().requires_grad_(False))


@cache
def pair() -> ModelPair:
    """Three blocks, two heads, four by four patches; trained as DeiT and as DeiT-Twicing."""
    return load_pair(model(), model("Tiny-Twicing", TWICING, 1), device="cpu")


@cache
def prefixed() -> tuple[LoadedModel, LoadedModel]:
    """One with CLS and three registers, one with CLS and a distillation token."""
    distilled = model("Distilled", TWICING, 1, timm_name="deit_tiny_distilled_patch16_224")
    return model("Registers", STANDARD, 2, reg_tokens=3), distilled


@cache
def swapped() -> ModelPair:
    """The baseline's own weights under twicing, which they were not trained with."""
    return load_pair(model(), model("Tiny-Other", seed=1), twicing_filter=2.0, device="cpu")


@cache
def picture(seed: int = 0, size: Size = (48, 64)) -> bytes:
    """A sky, a ground and a disc as PNG."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width] / max(size)
    generator = np.random.default_rng(seed)
    pixels = np.stack([180 - 150 * y, 120 + 90 * x, 230 - 200 * y], axis=-1)
    centre, colour = generator.uniform(0.25, 0.5, 2), generator.uniform(0, 255, 3)
    pixels[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 0.03] = colour
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def photo(name: str = "disc.png", seed: int = 0, size: Size = (48, 64)) -> Photograph:
    return Photograph(name, name, lambda: picture(seed, size))


def photos(count: int = 2) -> list[Photograph]:
    return [photo(f"disc {seed}.png", seed) for seed in range(count)]


def result(of: ModelPair, kind: str = "FGSM", count: int = 40, **changes: Any) -> bytes:
    """A result file of these models: ranks that grow with the budget, drawn from a seed."""
    attack = {"kind": kind, "seed": 0}
    if kind == "PGD":
        attack |= {"steps": 20, "step_size": 0.15 / 255, "random_start": False}
    header = {
        "format": robustness_file.FORMAT,
        "attack": attack,
        "eps": [one / 255 for one in (0, 1, 2, 4)],
        "models": [{"name": c.title, "digest": c.digest, "filter": operators.written(c.filter)} for c in of.cards],
        "batch_size": 25,
        "data": "ab" * 32,
    } | changes
    trials = 4 if header.get("transfer") else 2
    drawn = np.random.default_rng(len(kind)).integers(0, 4, (count, trials, len(header["eps"])))
    ranks = np.minimum(1 + drawn.cumsum(axis=-1) // 2, 8).tolist()  # more than five: or top-5 could not fail
    lines = [header, *({"id": str(i), "label": 0, "ranks": one} for i, one in enumerate(ranks))]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def results(count: int = 2, models: ModelPair | None = None) -> list[Photograph]:
    """Result files, FGSM and PGD in turn."""
    kinds = [("FGSM", "PGD")[number % 2] for number in range(count)]
    files = [(f"{number} {kind}.jsonl", result(models or pair(), kind)) for number, kind in enumerate(kinds)]
    return [Photograph(name, name, partial(bytes, data)) for name, data in files]


def inputs(template: str, count: int = 2, models: ModelPair | None = None) -> list[Photograph]:
    """What a template takes."""
    return results(count, models) if template == "robustness" else photos(count)


def made(template: str, images: int | list[Photograph] = 2, models: ModelPair | None = None, **settings: Any) -> Made:
    """A figure of the tiny pair."""
    shown = inputs(template, images, models) if isinstance(images, int) else images
    return make(from_settings({"template": template, **settings}), shown, models or pair())


@cache
def plain(template: str) -> Made:
    """A figure of two images as it is by default but of few pixels, for tests that only look."""
    return made(template, dpi=72)


@cache
def file(template: str, suffix: str) -> bytes:
    """Its file."""
    return plain(template).file(suffix)
