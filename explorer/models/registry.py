"""The architectures the explorer knows, as a literal table, and how to build one.

DeiT: "Training data-efficient image transformers & distillation through attention", https://arxiv.org/abs/2012.12877
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.models import get_pretrained_cfg, is_model

from explorer.models.trace import geometry
from explorer.models.twicing import get_filter, make_filtered, set_filter
from explorer.paper import operators
from explorer.types import (
    STANDARD,
    TWICING,
    CropMode,
    ExplorerError,
    Filter,
    Interpolation,
    Operator,
    Preprocessing,
    Size,
)

MODULES = ("deit", "vision_transformer", "eva", "vision_transformer_hybrid")
"""timm's modules whose models are traced."""
_UNFILTERED = ("18x2", "_xp_", "pwee_")
"""In the names of the few models there whose attention is of another kind."""


@dataclass(frozen=True)
class Architecture:
    """One row of the table: a timm entry point and what differs from it."""

    title: str
    timm_name: str
    input_size: Size = (224, 224)
    depth: int = 12
    options: Mapping[str, Any] = field(default_factory=dict)
    operator: Operator = STANDARD
    """What its attention applies in timm."""

    @property
    def own_filter(self) -> Filter:
        """That operator in every block."""
        return (self.operator,) * self.depth


ARCHITECTURES: Mapping[str, Architecture] = {
    "deit_tiny_patch16_224": Architecture("DeiT-Tiny", "deit_tiny_patch16_224"),
    "deit_small_patch16_224": Architecture("DeiT-Small", "deit_small_patch16_224"),
    "deit_base_patch16_224": Architecture("DeiT-Base", "deit_base_patch16_224"),
    "deit_tiny_distilled_patch16_224": Architecture("DeiT-Tiny distilled", "deit_tiny_distilled_patch16_224"),
    "deit_small_distilled_patch16_224": Architecture("DeiT-Small distilled", "deit_small_distilled_patch16_224"),
    "deit_base_distilled_patch16_224": Architecture("DeiT-Base distilled", "deit_base_distilled_patch16_224"),
    "deit_base_patch16_384": Architecture("DeiT-Base 384px", "deit_base_patch16_384", (384, 384)),
    "deit_base_distilled_patch16_384": Architecture(
        "DeiT-Base distilled 384px", "deit_base_distilled_patch16_384", (384, 384)
    ),
    # DeiT-Tiny's body on small images: what a CPU can train.
    "deit_tiny_patch8_64": Architecture(
        "DeiT-Tiny/8 64px", "deit_tiny_patch16_224", (64, 64), options={"img_size": 64, "patch_size": 8}
    ),
    # Of `models.fan`, which registers them with timm.
    "fan_tiny_12_p16_224": Architecture("FAN-Tiny", "fan_tiny_12_p16_224"),
    "fan_small_12_p16_224": Architecture("FAN-Small", "fan_small_12_p16_224"),
    "fan_base_18_p16_224": Architecture("FAN-Base", "fan_base_18_p16_224", depth=18),
}


def names() -> tuple[str, ...]:
    """Architectures to choose from: those of the table, then timm's that can be filtered; no model is built for it."""
    listed = (name for module in MODULES for name in timm.list_models(module=module))
    of_timm = (name for name in listed if not any(part in name for part in _UNFILTERED))
    return tuple(dict.fromkeys([*ARCHITECTURES, *of_timm]))


def architecture(name: str) -> Architecture:
    """The row of the table called `name`, or one made for any other transformer of timm.

    Raises `ExplorerError` for a name nobody knows, and for a model whose blocks cannot be filtered.
    """
    return ARCHITECTURES[name] if name in ARCHITECTURES else _from_timm(name)


@lru_cache(maxsize=256)
def _from_timm(name: str) -> Architecture:
    try:
        cfg = get_pretrained_cfg(name, allow_unregistered=False) if is_model(name) else None
    except RuntimeError:  # a model of timm with a tag it does not have
        cfg = None
    if cfg is None:
        raise ExplorerError(
            f"Expected {', '.join(ARCHITECTURES)} or the name of a vision transformer of timm; {name[:80]!r} came."
        )
    model = _skeleton(name)
    try:
        make_filtered(model)
        geometry(model)
    except ExplorerError as error:
        raise ExplorerError(f"{name} cannot be filtered: {str(error)[0].lower()}{str(error)[1:]}") from None
    _, height, width = cfg.input_size
    return Architecture(name, name, (height, width), len(model.blocks), operator=get_filter(model)[0])


