"""What is declared of weights, because they cannot show it: written as metadata, read back and checked once.

It stands in a safetensors file's own metadata, in a JSON beside the file, or is asked of whoever loads it; needed are
`architecture` and `filter`, the rest has defaults that say so. `input_size`, `options` of timm and `crop_pct` change
what the architecture's name stands for, `classes` names the outputs. Weights themselves are not seen here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from explorer.models import options, registry
from explorer.models.registry import Architecture
from explorer.models.weights import excerpt
from explorer.paper import operators
from explorer.types import ExplorerError, Filter, ModelCard, Preprocessing, Size

UNDECLARED = "not declared"


@dataclass(frozen=True)
class Origin:
    """Where weights come from."""

    name: str
    """What errors call them."""
    source: str
    digest: str
    declared_by: str


@dataclass(frozen=True)
class Declaration:
    """What is declared of one set of weights, and what follows from it."""

    name: str
    architecture: str
    filter: Filter
    outputs: int
    """Logits of the model: one for each class, or as many as the weights give where nobody names classes."""
    classes: tuple[str, ...]
    wnids: tuple[str, ...]
    preprocessing: Preprocessing
    recipe: str
    data: str
    top1: float | None
    git_revision: str
    license: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of timm, with `img_size` where an input size is declared or asked for."""
    declares_crop: bool = True

    @property
    def is_sized(self) -> bool:
        """Whether somebody asks for an input size, so that positions may be resampled."""
        return "img_size" in self.options

    def card(self, origin: Origin, changes: tuple[str, ...] = ()) -> ModelCard:
        """The card of weights from there, under the filter they were trained with."""
        others = [f"{name} {value}" for name, value in self.options.items() if name != "img_size"]
        own_size = registry.architecture(self.architecture).input_size
        return ModelCard(
            name=self.name,
            architecture=self.architecture + (f" ({', '.join(others)})" if others else ""),
            filter=self.filter,
            trained_filter=self.filter,
            classes=self.classes,
            wnids=self.wnids,
            outputs=self.outputs,
            preprocessing=self.preprocessing,
            recipe=self.recipe,
            data=self.data,
            top1=self.top1,
            git_revision=self.git_revision,
            digest=origin.digest,
            source=origin.source,
            declared_by=origin.declared_by,
            license=self.license,
            declares_crop=self.declares_crop,
            is_resized=self.preprocessing.input_size != own_size,
            changes=changes,
        )


def declare(
    *,
    name: str,
    architecture: str,
    filter: Filter,
    classes: tuple[str, ...],
    wnids: tuple[str, ...],
    preprocessing: Preprocessing,
    recipe: str,
    data: str,
    top1: float | None,
    git_revision: str,
    license: str = UNDECLARED,
) -> dict[str, Any]:
    """The metadata that `checkpoints.save` puts into a file and `read_declaration` expects back."""
    return {
        "name": name,
        "architecture": architecture,
        "filter": operators.written(filter),
        "classes": list(classes),
        "wnids": list(wnids),
        "preprocessing": asdict(preprocessing),
        "recipe": recipe,
        "data": data,
        "top1": top1,
        "git_revision": git_revision,
        "license": license,
    }


def read_declaration(
    name: str, metadata: Mapping[str, Any], outputs: int, input_size: int | None = None
) -> Declaration:
    """Reads metadata of weights that give so many logits; `name` is what errors call them.

    `input_size`, pixels on a side, is asked for instead of what is declared.

    Raises `ExplorerError` with one sentence for what is incomplete, not known or out of range.
    """
    try:
        row = registry.architecture(str(metadata["architecture"]))
        of_timm = _options(metadata, input_size)
        row = replace(row, depth=of_timm.get("depth", row.depth), input_size=of_timm.get("img_size", row.input_size))
        classes, wnids = _classes(metadata)
        preprocessing = _preprocessing(metadata, row, is_asked=input_size is not None)
        declaration = Declaration(
            name=str(metadata.get("name", name.rpartition(".")[0])),
            architecture=str(metadata["architecture"]),
            filter=_filter(name, metadata["filter"], row.depth),
            outputs=len(classes) or outputs,
            classes=classes,
            wnids=wnids,
            preprocessing=preprocessing,
            recipe=str(metadata.get("recipe", UNDECLARED)),
            data=str(metadata.get("data", UNDECLARED)),
            top1=None if metadata.get("top1") is None else float(metadata["top1"]),
            git_revision=str(metadata.get("git_revision", UNDECLARED)),
            license=str(metadata.get("license", UNDECLARED)),
            options=of_timm,
            declares_crop=declares_crop(metadata),
        )
    except ExplorerError as error:
        if str(error).startswith(name):
            raise
        raise ExplorerError(f"{name} declares what is not known: {excerpt(str(error).rstrip('.'), 1000)}.") from error
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RuntimeError) as error:
        raise ExplorerError(f"{name} has incomplete metadata: {excerpt(repr(error), 200)}.") from error
    _check(name, declaration, row.input_size)
    return declaration


