"""Two models of an engine side by side, for whoever has no screen: the shell and Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.models import in_bfloat16, with_packed_layers
from explorer.models.named import HUB as HUB
from explorer.models.named import ModelSource as ModelSource
from explorer.models.named import filter_for, load_named
from explorer.paper.operators import Declared
from explorer.pictures.photographs import Photograph, photograph
from explorer.serving import device as devices
from explorer.serving.engine import Engine, LocalEngine, compare
from explorer.traces import Comparison
from explorer.types import ImageInput, ModelCard

_CACHE = 64 * 2**20
"""Bytes of traces that a command or a notebook keeps; they have no other cache."""


@dataclass(frozen=True, eq=False)
class ModelPair:
    """A baseline and a twicing model of one engine."""

    engine: Engine
    baseline: ModelCard
    twicing: ModelCard

    @property
    def cards(self) -> tuple[ModelCard, ModelCard]:
        return self.baseline, self.twicing

    def compare(self, image: ImageInput | Photograph | str | Path | bytes) -> Comparison:
        """Both models' traces of an image. Raises `ExplorerError` when it cannot be read."""
        decoded = image if isinstance(image, ImageInput) else photograph(image).open()
        return compare(self.engine, [decoded], (self.baseline.key, self.twicing.key))[0]

    def at(self, side: int) -> ModelPair:
        """Both models with an input of `side` pixels a side, of the same engine and the same weights in memory.

        Raises `ExplorerError` for a size that one of them cannot take.
        """
        return ModelPair(self.engine, *(self.engine.resized(card.key, side) for card in self.cards))

    def close(self) -> None:
        """Ends the engine, after what is queued; the pair answers nothing any more."""
        self.engine.close()


def load_pair(
    baseline: ModelSource = None,
    twicing: ModelSource = None,
    *,
    baseline_filter: Declared | Sequence[Declared] | None = None,
    twicing_filter: Declared | Sequence[Declared] | None = None,
    input_size: int | Sequence[int | None] | None = None,
    packed: bool | Sequence[bool] = False,
    bfloat16: bool = False,
    device: str | None = None,
) -> ModelPair:
    """Loads two models, by default the pair that opens, each under its trained filter unless another is given.

    An operator is a word such as `"twicing@10-12"` or `"neutreno=0.6"`, a number, which is `a` of the quadratic filter,
    or one for each block; another than the trained one makes a counterfactual. `input_size` asks for so many pixels on
    a side, of both models or of each, instead of what is declared. `packed` computes linear layers of both models, or
    of each, on a second copy of their weights, which some CPUs do quicker; `bfloat16` rounds weights and all on the
    way, for plain passes. Raises `ExplorerError` for what cannot be loaded, packed or rounded.
    """
    where = devices.device_called(device)
    size, other = (input_size, input_size) if input_size is None or isinstance(input_size, int) else input_size
    first = load_named(baseline, "standard", where, size)
    second = load_named(twicing, "twicing", where, other)
    if bfloat16:
        first, second = in_bfloat16(first), in_bfloat16(second)
    each = (packed, packed) if isinstance(packed, bool) else packed
    first, second = (
        with_packed_layers(model) if wanted else model for model, wanted in zip((first, second), each, strict=True)
    )
    engine = LocalEngine([first, second], where, cache_bytes=_CACHE)
    cards = [
        model.card if filter is None else engine.swapped(model.card.key, filter_for(model.card, filter))
        for model, filter in ((first, baseline_filter), (second, twicing_filter))
    ]
    return ModelPair(engine, *cards)
