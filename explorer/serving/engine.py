"""The engine: models loaded once, and one way in for all work with them, shared by every visitor.

A worker makes all plain passes, see `worker`; beside it at most one long job runs, see `turns`, and the batches of a
folder, see `batches`.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeVar, cast, runtime_checkable

import torch

from explorer.jobs import Job, PassJob
from explorer.jobs.passes import BatchJob, TraceJob
from explorer.models import LoadedModel, with_filter
from explorer.models.sizes import grid_at, with_input_size
from explorer.models.trace import ModelSize, count, geometry
from explorer.serving.cache import limit
from explorer.serving.device import free_memory, is_out_of_memory
from explorer.serving.turns import Turns
from explorer.serving.worker import Worker
from explorer.traces import Comparison
from explorer.types import ExplorerError, Filter, ImageInput, ModelCard, Progress, Size

R = TypeVar("R")

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 120.0
_MAX_DERIVED = 64
"""Models made of loaded ones that are kept; they share the weights, but visitors may think of any number of them."""


@runtime_checkable
class Engine(Protocol):
    """What everybody needs of an engine; models are named by their card's `key`."""

    device: torch.device

    @property
    def cards(self) -> Sequence[ModelCard]: ...

    def swapped(self, key: str, filter: Filter) -> ModelCard: ...

    def resized(self, key: str, side: int) -> ModelCard: ...

    def grid(self, key: str, side: int) -> Size: ...

    def size(self, key: str) -> ModelSize: ...

    def heads(self, key: str) -> int: ...
    def prefix_names(self, key: str) -> tuple[str, ...]: ...

    def add(self, model: LoadedModel) -> ModelCard: ...

    def remove(self, key: str) -> None: ...

    def held(self, keys: Iterable[str]) -> AbstractContextManager[None]: ...

    def submit(
        self, job: Job[R], pictures: Sequence[ImageInput], key: str, progress: Progress | None = None
    ) -> Future[R]: ...

    def close(self) -> None: ...


def ask(engine: Engine, job: Job[R], pictures: Sequence[ImageInput], key: str, progress: Progress | None = None) -> R:
    """The job's result, when it is there. Raises `ExplorerError` for what fails, or takes too long in the queue."""
    return _answer(engine.submit(job, pictures, key, progress))


def compare(engine: Engine, pictures: Sequence[ImageInput], keys: tuple[str, str]) -> list[Comparison]:
    """Every picture through both models; both models' requests are queued before either is waited for."""
    futures = [engine.submit(TraceJob(), pictures, key) for key in keys]
    return [Comparison(*traces) for traces in zip(*map(_answer, futures), strict=True)]


def _answer(future: Future[R]) -> R:
    try:
        return future.result(_WAIT_SECONDS)
    except TimeoutError:
        raise ExplorerError(
            f"An answer within {_WAIT_SECONDS:g} seconds was expected; the explorer has not begun or is still at it."
        ) from None