def _check(name: str, declaration: Declaration, input_size: Size) -> None:
    pre = declaration.preprocessing
    # A tiny crop or a huge source would have every picture resized beyond what memory holds.
    if not (0.5 <= pre.crop_pct <= 1 and min(pre.std) > 0 and pre.input_size == input_size):
        raise ExplorerError(
            f"{name} declares crop {pre.crop_pct:g}, std {pre.std} and input {pre.input_size}; "
            f'a crop of 0.5 to 1, positive std and input {input_size} were expected; "input_size" by itself asks for '
            "another."
        )
    if not all(0 < source <= given for source, given in zip(pre.source_size or (1, 1), pre.input_size, strict=True)):
        raise ExplorerError(
            f"{name} declares that its images were of size {pre.source_size}; at most {pre.input_size} was expected."
        )
    top1, wnids, classes = declaration.top1, declaration.wnids, declaration.classes
    if top1 is not None and not 0 <= top1 <= 100:
        raise ExplorerError(f"{name} declares a top-1 accuracy of {top1:g}; 0 to 100 percent was expected.")
    if len(wnids) != len(classes):
        raise ExplorerError(
            f"{name} declares {len(wnids)} wnids for {len(classes)} classes; one for each was expected."
        )


def _filter(name: str, declared: Any, depth: int) -> Filter:
    """One operator for all blocks, or one for each; a number is `a` of the quadratic filter."""
    try:
        return operators.read(declared, depth)
    except ExplorerError as error:
        raise ExplorerError(
            f"{name} declares the operator {excerpt(str(declared), 80)}: {str(error).rstrip('.')}."
        ) from None


def declares_crop(metadata: Mapping[str, Any]) -> bool:
    """Whether metadata say how much of a picture is cut out."""
    pixels = metadata.get("preprocessing")
    return "crop_pct" in metadata or (isinstance(pixels, Mapping) and "crop_pct" in pixels)


def _options(metadata: Mapping[str, Any], input_size: int | None) -> dict[str, Any]:
    """timm's options; `img_size` among them is the input size of the declaration, or the one asked for."""
    declared = options.read(metadata.get("options", {}))
    size = metadata.get("input_size", declared.get("img_size")) if input_size is None else input_size
    return declared if size is None else {**declared, "img_size": options.size_of(size)}


def _classes(metadata: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and WordNet ids: of a variant of ImageNet by its name, one by one, or none where nobody names them."""
    declared = metadata.get("classes")
    if declared is None:
        return (), ()
    if isinstance(declared, str):
        return registry.class_names(declared), registry.wnids(declared)
    return tuple(map(str, declared)), tuple(map(str, metadata["wnids"]))


def _preprocessing(metadata: Mapping[str, Any], row: Architecture, *, is_asked: bool) -> Preprocessing:
    """timm's for the architecture, but for what is declared; an input size that is asked for wins over that."""
    declared = metadata.get("preprocessing") or {}
    if not isinstance(declared, Mapping):
        raise TypeError(f"preprocessing is a {type(declared).__name__}")
    fields = {**asdict(registry.preprocessing(row)), **declared}
    if "crop_pct" in metadata:
        fields["crop_pct"] = metadata["crop_pct"]
    if is_asked:
        fields["input_size"] = row.input_size
    source = fields["source_size"]
    interpolation, crop_mode = registry.transform(fields["interpolation"], fields["crop_mode"])
    return Preprocessing(
        input_size=(int(fields["input_size"][0]), int(fields["input_size"][1])),
        mean=_triple(fields["mean"]),
        std=_triple(fields["std"]),
        crop_pct=float(fields["crop_pct"]),
        source_size=None if source is None else (int(source[0]), int(source[1])),
        interpolation=interpolation,
        crop_mode=crop_mode,
    )


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"{values} is not finite")
    return red, green, blue
