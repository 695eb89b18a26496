"""The models of an engine: those that were loaded, and the same weights under other filters and at other sizes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from explorer.models import LoadedModel, with_filter
from explorer.models.sizes import grid_at, with_input_size
from explorer.models.trace import ModelSize, count, geometry
from explorer.types import ExplorerError, Filter, ModelCard, Size

_MAX_DERIVED = 64
"""Models made of loaded ones that are kept; they share the weights, but visitors may think of any number of them."""


class Shelf:
    """Models by the keys of their cards, at most `max_models` loaded ones; for any number of threads."""

    def __init__(self, models: Iterable[LoadedModel], max_models: int = 12) -> None:
        self._models: dict[str, LoadedModel] = {}
        self._trained: tuple[str, ...] = ()
        self._origins: dict[str, str] = {}
        """Of a model under another filter or at another size, the loaded one."""
        self._held: Counter[str] = Counter()
        self._sizes: dict[str, ModelSize] = {}
        self._max_models = max_models
        self._changing = threading.Lock()
        for model in models:
            self.add(model)

    @property
    def cards(self) -> Sequence[ModelCard]:
        """The models as they were trained, in the order they were given."""
        with self._changing:
            return [self._models[key].card for key in self._trained]

    def swapped(self, key: str, filter: Filter) -> ModelCard:
        """The same weights under another filter; shares their memory."""
        with self._changing:
            model = self.model(key)
            return self._derived(key, model.card.with_filter(filter), lambda: with_filter(model, filter))

    def resized(self, key: str, side: int) -> ModelCard:
        """The same weights, but for learnt positions, with an input of `side` pixels a side; shares their memory.

        Raises `ExplorerError` for a size that the model cannot take or whose trace has no room.
        """
        with self._changing:
            model = self.model(key)
            card = model.card.with_input_size((side, side))
            return self._derived(key, card, lambda: with_input_size(model, side))

    def _derived(self, key: str, card: ModelCard, make: Callable[[], LoadedModel]) -> ModelCard:
        """A model made of another that is there, once; it goes when that one goes, or many others were asked for."""
        if card.key not in self._models:
            self._models[card.key] = make()
        elif card.key not in self._origins:  # a loaded one
            return self._models[card.key].card
        self._origins[card.key] = self._origins.pop(card.key, self._origins.get(key, key))  # last: it was asked for now
        for oldest in list(self._origins)[:-_MAX_DERIVED]:
            if self._origins[oldest] not in self._held:
                del self._models[oldest], self._origins[oldest]
        return self._models[card.key].card

    def grid(self, key: str, side: int) -> Size:
        """Patches of a model's input at `side` pixels a side. Raises `ExplorerError` as `resized` does."""
        return grid_at(self.model(key), side)

    def size(self, key: str) -> ModelSize:
        """Parameters and multiply-adds of a model, counted once."""
        if key not in self._sizes:
            self._sizes[key] = count(self.model(key).module)
        return self._sizes[key]

    def heads(self, key: str) -> int:
        """Attention heads of every block."""
        return geometry(self.model(key).module).heads

    def prefix_names(self, key: str) -> tuple[str, ...]:
        """What the tokens before the patches are called."""
        return geometry(self.model(key).module).prefix_names

    def add(self, model: LoadedModel) -> ModelCard:
        """Takes a model in, for everybody. Raises `ExplorerError` when it cannot be traced or the engine is full."""
        geometry(model.module)
        with self._changing:
            if len(self._trained) >= self._max_models and model.card.key not in self._trained:
                raise ExplorerError(f"At most {self._max_models} models can be loaded; unload one first.")
            self._models[model.card.key] = model
            self._origins.pop(model.card.key, None)
            self._trained = tuple(dict.fromkeys((*self._trained, model.card.key)))
        return model.card

    def remove(self, key: str) -> None:
        """Lets go of a model and of its weights under other filters and at other sizes, as soon as nobody holds it.

        Raises `ExplorerError` for the last one.
        """
        with self._changing:
            trained = self.origin(key)
            left = tuple(other for other in self._trained if other != trained)
            if not left:
                raise ExplorerError("At least one model has to stay loaded.")
            self._trained = left
            self._let_go()

    @contextmanager
    def held(self, keys: Iterable[str]) -> Iterator[None]:
        """Inside, these models answer whoever unloads them meanwhile. Raises `ExplorerError` for one not loaded."""
        with self._changing:
            trained = {self.origin(key) for key in keys}
            self._held.update(trained)
        try:
            yield
        finally:
            with self._changing:
                self._held.subtract(trained)
                self._held = +self._held
                self._let_go()

    def origin(self, key: str) -> str:
        """The loaded model that a model is, or was made of. Raises `ExplorerError` for one that is not there."""
        return self._origins.get(self.model(key).card.key, key)

    def _let_go(self) -> None:
        """Of what is neither loaded nor held."""
        kept = {*self._trained, *self._held}
        self._models = {key: model for key, model in self._models.items() if self._origins.get(key, key) in kept}
        self._origins = {key: origin for key, origin in self._origins.items() if key in self._models}

    def model(self, key: str) -> LoadedModel:
        """The loaded or derived model of this key. Raises `ExplorerError` for one that is not there."""
        try:
            return self._models[key]
        except KeyError:
            raise ExplorerError("This model is not loaded any more; please choose another.") from None
