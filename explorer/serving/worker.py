"""The worker: one thread that makes all traced passes.

Requests wait in a bounded queue; the worker takes what is there, up to a batch for one model, without waiting for more.
The same request made twice at once is computed once. Results live in an LRU bounded in bytes, keyed by the image's
SHA-256, the checkpoint's SHA-256 and the filter.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.measures import similarity
from explorer.measures.similarity import Definition
from explorer.models import LoadedModel
from explorer.models.trace import geometry, states, trace
from explorer.pictures import preprocess
from explorer.serving.cache import ByteLRU
from explorer.serving.device import free_memory, is_out_of_memory
from explorer.types import ExplorerError, Filter, ImageInput, Trace

Key = tuple[str, str, Definition | None]
"""`(image digest, model key, definition of a similarity curve, or None for a trace)`."""

Result = Trace | Tensor
"""A trace, or a similarity curve."""


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


class Worker:
    """Traces and similarity curves, computed one batch at a time for whoever asks."""

    def __init__(self, device: torch.device, cache_bytes: int, queue_size: int, batch_size: int) -> None:
        self._device = device
        self._cache: ByteLRU[Key, Result] = ByteLRU(cache_bytes)
        self._pending: dict[Key, Future[Any]] = {}
        self._queue: deque[_Job] = deque()
        self._queue_size, self._batch_size = queue_size, batch_size
        self._closed = False
        self._waiting = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="explorer-engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        image: ImageInput,
        model: LoadedModel,
        definition: Definition | None = None,
        filter: Filter | None = None,
    ) -> Future[Any]:
        """The answer to come; the same request made twice at once is one. Raises `ExplorerError` when too many wait."""
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

    def close(self) -> None:
        """Ends the thread after what is queued."""
        with self._waiting:
            self._closed = True
            self._waiting.notify()
        self._thread.join()

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
            if not is_out_of_memory(error):
                self._fail(batch, error)
                return
            # Tried again below: until here the error holds the memory of the pass that failed.
        if results is not None:
            for job, result in zip(batch, results, strict=True):
                self._cache.put(job.key, result)
                self._settle(job).set_result(result)
            return
        free_memory(self._device)
        if len(batch) == 1:
            self._fail(batch, ExplorerError(_out_of_memory(batch[0].model, self._device)))
            return
        half = len(batch) // 2
        self._run(batch[:half])
        self._run(batch[half:])

    def _compute(self, batch: list[_Job]) -> Sequence[Result]:
        card, module, definition = batch[0].model.card, batch[0].model.module, batch[0].definition
        views = [preprocess.model_view(job.image.rgb, card.preprocessing) for job in batch]
        pixels = preprocess.batch(views, card.preprocessing).to(self._device)
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


def _out_of_memory(model: LoadedModel, device: torch.device) -> str:
    need = geometry(model.module).nbytes / 2**20
    return (
        f"{model.card.name} needs at least {need:.0f} MiB for one image and the device ({device}) has no room for it."
    )