class LocalEngine:
    """The engine inside this process; `cache_bytes` of results are remembered, by default a server's share of them.

    `batch_size` is how many pictures share a pass at most, by default 1 on a CPU, where more take longer, and
    8 elsewhere; `lanes` is how many passes are made at once, by default 2 on a CPU and 1 elsewhere.
    """

    def __init__(
        self,
        models: Iterable[LoadedModel],
        device: torch.device,
        *,
        cache_bytes: int | None = None,
        queue_size: int = 256,
        batch_size: int | None = None,
        max_models: int = 12,
        lanes: int | None = None,
    ) -> None:
        self.device = device
        self._models: dict[str, LoadedModel] = {}
        self._trained: tuple[str, ...] = ()
        self._origins: dict[str, str] = {}
        """Of a model under another filter or at another size, the loaded one."""
        self._held: Counter[str] = Counter()
        self._sizes: dict[str, ModelSize] = {}
        self._max_models = max_models
        self._changing = threading.Lock()
        self._turns = Turns()
        # Batches of a folder: on a CPU side by side, elsewhere one at a time, for its memory and because some need it.
        self._batches: AbstractContextManager[object] = nullcontext() if device.type == "cpu" else threading.Lock()
        for model in models:
            self.add(model)
        kept = limit("traces") if cache_bytes is None else cache_bytes
        if batch_size is None:
            batch_size = 1 if device.type == "cpu" else 8
        self._worker = Worker(device, kept, queue_size, batch_size, lanes)

    @property
    def cards(self) -> Sequence[ModelCard]:
        """The models as they were trained, in the order they were given."""
        with self._changing:
            return [self._models[key].card for key in self._trained]

    def swapped(self, key: str, filter: Filter) -> ModelCard:
        """The same weights under another filter; shares their memory."""
        with self._changing:
            model = self._model(key)
            return self._derived(key, model.card.with_filter(filter), lambda: with_filter(model, filter))

    def resized(self, key: str, side: int) -> ModelCard:
        """The same weights, but for learnt positions, with an input of `side` pixels a side; shares their memory.

        Raises `ExplorerError` for a size that the model cannot take or whose trace has no room.
        """
        with self._changing:
            model = self._model(key)
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
        return grid_at(self._model(key), side)

    def size(self, key: str) -> ModelSize:
        """Parameters and multiply-adds of a model, counted once."""
        if key not in self._sizes:
            self._sizes[key] = count(self._model(key).module)
        return self._sizes[key]

    def heads(self, key: str) -> int:
        """Attention heads of every block."""
        return geometry(self._model(key).module).heads

    def prefix_names(self, key: str) -> tuple[str, ...]:
        """What the tokens before the patches are called."""
        return geometry(self._model(key).module).prefix_names

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
            trained = self._origin(key)
            left = tuple(other for other in self._trained if other != trained)
            if not left:
                raise ExplorerError("At least one model has to stay loaded.")
            self._trained = left
            self._let_go()

    @contextmanager
    def held(self, keys: Iterable[str]) -> Iterator[None]:
        """Inside, these models answer whoever unloads them meanwhile. Raises `ExplorerError` for one not loaded."""
        with self._changing:
            trained = {self._origin(key) for key in keys}
            self._held.update(trained)
        try:
            yield
        finally:
            with self._changing:
                self._held.subtract(trained)
                self._held = +self._held
                self._let_go()

    def _origin(self, key: str) -> str:
        """The loaded model that a model is, or was made of. Raises `ExplorerError` for one that is not there."""
        return self._origins.get(self._model(key).card.key, key)

    def _let_go(self) -> None:
        """Of what is neither loaded nor held."""
        kept = {*self._trained, *self._held}
        self._models = {key: model for key, model in self._models.items() if self._origins.get(key, key) in kept}
        self._origins = {key: origin for key, origin in self._origins.items() if key in self._models}

    def submit(
        self, job: Job[R], pictures: Sequence[ImageInput], key: str, progress: Progress | None = None
    ) -> Future[R]:
        """Takes a job in; what it comes to is the future's.

        Plain passes come from the cache or are computed in as few batches as possible. Any other job is done when this
        returns: in the caller's thread, which alone can draw `progress`, when it has its turn, beside the worker and
        handing over between passes; nothing is remembered. `progress` is told what the job tells, and
        `progress.WAITING` while others are served; what it raises cancels, and comes out here. A `BatchJob` does not
        queue for a turn, and what goes wrong in it, but for a lack of room, comes out as it is. Raises `ExplorerError`
        when too many wait, where the device has no room, and for a long job that fails.
        """
        model = self._model(key)
        if isinstance(job, PassJob):
            whole = _gathered([self._worker.submit(job, picture, model) for picture in pictures])
            return cast("Future[R]", whole)
        future: Future[R] = Future()
        do = self._beside if isinstance(job, BatchJob) else self._in_turn
        future.set_result(do(job, pictures, model, progress))
        return future

    def _beside(self, job: Job[R], pictures: Sequence[ImageInput], model: LoadedModel, progress: Progress | None) -> R:
        with self._batches:
            return self._run(job, pictures, model, progress or (lambda done, total: None))

    def _in_turn(self, job: Job[R], pictures: Sequence[ImageInput], model: LoadedModel, progress: Progress | None) -> R:
        try:
            with self._turns.taken(progress) as tell:
                return self._run(job, pictures, model, tell)
        except ExplorerError:
            raise
        except Exception as error:
            _LOG.exception("A long job failed")
            raise ExplorerError("This could not be computed; the server's log says why.") from error

    def _run(self, job: Job[R], pictures: Sequence[ImageInput], model: LoadedModel, tell: Progress) -> R:
        try:
            return job.run(model, pictures, tell)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Until here the error holds the memory of the pass that failed.
        free_memory(self.device)
        count = "1 image" if len(pictures) == 1 else f"{len(pictures)} images"
        raise ExplorerError(
            f"The device ({self.device}) has no room for {count} in {model.card.name}; smaller batches may fit."
        )

    def close(self) -> None:
        """Ends the worker after what is queued."""
        self._worker.close()

    def _model(self, key: str) -> LoadedModel:
        try:
            return self._models[key]
        except KeyError:
            raise ExplorerError("This model is not loaded any more; please choose another.") from None


def _gathered(parts: Sequence[Future[R]]) -> Future[list[R]]:
    """All results in order, when the last is there; the first error where there is one."""
    whole: Future[list[R]] = Future()
    left = len(parts)
    counting = threading.Lock()

    def settled(_: Future[R]) -> None:
        nonlocal left
        with counting:
            left -= 1
            if left > 0:
                return
        errors = [error for part in parts if (error := part.exception()) is not None]
        if errors:
            whole.set_exception(errors[0])
        else:
            whole.set_result([part.result() for part in parts])

    for part in parts:
        part.add_done_callback(settled)
    if not parts:
        whole.set_result([])
    return whole
