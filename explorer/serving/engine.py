"""The engine: models loaded once, one traced pass per model and image, shared by every visitor.

One worker thread makes all traced passes. Requests wait in a bounded queue; the worker takes what is there, up to a
batch for one model, without waiting for more. The same request made twice at once is computed once. Results live in an
LRU bounded in bytes, keyed by the image's SHA-256, the checkpoint's SHA-256 and the filter. Beside the worker at most
one long task runs, see `turns`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from explorer import preprocess
from explorer.measures import similarity
from explorer.measures.similarity import Definition
from explorer.models import LoadedModel, with_filter
from explorer.serving.cache import ByteLRU
from explorer.serving.turns import Turns
from explorer.trace import ModelSize, count, geometry, states, trace
from explorer.types import Comparison, ExplorerError, Filter, ImageInput, ModelCard, Progress, Trace

T = TypeVar("T")

Task = Callable[[LoadedModel, Progress], T]
"""Long work with one model; it passes the progress on, or calls it, after every pass."""

Key = tuple[str, str, Definition | None]
"""`(image digest, model key, definition of a similarity curve, or None for a trace)`."""

Result = Trace | Tensor
"""A trace, or a similarity curve."""

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


@dataclass(frozen=True, eq=False)
class _Job:
    image: ImageInput
    model: LoadedModel
    definition: Definition | None
    filter: Filter | None = None
    """Another than the model's own."""

    @property
    def key(self) -> Key:
        card = self.model.card if self.filter is None else self.model.card.with_filter(self.filter)
        return self.image.digest, card.key, self.definition

    def goes_with(self, other: _Job) -> bool:
        """Whether one pass can answer both."""
        return self.model is other.model and (self.definition, self.filter) == (other.definition, other.filter)


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
        self._cache: ByteLRU[Key, Result] = ByteLRU(cache_bytes)
        self._pending: dict[Key, Future[Any]] = {}
        self._queue: deque[_Job] = deque()
        self._queue_size, self._batch_size = queue_size, batch_size
        self._closed = False
        self._turns = Turns()
        self._waiting = threading.Condition()
        for model in models:
            self.add(model)
        self._worker = threading.Thread(target=self._work, name="explorer-engine", daemon=True)
        self._worker.start()

    @property
    def cards(self) -> Sequence[ModelCard]:
        """The models as they were trained, in the order they were given."""
        with self._waiting:
            return [self._models[key].card for key in self._trained]

    def swapped(self, key: str, filter: Filter) -> ModelCard:
        """The same weights under another filter; shares their memory."""
        with self._waiting:
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
        with self._waiting:
            if len(self._trained) >= self._max_models and model.card.key not in self._trained:
                raise ExplorerError(f"At most {self._max_models} models can be loaded; unload one first.")
            self._models[model.card.key] = model
            self._trained = tuple(dict.fromkeys((*self._trained, model.card.key)))
        return model.card

    def remove(self, key: str) -> None:
        """Lets go of a model and of its weights under other filters. Raises `ExplorerError` for the last one."""
        with self._waiting:
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
        futures = [self._submit(image, self._model(key)) for image in images]
        return [_answer(future) for future in futures]

    def similarity(self, images: Sequence[ImageInput], key: str, definition: Definition) -> list[Tensor]:
        """Similarity curves `[state]` of the images under one model, at the cost of plain passes; no trace is kept."""
        futures = [self._submit(image, self._model(key), definition) for image in images]
        return [_answer(future) for future in futures]

    def trace_with(self, image: ImageInput, key: str, filter: Filter) -> Trace:
        """A trace under another filter than the model's own; no model is made for it."""
        traced: Trace = _answer(self._submit(image, self._model(key), filter=filter))
        return traced

    def compare(self, image: ImageInput, baseline: str, twicing: str) -> Comparison:
        """The image through both models."""
        return self.compare_all([image], baseline, twicing)[0]

    def compare_all(self, images: Sequence[ImageInput], baseline: str, twicing: str) -> list[Comparison]:
        """Every image through both models; both models' requests are queued before either is waited for."""
        first, second = self._model(baseline), self._model(twicing)
        futures = [[self._submit(image, model) for image in images] for model in (first, second)]
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
            if not _is_out_of_memory(error):
                _LOG.exception("A long task failed")
                raise ExplorerError("This could not be computed; the server's log says why.") from error
        self._free_memory()
        raise ExplorerError(
            f"The device ({self.device}) has no room for this with {model.card.name}; smaller batches may fit."
        )

    def close(self) -> None:
        """Ends the worker after what is queued."""
        with self._waiting:
            self._closed = True
            self._waiting.notify()
        self._worker.join()

    def _model(self, key: str) -> LoadedModel:
        try:
            return self._models[key]
        except KeyError:
            raise ExplorerError("This model is not loaded any more; please choose another.") from None

    def _submit(
        self,
        image: ImageInput,
        model: LoadedModel,
        definition: Definition | None = None,
        filter: Filter | None = None,
    ) -> Future[Any]:
        job = _Job(image, model, definition, filter)
        key = job.key
        with self._waiting:
            if key in self._pending:
                return self._pending[key]
            future: Future[Any] = Future()
            cached = self._cache.get(key)
            if cached is not None:
                future.set_result(cached)
            elif self._closed:
                raise ExplorerError("The explorer is shutting down and takes no more requests.")
            elif len(self._queue) >= self._queue_size:
                raise ExplorerError(
                    f"The explorer is busy: {self._queue_size} requests are waiting; please try again in a moment."
                )
            else:
                self._pending[key] = future
                self._queue.append(job)
                self._waiting.notify()
        return future

    def _work(self) -> None:
        while batch := self._next_batch():
            self._run(batch)

    def _next_batch(self) -> list[_Job]:
        """Waits for a job, then takes what else one pass can answer, up to a batch; empty once closed."""
        with self._waiting:
            self._waiting.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return []
            first = self._queue[0]
            batch = [job for job in self._queue if job.goes_with(first)][: self._batch_size]
            for job in batch:
                self._queue.remove(job)
            return batch

    def _run(self, batch: list[_Job]) -> None:
        """Computes a batch; when the device has no room for it, its halves one after the other."""
        results: Sequence[Result] | None = None
        try:
            results = self._compute(batch)
        except Exception as error:  # the worker outlives whatever one request does
            if not _is_out_of_memory(error):
                self._fail(batch, error)
                return
            # Tried again below: until here the error holds the memory of the pass that failed.
        if results is not None:
            for job, result in zip(batch, results, strict=True):
                self._cache.put(job.key, result)
                self._settle(job).set_result(result)
            return
        self._free_memory()
        if len(batch) == 1:
            self._fail(batch, ExplorerError(_out_of_memory(batch[0].model, self.device)))
            return
        half = len(batch) // 2
        self._run(batch[:half])
        self._run(batch[half:])

    def _compute(self, batch: list[_Job]) -> Sequence[Result]:
        card, module, definition = batch[0].model.card, batch[0].model.module, batch[0].definition
        views = [preprocess.model_view(job.image.rgb, card.preprocessing) for job in batch]
        pixels = preprocess.batch(views, card.preprocessing).to(self.device)
        if definition is None:
            return trace(module, pixels, batch[0].filter)
        curves = [similarity.of_tokens(x, definition, module.num_prefix_tokens) for x in states(module, pixels)]
        return list(torch.stack(curves, dim=1).cpu())  # (image, state)

    def _fail(self, batch: list[_Job], error: Exception) -> None:
        for job in batch:
            self._settle(job).set_exception(error)

    def _settle(self, job: _Job) -> Future[Any]:
        with self._waiting:
            return self._pending.pop(job.key)

    def _free_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


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


def _is_out_of_memory(error: Exception) -> bool:
    """CUDA has a type for it; the CPU's allocator and MPS raise a plain RuntimeError."""
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def _out_of_memory(model: LoadedModel, device: torch.device) -> str:
    need = geometry(model.module).nbytes / 2**20
    return (
        f"{model.card.name} needs at least {need:.0f} MiB for one image and the device ({device}) has no room for it."
    )
