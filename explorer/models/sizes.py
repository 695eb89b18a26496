"""A loaded model at another size of its input: the same weights in memory, positions of its own.

Learnt positions are resampled by timm's function, rotary ones computed for the new grid by timm's own rule.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explorer.models import positions, registry, room
from explorer.models.checkpoints import LoadedModel, on_the_same_weights
from explorer.models.trace import geometry
from explorer.types import ExplorerError, ModelCard, Size


def with_input_size(model: LoadedModel, side: int) -> LoadedModel:
    """The model with an input of `side` pixels a side; all parameters but learnt positions are shared in memory.

    Raises `ExplorerError` as `grid_at` does, and by name for an architecture that cannot take the size.
    """
    card = model.card.with_input_size((side, side))
    if card == model.card:
        return model
    grid_at(model, side)
    module, before = on_the_same_weights(model.module), positions.grid_of(model.module)
    try:
        with torch.inference_mode(False), torch.no_grad():
            module.set_input_size(img_size=(side, side))
    except Exception as error:  # whatever the layers of a family make of it
        raise ExplorerError(
            f"{card.name} was asked for at {side} px; timm's {card.architecture} takes no other size than it was made "
            "for."
        ) from error
    changes = (*card.changes, *_changes(module, before))
    return LoadedModel(replace(card, is_resized=_is_resized(model.card, (side, side)), changes=changes), module)


def grid_at(model: LoadedModel, side: int) -> Size:
    """Patches of an input of `side` pixels a side.

    Raises `ExplorerError` for one that is not made of whole patches, is smaller than the images of the training, or
    whose trace has no room.
    """
    patch, least = positions.patch_of(model.module), max(model.card.preprocessing.source_size or (1, 1))
    count = side // patch
    if count * patch != side or side < least or not 1 <= count**2 <= positions.MOST_PATCHES:
        raise ExplorerError(
            f"{model.card.name} was asked for at {side} px; whole patches of {patch} px, {positions.MOST_PATCHES} at "
            f"most, and at least {least} px were expected."
        )
    room.check(room.at(geometry(model.module), count), patch, next(model.module.parameters()).device)
    return count, count


def _is_resized(before: ModelCard, size: Size) -> bool:
    """Whether a size is another one than the architecture's; `before` is of another size."""
    return not before.is_resized or registry.architecture(before.architecture.partition(" (")[0]).input_size != size


def _changes(module: Any, before: Size) -> list[str]:
    """What another grid did to the positions, in sentences."""
    grids = positions.Grids(before, positions.grid_of(module), module.num_prefix_tokens)
    changes = [grids.change] if isinstance(module.pos_embed, Tensor) else []
    if getattr(module, "rope", None) is not None:
        changes.append(grids.rotary_change)
    return changes