@lru_cache(maxsize=256)
def shapes(name: str, outputs: int) -> Mapping[str, tuple[int, ...]]:
    """Shapes of an architecture's parameters by their names."""
    row = architecture(name)
    model = _skeleton(row.timm_name, num_classes=outputs, **row.options)
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def preprocessing(row: Architecture) -> Preprocessing:
    """How timm prepares pixels for this architecture."""
    return preprocessing_of(get_pretrained_cfg(row.timm_name), row.input_size)


def preprocessing_of(cfg: Any, input_size: Size) -> Preprocessing:
    """Preprocessing out of one of timm's pretrained configurations."""
    interpolation, crop_mode = transform(cfg.interpolation, cfg.crop_mode)
    return Preprocessing(
        input_size=input_size,
        mean=cfg.mean,
        std=cfg.std,
        crop_pct=cfg.crop_pct,
        interpolation=interpolation,
        crop_mode=crop_mode,
    )


def transform(interpolation: Any, crop_mode: Any) -> tuple[Interpolation, CropMode]:
    """Raises `ExplorerError` for an interpolation or a crop the explorer does not reproduce."""
    try:
        return Interpolation(interpolation), CropMode(crop_mode)
    except ValueError:
        raise ExplorerError(
            "Bicubic or bilinear interpolation with a center or squash crop was expected; "
            f"{str(interpolation)[:40]} with {str(crop_mode)[:40]} came."
        ) from None


def imagenet(outputs: int) -> str | None:
    """timm's name of the ImageNet variant with so many classes, such as `imagenet-1k`; None where there is none."""
    variant: str | None = infer_imagenet_subset({"num_classes": outputs})
    return variant


@lru_cache(maxsize=8)
def _imagenet(variant: str) -> ImageNetInfo:
    try:
        return ImageNetInfo(variant)
    except AssertionError:
        raise ExplorerError(f"A variant of ImageNet such as imagenet-1k was expected; {variant[:60]!r} came.") from None


def class_names(variant: str) -> tuple[str, ...]:
    """Names of the classes of a variant of ImageNet, in the order of its outputs.

    Raises `ExplorerError` for a variant that timm does not know.
    """
    info = _imagenet(variant)
    return tuple(info.index_to_description(i).partition(",")[0] for i in range(info.num_classes()))


def wnids(variant: str) -> tuple[str, ...]:
    """WordNet ids beside `class_names`."""
    info = _imagenet(variant)
    return tuple(info.index_to_label_name(i) for i in range(info.num_classes()))


def uniform_filter(depth: int, operator: Operator | float) -> Filter:
    """The same operator in every block; a number is `a` of the quadratic filter."""
    return operators.read(operator, depth)


def twicing_in(depth: int, first: int, last: int) -> Filter:
    """Twicing in blocks `first` to `last` (1-based, inclusive, as the paper writes `[10-12]`), standard elsewhere."""
    if not 1 <= first <= last <= depth:
        raise ExplorerError(f"Expected 1 <= first <= last <= {depth} blocks; [{first}-{last}] came.")
    return tuple(TWICING if first <= block <= last else STANDARD for block in range(1, depth + 1))


def create(name: str, num_classes: int, filter: Filter, **options: Any) -> Any:
    """A freshly initialised model with the given filter; `options` go to timm (stochastic depth, dynamic size).

    The weights are random: whoever shows the model to people loads a checkpoint first.
    """
    row = architecture(name)
    model = timm.create_model(row.timm_name, num_classes=num_classes, **{**row.options, **options})
    make_filtered(model)
    set_filter(model, filter)
    return model


def skeleton(name: str, num_classes: int, filter: Filter, **options: Any) -> Any:
    """The model of `create` without memory: shapes only, to be compared and filled.

    Raises `ExplorerError` for options with which timm makes no such model.
    """
    row = architecture(name)
    try:
        model = _skeleton(row.timm_name, num_classes=num_classes, **{**row.options, **options})
    except Exception as error:  # whatever its layers make of numbers that do not go together
        raise ExplorerError(f"{name} was expected to be possible with {dict(options)}; timm cannot make it.") from error
    make_filtered(model)
    set_filter(model, filter)
    return model


def _skeleton(timm_name: str, **options: Any) -> Any:
    """On the meta device. Random numbers are left out where timm lets us: there they would import a compiler."""
    with torch.device("meta"):
        try:
            return timm.create_model(timm_name, weight_init="skip", **options)
        except (TypeError, AssertionError):  # other families do not know the option, or this choice of it
            return timm.create_model(timm_name, **options)
