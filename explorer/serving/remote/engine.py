"""The engine of an app or a command whose models compute on replicas.

Models, turns of the worker and what is remembered are here, as in a local engine; a pass or a long job is one request
to a replica. The same job, pictures and model give the same result, so what was lost with a replica is asked for again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar, cast

import ray
import torch
from ray.exceptions import ObjectLostError, RayActorError, RayError, RaySystemError, WorkerCrashedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from explorer.jobs import Job, PassJob
from explorer.jobs.passes import BatchJob
from explorer.models import LoadedModel
from explorer.pictures import preprocess
from explorer.serving.cache import limit
from explorer.serving.remote.cluster import join
from explorer.serving.remote.parcel import Parcel, unwrap, wrap, wrap_model
from explorer.serving.remote.replica import Failure, Hello, Request, Wanted
from explorer.serving.shelf import Shelf
from explorer.serving.worker import Worker
from explorer.types import WAITING, BusyError, ExplorerError, ImageInput, Progress
from explorer.version import VERSION

R = TypeVar("R")

LANES = 16
"""Passes an app asks for at once; more wait here, where the same one is asked for once."""
ANSWER_SECONDS = 110.0
"""For an answer with all that is tried again; less than `engine.ask` waits."""
SILENT_SECONDS = 30.0
"""A long job of which nothing is heard for so long is lost with its replica."""
_LOOK_SECONDS = 0.25
_PAUSES = (0.1, 3.0)
"""Before something is tried again, doubling from the first to the last."""
_LOST = (
    *(RayActorError, WorkerCrashedError, ObjectLostError, RaySystemError),
    *(DeploymentUnavailableError, ReplicaUnavailableError),
)


class _LostError(Exception):
    """A replica, or what it needed."""


class RayEngine(Shelf):
    """The engine beside replicas; `cache_bytes` of results are remembered, by default a server's share of them.

    Raises `ExplorerError` as `cluster.join` does, and where another version is served.
    """

    def __init__(self, models: Iterable[LoadedModel], *, cache_bytes: int | None = None, max_models: int = 12) -> None:
        super().__init__(models, max_models)
        self._handle = join()
        self._shipped: dict[str, Any] = {}
        """References to weights, by the keys of loaded models."""
        self._shipping = threading.Lock()
        self._seconds = 1.0
        """What an answer took, lately."""
        hello: Hello = self._again(lambda left: self._handle.hello.remote().result(timeout_s=left))
        if hello.version != VERSION:
            raise ExplorerError(f"Version {VERSION} was expected to be served; {hello.version} is.")
        self.device, self._replicas = torch.device(hello.device), hello.replicas
        kept = limit("traces") if cache_bytes is None else cache_bytes
        self._worker = Worker(self.device, kept, queue_size=256, batch_size=1, lanes=LANES, compute=self._answer)

    @property
    def at_once(self) -> int:
        """Batches of a folder that keep it busy: one that computes and one that waits for each replica."""
        return 2 * self._replicas

    def submit(
        self, job: Job[R], pictures: Sequence[ImageInput], key: str, progress: Progress | None = None
    ) -> Future[R]:
        """Takes a job in, as `LocalEngine.submit` does; long jobs of several visitors run side by side.

        Raises `BusyError` with the time to wait where too many requests wait for the replicas.
        """
        model = self.model(key)
        if isinstance(job, PassJob):
            return cast("Future[R]", self._worker.submit_all(job, pictures, model))
        future: Future[R] = Future()
        if isinstance(job, BatchJob):
            future.set_result(self._answer(job, pictures, model))
        else:
            request = self._request(job, pictures, model)
            future.set_result(self._again(lambda left: self._followed(request(), progress or _nobody)))
        return future

    def close(self) -> None:
        """Ends the worker after what is queued; the cluster goes on."""
        self._worker.close()

    def remove(self, key: str) -> None:
        """Lets go of a model, see `Shelf.remove`; replicas do when they need its room."""
        super().remove(key)
        with self._shipping:
            self._shipped = {key: sent for key, sent in self._shipped.items() if key in self._models}

    def _answer(self, job: Job[Any], pictures: Sequence[ImageInput], model: LoadedModel) -> Any:
        request = self._request(job, pictures, model)

        def asked(left: float) -> Any:
            sent = request()
            return self._opened(self._to(sent).answer.remote(sent).result(timeout_s=left), sent)

        began = time.monotonic()
        result = self._again(asked)
        self._seconds += 0.1 * (time.monotonic() - began - self._seconds)
        return result

    def _followed(self, request: Request, progress: Progress) -> Any:
        """A long job's result; what `progress` raises, in this thread alone, cancels it on its replica."""
        stream = self._to(request).options(stream=True).follow.remote(request)
        items: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def pump() -> None:
            try:
                for item in stream:
                    items.put(item)
            except BaseException as error:
                items.put(error)

        threading.Thread(target=pump, name="explorer-follow", daemon=True).start()
        heard, now = time.monotonic(), WAITING
        try:
            while True:
                try:
                    item = items.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    if time.monotonic() - heard > SILENT_SECONDS and now != WAITING:
                        raise _LostError from None
                    progress(*now)
                    continue
                heard = time.monotonic()
                if isinstance(item, BaseException):
                    raise item
                if not isinstance(item, tuple):
                    return self._opened(item, request)
                now = item
                progress(*now)
        finally:
            stream.cancel()

    def _to(self, request: Request) -> Any:
        return self._handle.options(multiplexed_model_id=request.wanted.origin)

    def _request(self, job: Job[Any], pictures: Sequence[ImageInput], model: LoadedModel) -> Callable[[], Request]:
        """What is sent, once or several times: views of the pictures, 150 kB each, and a reference to the weights."""
        card, origin = model.card, self.model(self.origin(model.card.key))
        work = wrap((job, [_view(picture, model) for picture in pictures]))
        wanted = Wanted(card.key, origin.card.key, card.filter, card.preprocessing.input_size[0])
        return lambda: Request(work, wanted, [self._weights(origin)])

    def _weights(self, model: LoadedModel) -> Any:
        with self._shipping:
            if model.card.key not in self._shipped:
                self._shipped[model.card.key] = ray.put(wrap_model(model))
            return self._shipped[model.card.key]

    def _opened(self, reply: Parcel | Failure, request: Request) -> Any:
        if isinstance(reply, Parcel):
            return unwrap(reply)
        if reply.sentence:
            raise (BusyError if reply.is_busy else ExplorerError)(reply.sentence)
        with self._shipping:
            self._shipped.pop(request.wanted.origin, None)
        raise _LostError

    def _again(self, attempt: Callable[[float], R]) -> R:
        """What an attempt comes to, made again where a replica is lost; it is given the seconds that are left."""
        until, (pause, longest) = time.monotonic() + ANSWER_SECONDS, _PAUSES
        while True:
            try:
                return attempt(max(0.0, until - time.monotonic()))
            except (_LostError, *_LOST) as error:
                if time.monotonic() + pause > until:
                    raise ExplorerError(
                        f"No replica could finish this within {ANSWER_SECONDS:g} seconds; the server's log says why."
                    ) from error
            except BackPressureError as error:
                raise BusyError(self._busy()) from error
            except TimeoutError as error:
                raise ExplorerError(
                    f"An answer within {ANSWER_SECONDS:g} seconds was expected; the replicas are still at it."
                ) from error
            except RayError as error:
                raise ExplorerError("This could not be computed; the server's log says why.") from error
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def _busy(self) -> str:
        seconds = max(1, round(LANES * self._seconds / self._replicas))
        return f"The explorer is busy: too many requests are waiting; please try again in about {seconds} s."


def _view(picture: ImageInput, model: LoadedModel) -> ImageInput:
    """What the model sees of a picture: all that a job needs, where a photograph may have 100 MB."""
    wanted = model.card.preprocessing
    if picture.view_of is not None:
        return picture
    return replace(picture, rgb=preprocess.model_view(picture.rgb, wanted), view_of=wanted)


def _nobody(done: int, total: int) -> None:
    """Hears of progress where nobody asked."""
