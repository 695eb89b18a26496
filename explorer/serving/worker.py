"""The worker: makes all plain passes, on a CPU two at a time.

Requests wait in a bounded queue; a lane of the worker takes what is there, up to a batch for one job and model, without
waiting for more. Lanes that are at work share torch's threads: two models side by side on half of the threads each need
less time than one after the other on all of them, whose threads wait for each other after every operation. The same
request made twice at once is computed once. Whatever goes wrong in a lane, it goes on with the next batch, and who
asked for the one it had is told. Results live in an LRU bounded in bytes, by the job's identity on the model
and the picture's SHA-256.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch

from explorer.jobs import PassJob
from explorer.models import LoadedModel
from explorer.models.trace import geometry
from explorer.serving.cache import ByteLRU
from explorer.serving.device import free_memory, is_out_of_memory, share_of_threads
from explorer.types import BusyError, ExplorerError, ImageInput

R = TypeVar("R")

_LOG = logging.getLogger(__name__)

CPU_LANES = 2
"""As many as a comparison has models."""

_LARGER = 2
"""So many times the cache's bytes each of them may have: 288 MiB; DeiT-Small at 28x28 patches leaves 199."""

RequestKey = tuple[Hashable, str]
"""Identity of a job on a model, and digest of the picture."""

Compute = Callable[[PassJob[Any], Sequence[ImageInput], LoadedModel], Sequence[Any]]
"""What makes a pass of pictures that share it."""


@dataclass(frozen=True, eq=False)
class _Request:
    job: PassJob[Any]
    picture: ImageInput
    model: LoadedModel
    future: Future[Any]

    @property
    def key(self) -> RequestKey:
        return self.job.identity(self.model.card), self.picture.digest

    def goes_with(self, other: _Request) -> bool:
        """Whether one pass can answer both."""
        return self.model is other.model and self.job == other.job


def here(job: PassJob[R], pictures: Sequence[ImageInput], model: LoadedModel) -> Sequence[R]:
    """The pass in this process; its share of torch's threads is given back before anybody hears of a result."""
    with share_of_threads():
        return job.run(model, pictures, lambda done, total: None)


class Worker:
    """Traces and similarity curves, computed one batch at a time for whoever asks."""

    def __init__(
        self,
        device: torch.device,
        cache_bytes: int,
        queue_size: int,
        batch_size: int,
        lanes: int | None = None,
        compute: Compute = here,
    ) -> None:
        if lanes is None:
            lanes = CPU_LANES if device.type == "cpu" else 1
        self._device, self._compute = device, compute
        self._cache: ByteLRU[RequestKey, Any] = ByteLRU(cache_bytes)
        self._larger: deque[tuple[RequestKey, Any]] = deque(maxlen=2)
        """The last two results, a pair's, of which the cache would hold one at most: a page asks at every click."""
        self._pending: dict[RequestKey, Future[Any]] = {}
        self._queue: deque[_Request] = deque()
        self._queue_size, self._batch_size = queue_size, batch_size
        self._closed = False
        self._waiting = threading.Condition()
        self._lanes = [
            threading.Thread(target=self._work, name=f"explorer-engine-{number}", daemon=True)
            for number in range(lanes)
        ]
        for lane in self._lanes:
            lane.start()

    def submit(self, job: PassJob[R], picture: ImageInput, model: LoadedModel) -> Future[R]:
        """The answer to come; the same request made twice at once is one.

        Raises `BusyError` when too many wait, and `ExplorerError` after the end.
        """
        future: Future[R] = Future()
        request = _Request(job, picture, model, future)
        key = request.key
        with self._waiting:
            if key in self._pending:
                return self._pending[key]
            cached = self._kept(key)
            if cached is not None:
                future.set_result(cast(R, cached))
            elif self._closed:
                raise ExplorerError("The explorer is shutting down and takes no more requests.")
            elif len(self._queue) >= self._queue_size:
                raise BusyError(
                    f"The explorer is busy: {self._queue_size} requests are waiting; please try again in a moment."
                )
            else:
                self._pending[key] = future
                self._queue.append(request)
                self._waiting.notify()
        return future

    def submit_all(self, job: PassJob[R], pictures: Sequence[ImageInput], model: LoadedModel) -> Future[list[R]]:
        """All answers in order, when the last is there. Raises as `submit` does."""
        return _gathered([self.submit(job, picture, model) for picture in pictures])

    def close(self) -> None:
        """Ends its threads after what is queued."""
        with self._waiting:
            self._closed = True
            self._waiting.notify_all()
        for lane in self._lanes:
            lane.join()

    def _work(self) -> None:
        serves = True
        while serves:
            try:
                serves = self._serve()
            except BaseException:  # what ends other threads, too: without this one nobody would be answered
                _LOG.exception("A lane of the worker failed and goes on")

    def _serve(self) -> bool:
        """Answers one batch; nothing of it, such as its model, is kept while the thread waits for the next."""
        batch = self._next_batch()
        try:
            if batch:
                self._run(batch)
        finally:
            if left := [request for request in batch if not request.future.done()]:
                self._fail(left, RuntimeError("the lane failed"))
        return bool(batch)

    def _next_batch(self) -> list[_Request]:
        """Waits for a request, then takes what else one pass can answer, up to a batch; empty once closed."""
        with self._waiting:
            self._waiting.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return []
            first = self._queue[0]
            batch = [request for request in self._queue if request.goes_with(first)][: self._batch_size]
            for request in batch:
                self._queue.remove(request)
            return batch

    def _run(self, batch: list[_Request]) -> None:
        """Computes a batch; when the device has no room for it, its halves one after the other."""
        results: Sequence[Any] | None = None
        try:
            results = self._compute(batch[0].job, [request.picture for request in batch], batch[0].model)
        except Exception as error:  # the worker outlives whatever one request does
            if not is_out_of_memory(error):
                self._fail(batch, error)
                return
            # Tried again below: until here the error holds the memory of the pass that failed.
        if results is not None:
            for request, result in zip(batch, results, strict=True):
                if request.job.is_remembered:
                    self._keep(request.key, result)
                self._settle(request).set_result(result)
            return
        free_memory(self._device)
        if len(batch) == 1:
            self._fail(batch, ExplorerError(_out_of_memory(batch[0].model, self._device)))
            return
        half = len(batch) // 2
        self._run(batch[:half])
        self._run(batch[half:])

    def _kept(self, key: RequestKey) -> Any:
        for known, value in list(self._larger):
            if known == key:
                return value
        return self._cache.get(key)

    def _keep(self, key: RequestKey, value: Any) -> None:
        if self._cache.capacity // 2 < value.nbytes <= self._cache.capacity * _LARGER:
            self._larger.append((key, value))
        else:
            self._cache.put(key, value)

    def _fail(self, batch: list[_Request], error: Exception) -> None:
        if not isinstance(error, ExplorerError):
            _LOG.error("A pass failed", exc_info=error)
            failure = ExplorerError("This image could not be computed; the server's log says why.")
            failure.__cause__ = error
            error = failure
        for request in batch:
            self._settle(request).set_exception(error)

    def _settle(self, request: _Request) -> Future[Any]:
        with self._waiting:
            return self._pending.pop(request.key)


def _out_of_memory(model: LoadedModel, device: torch.device) -> str:
    need = geometry(model.module).nbytes / 2**20
    return (
        f"{model.card.name} needs at least {need:.0f} MiB for one image and the device ({device}) has no room for it."
    )


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
