"""The engine: models loaded once, and one way in for all work with them, shared by every visitor.

A worker makes all plain passes, see `worker`; beside it at most one long job runs, see `turns`, and the batches of a
folder, see `batches`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar, cast, runtime_checkable

import torch

from explorer.jobs import Job, PassJob
from explorer.jobs.passes import BatchJob, TraceJob
from explorer.models import LoadedModel
from explorer.models.trace import ModelSize
from explorer.serving.cache import limit
from explorer.serving.device import free_memory, is_out_of_memory
from explorer.serving.shelf import Shelf
from explorer.serving.turns import Turns
from explorer.serving.worker import Worker
from explorer.traces import Comparison
from explorer.types import ExplorerError, Filter, ImageInput, ModelCard, Progress, Size

R = TypeVar("R")

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 120.0


@runtime_checkable
class Engine(Protocol):
    """What everybody needs of an engine; models are named by their card's `key`."""

    device: torch.device

    @property
    def at_once(self) -> int: ...

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


class LocalEngine(Shelf):
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
        super().__init__(models, max_models)
        self.device = device
        self._turns = Turns()
        # Batches of a folder: on a CPU side by side, elsewhere one at a time, for its memory and because some need it.
        self._batches: AbstractContextManager[object] = nullcontext() if device.type == "cpu" else threading.Lock()
        kept = limit("traces") if cache_bytes is None else cache_bytes
        if batch_size is None:
            batch_size = 1 if device.type == "cpu" else 8
        self._worker = Worker(device, kept, queue_size, batch_size, lanes)

    @property
    def at_once(self) -> int:
        """Batches of a folder that keep it busy: as many as torch has threads."""
        return torch.get_num_threads()

    def submit(
        self, job: Job[R], pictures: Sequence[ImageInput], key: str, progress: Progress | None = None
    ) -> Future[R]:
        """Takes a job in; what it comes to is the future's.

        Plain passes come from the cache or are computed in as few batches as possible. Any other job is done when this
        returns: in the caller's thread, which alone can draw `progress`, when it has its turn, beside the worker and
        handing over between passes; nothing is remembered. `progress` is told what the job tells, and
        `WAITING` while others are served; what it raises cancels, and comes out here. A `BatchJob` does not
        queue for a turn, and what goes wrong in it, but for a lack of room, comes out as it is. Raises `ExplorerError`
        when too many wait, where the device has no room, and for a long job that fails.
        """
        model = self.model(key)
        if isinstance(job, PassJob):
            return cast("Future[R]", self._worker.submit_all(job, pictures, model))
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
