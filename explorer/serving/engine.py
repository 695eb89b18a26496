"""The engine: models loaded once, one traced pass per model and image, shared by every visitor.

A worker makes all traced passes, see `worker`; beside it at most one long task runs, see `turns`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from explorer.measures.similarity import Definition
from explorer.models import LoadedModel, with_filter
from explorer.models.trace import ModelSize, count, geometry
from explorer.serving.device import free_memory, is_out_of_memory
from explorer.serving.turns import Turns
from explorer.serving.worker import Worker
from explorer.types import Comparison, ExplorerError, Filter, ImageInput, ModelCard, Progress, Trace

T = TypeVar("T")

Task = Callable[[LoadedModel, Progress], T]
"""Long work with one model; it passes the progress on, or calls it, after every pass."""

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 120.0


@runtime_checkable
class Engine(Protocol):
    """What the screens need of an engine; models are named by their card's `key`."""

    device: torch.device

    @property
    def cards(self) -> Sequence[ModelCard]: ...

    def swapped(self, key: str, filter: Filter) -> ModelCard: ...

    def size(self, key: str) -> ModelSize: ...

    def heads(self, key: str) -> int: ...

    def add(self, model: LoadedModel) -> ModelCard: ...

    def remove(self, key: str) -> None: ...

    def trace(self, images: Sequence[ImageInput], key: str) -> list[Trace]: ...

    def similarity(self, images: Sequence[ImageInput], key: str, definition: Definition) -> list[Tensor]: ...

    def trace_with(self, image: ImageInput, key: str, filter: Filter) -> Trace: ...

    def compare(self, image: ImageInput, baseline: str, twicing: str) -> Comparison: ...

    def compare_all(self, images: Sequence[ImageInput], baseline: str, twicing: str) -> list[Comparison]: ...

    def run(self, key: str, task: Task[T], progress: Progress | None = None) -> T: ...


class LocalEngine:
    """The engine inside this process."""

    def __init__(
        self,
        models: Iterable[LoadedModel],
        device: torch.device,
        *,
        cache_bytes: int = 512 * 2**20,
        queue_size: int = 256,
        batch_size: int = 8,
        max_models: int = 12,
    ) -> None:
        self.device = device
        self._models: dict[str, LoadedModel] = {}
        self._trained: tuple[str, ...] = ()
        self._sizes: dict[str, ModelSize] = {}
        self._max_models = max_models
        self._changing = threading.Lock()
        self._turns = Turns()
        for model in models:
            self.add(model)
        self._worker = Worker(device, cache_bytes, queue_size, batch_size)

    @property
    def cards(self) -> Sequence[ModelCard]:
        """The models as they were trained, in the order they were given."""
        with self._changing:
            return [self._models[key].card for key in self._trained]

    def swapped(self, key: str, filter: Filter) -> ModelCard:
        """The same weights under another filter; shares their memory."""
        with self._changing:
            model = self._model(key)
            card = model.card.with_filter(filter)
            if card.key not in self._models:
                self._models[card.key] = with_filter(model, filter)
            return self._models[card.key].card

    def size(self, key: str) -> ModelSize:
        """Parameters and multiply-adds of a model, counted once."""
        if key not in self._sizes:
            self._sizes[key] = count(self._model(key).module)
        return self._sizes[key]

    def heads(self, key: str) -> int:
        """Attention heads of every block."""
        return geometry(self._model(key).module).heads

    def add(self, model: LoadedModel) -> ModelCard:
        """Takes a model in, for everybody. Raises `ExplorerError` when it cannot be traced or the engine is full."""
        geometry(model.module)
        with self._changing:
            if len(self._trained) >= self._max_models and model.card.key not in self._trained:
                raise ExplorerError(f"At most {self._max_models} models can be loaded; unload one first.")
            self._models[model.card.key] = model
            self._trained = tuple(dict.fromkeys((*self._trained, model.card.key)))
        return model.card

    def remove(self, key: str) -> None:
        """Lets go of a model and of its weights under other filters. Raises `ExplorerError` for the last one."""
        with self._changing:
            weights = self._model(key).card.digest, self._model(key).card.trained_filter
            left = tuple(other for other in self._trained if other != key)
            if not left:
                raise ExplorerError("At least one model has to stay loaded.")
            self._trained = left
            self._models = {
                other: model
                for other, model in self._models.items()
                if other in left or (model.card.digest, model.card.trained_filter) != weights
            }

    def trace(self, images: Sequence[ImageInput], key: str) -> list[Trace]:
        """Traces of the images under one model, from the cache or computed in as few batches as possible.

        Raises `ExplorerError` when the queue is full or the device has no room for a single image.
        """
        futures = [self._worker.submit(image, self._model(key)) for image in images]
        return [_answer(future) for future in futures]

    def similarity(self, images: Sequence[ImageInput], key: str, definition: Definition) -> list[Tensor]:
        """Similarity curves `[state]` of the images under one model, at the cost of plain passes; no trace is kept."""
        futures = [self._worker.submit(image, self._model(key), definition) for image in images]
        return [_answer(future) for future in futures]

    def trace_with(self, image: ImageInput, key: str, filter: Filter) -> Trace:
        """A trace under another filter than the model's own; no model is made for it."""
        traced: Trace = _answer(self._worker.submit(image, self._model(key), filter=filter))
        return traced

    def compare(self, image: ImageInput, baseline: str, twicing: str) -> Comparison:
        """The image through both models."""
        return self.compare_all([image], baseline, twicing)[0]

    def compare_all(self, images: Sequence[ImageInput], baseline: str, twicing: str) -> list[Comparison]:
        """Every image through both models; both models' requests are queued before either is waited for."""
        first, second = self._model(baseline), self._model(twicing)
        futures = [[self._worker.submit(image, model) for image in images] for model in (first, second)]
        return [Comparison(_answer(left), _answer(right)) for left, right in zip(*futures, strict=True)]

    def run(self, key: str, task: Task[T], progress: Progress | None = None) -> T:
        """Runs long work with a model's module, such as gradients, in the caller's thread when it has its turn.

        One such task runs at a time, beside the worker, and hands over between passes. `progress` is told what the task
        tells, and `turns.WAITING` while others are served; what it raises cancels. Nothing is remembered. Raises
        `ExplorerError` when too many wait, the device has no room, or the task fails.
        """
        model = self._model(key)
        try:
            with self._turns.taken(progress) as tell:
                return task(model, tell)
        except ExplorerError:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                _LOG.exception("A long task failed")
                raise ExplorerError("This could not be computed; the server's log says why.") from error
        free_memory(self.device)
        raise ExplorerError(
            f"The device ({self.device}) has no room for this with {model.card.name}; smaller batches may fit."
        )

    def close(self) -> None:
        """Ends the worker after what is queued."""
        self._worker.close()

    def _model(self, key: str) -> LoadedModel:
        try:
            return self._models[key]
        except KeyError:
            raise ExplorerError("This model is not loaded any more; please choose another.") from None


def _answer(future: Future[Any]) -> Any:
    try:
        return future.result(_WAIT_SECONDS)
    except ExplorerError:
        raise
    except TimeoutError:
        raise ExplorerError(
            f"An answer within {_WAIT_SECONDS:g} seconds was expected; the explorer is still computing it."
        ) from None
    except Exception as error:
        _LOG.exception("A traced pass failed")
        raise ExplorerError("This image could not be computed; the server's log says why.") from error
