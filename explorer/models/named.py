"""The model a person names: loaded, a file, timm's hub, or one of the pair that opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from explorer.models import hub, sources
from explorer.models.checkpoints import MODEL, SET, LoadedModel, load, with_filter
from explorer.paper import operators
from explorer.paper.operators import Declared
from explorer.types import ExplorerError, Filter, ModelCard

HUB = "hub:"
"""`hub:deit_tiny_patch16_224.fb_in1k` names a model of timm's hub wherever a file can be named."""

ModelSource = LoadedModel | str | Path | None
"""A model that was loaded, its file (`FILE#SET` for one of several sets in it), its name on timm's hub, or one
of the pair that opens."""


def load_under(
    source: ModelSource,
    variant: str,
    device: object,
    filter: Declared | Sequence[Declared] | None = None,
    input_size: int | None = None,
) -> LoadedModel:
    """`load_named`, under another operator than the trained one where one is given: a counterfactual."""
    model = load_named(source, variant, device, input_size)
    return model if filter is None else with_filter(model, filter_for(model.card, filter))


def load_named(source: ModelSource, variant: str, device: object, input_size: int | None = None) -> LoadedModel:
    """The model of `source`; for `None` the `standard` or `twicing` one of the pair that opens.

    `input_size` asks for so many pixels on a side, whatever is declared. Raises `ExplorerError` for what cannot be
    loaded.
    """
    if isinstance(source, LoadedModel):
        if input_size not in (None, *source.card.preprocessing.input_size):
            raise ExplorerError(f"{source.card.name} was loaded without an input size of {input_size} px.")
        return source
    if source is None:
        source = sources.opening(variant)
    if str(source).startswith(HUB):
        return hub.load(str(source).removeprefix(HUB), str(device), input_size=input_size)
    name, which = str(source), MODEL
    if not Path(name).exists() and SET in name:
        name, _, which = name.rpartition(SET)
    # The label by which a record names a file of the known folders names it here, too, wherever it is read.
    path = Path(name) if Path(name).exists() else sources.files().get(name, Path(name))
    return load(path, str(device), which=which, input_size=input_size)


def filter_for(card: ModelCard, given: Declared | Sequence[Declared]) -> Filter:
    """One operator for each block. Raises `ExplorerError` as `operators.in_blocks` and `operators.read` do."""
    if isinstance(given, str):
        return operators.in_blocks(given, len(card.filter))
    return operators.read(given, len(card.filter))
