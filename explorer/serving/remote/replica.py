"""A replica: an engine of this package's own in a process that Ray starts, watches and routes to.

Requests name their model by its key, so that Ray sends them where its weights are, and bring a reference to these for
where they are not. A replica keeps the weights used last; other filters and sizes are made of them here, and share
their memory.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import torch
from ray import ObjectRef, serve
from ray.exceptions import ObjectLostError, ReferenceCountingAssertionError
from ray.serve import Application
from ray.serve.schema import LoggingConfig

from explorer.jobs import Job, PassJob
from explorer.jobs.passes import ProbeJob
from explorer.models import LoadedModel
from explorer.serving.device import device_called
from explorer.serving.engine import LocalEngine
from explorer.serving.remote.parcel import Parcel, unwrap, unwrap_model, wrap
from explorer.serving.remote.settings import Fleet
from explorer.types import WAITING, BusyError, ExplorerError, Filter, ImageInput, ModelCard, Progress
from explorer.version import VERSION

_LOG = logging.getLogger(__name__)
LOGGING = LoggingConfig(log_level="WARNING", enable_access_log=False)
TELL_SECONDS = 0.2
"""Between two words on how far long work is, or that it goes on."""
MODELS = 8
"""Sets of weights a replica keeps; the one used longest ago goes first."""
_AT_ONCE = 32
"""Requests a replica takes in; a tenth of a second each, so that the check of its health is not long behind them."""
_CHECK_SECONDS = 30.0


@dataclass(frozen=True)
class Wanted:
    """A model, and how it comes of one that was loaded."""

    key: str
    origin: str
    filter: Filter
    side: int


@dataclass(frozen=True, eq=False)
class Request:
    """A job and its pictures, wrapped, the model, and where its weights are."""

    work: Parcel
    wanted: Wanted
    weights: list[ObjectRef]
    """One, in a list because Ray would fetch it at once otherwise."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result, in one sentence; for weights that are gone there is none, they are to be sent anew."""

    sentence: str = ""
    is_busy: bool = False


@dataclass(frozen=True)
class Hello:
    """What an engine is told of its replicas."""

    version: str
    device: str
    replicas: int


class Cancelled(BaseException):
    """Raised where a job says how far it is, once nobody wants it."""


class Watch:
    """When each piece of work was last heard of."""

    def __init__(self, silent: float) -> None:
        self._silent = silent
        self._heard: dict[object, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def over(self) -> Iterator[Callable[[], None]]:
        """Yields what is called whenever the work is heard of."""
        mine = object()

        def beat() -> None:
            with self._lock:
                self._heard[mine] = time.monotonic()

        beat()
        try:
            yield beat
        finally:
            with self._lock:
                del self._heard[mine]

    def check(self) -> None:
        """Raises `RuntimeError` when something has been silent for too long."""
        with self._lock:
            first = min(self._heard.values(), default=time.monotonic())
        if time.monotonic() - first > self._silent:
            raise RuntimeError(f"Work of this replica has said nothing for {self._silent:g} seconds.")


class Replica:
    """What Ray makes a deployment of."""

    def __init__(self, fleet: Fleet) -> None:
        torch.set_num_threads(fleet.threads)
        self._fleet, self._device = fleet, device_called()
        self._engine = LocalEngine([], self._device, lanes=1, max_models=MODELS + _AT_ONCE)
        self._watch = Watch(fleet.silent)
        self._beside = ThreadPoolExecutor(2 * _AT_ONCE, "explorer-replica")
        self._weights: dict[str, ObjectRef] = {}
        """On their way: the loader that Ray wraps is given a key and nothing else."""
        self._answers = self._answers_checked = 0

    async def hello(self) -> Hello:
        return Hello(VERSION, str(self._device), self._fleet.count)

    async def answer(self, request: Request) -> Parcel | Failure:
        """What a job comes to that says nothing on the way."""
        with self._watch.over() as beat:
            return await self._handled(request, lambda done, total: beat())

    async def follow(self, request: Request) -> AsyncIterator[tuple[int, int] | Parcel | Failure]:
        """How far a long job is, a few times a second, and what it comes to; closed, it cancels the job."""
        progress, left = WAITING, threading.Event()
        with self._watch.over() as beat:

            def tell(done: int, total: int) -> None:
                nonlocal progress
                if left.is_set():
                    raise Cancelled
                progress = done, total
                beat()

            work = asyncio.ensure_future(self._handled(request, tell))
            work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody may be left to ask
            try:
                while not (await asyncio.wait([work], timeout=TELL_SECONDS))[0]:
                    yield progress
                yield work.result()
            finally:
                left.set()

    async def check_health(self) -> None:
        """Raises where work hangs, and where a pass fails or does not end; one of them each time unless one has."""
        self._watch.check()
        if self._answers != self._answers_checked:
            self._answers_checked = self._answers
            return
        for card in self._engine.cards[:1]:
            grey = np.full((*card.preprocessing.input_size, 3), 128, np.uint8)
            picture = ImageInput("health", grey, view_of=card.preprocessing)
            try:
                future = self._engine.submit(ProbeJob(), [picture], card.key)
            except ExplorerError:  # unloaded meanwhile
                return
            (is_finite,) = await asyncio.wait_for(_result(future), _CHECK_SECONDS)
            if not is_finite:
                raise RuntimeError("A pass gave numbers that are not finite.")

    async def _handled(self, request: Request, tell: Progress) -> Parcel | Failure:
        origin = request.wanted.origin
        try:
            self._weights[origin] = request.weights[0]
            await self._resident(origin)
            with self._engine.held([origin]):
                job, pictures = unwrap(request.work)
                result = await self._run(job, pictures, self._card(request.wanted).key, tell)
        except ExplorerError as error:
            return Failure(str(error), isinstance(error, BusyError))
        except (ObjectLostError, ReferenceCountingAssertionError):
            return Failure()
        self._answers += 1
        return wrap(result)

    async def _run(self, job: Job[Any], pictures: Sequence[ImageInput], key: str, tell: Progress) -> Any:
        if isinstance(job, PassJob):
            return await _result(self._engine.submit(job, pictures, key))

        def run() -> Any:
            return self._engine.submit(job, pictures, key, tell).result()

        return await asyncio.get_running_loop().run_in_executor(self._beside, run)

    def _card(self, wanted: Wanted) -> ModelCard:
        """The model itself, made of the loaded one where it is another."""
        card = self._engine.model(wanted.origin).card
        if card.preprocessing.input_size != (wanted.side, wanted.side):
            card = self._engine.resized(card.key, wanted.side)
        if card.filter != wanted.filter:
            card = self._engine.swapped(card.key, wanted.filter)
        if card.key != wanted.key:
            raise ExplorerError("This model cannot be made of its weights on a replica; please load it anew.")
        return card

    @serve.multiplexed(max_num_models_per_replica=MODELS)
    async def _resident(self, key: str) -> Resident:
        """Weights that stay until Ray takes them away again."""
        reference = self._weights.pop(key)

        def load() -> LoadedModel:
            return unwrap_model(ray.get(reference), self._device)

        model = await asyncio.get_running_loop().run_in_executor(self._beside, load)
        self._engine.add(model)
        return Resident(self._engine, key)


class Resident:
    """A loaded model; Ray calls `__del__` where it makes room, and Python does so again."""

    def __init__(self, engine: LocalEngine, key: str) -> None:
        self._engine, self._key, self._is_gone = engine, key, False

    def __del__(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            with suppress(ExplorerError):  # the last one stays
                self._engine.remove(self._key)


async def _result(future: Future[Any]) -> Any:
    """Of a future that others may wait for as well: it goes on when this one is cancelled."""
    return await asyncio.shield(asyncio.wrap_future(future))


def application(fleet: Fleet) -> Application:
    """What Ray Serve runs."""
    scaling: dict[str, Any] = {"num_replicas": fleet.count}
    if fleet.most > fleet.count:
        bounds = {"min_replicas": fleet.count, "max_replicas": fleet.most, "target_ongoing_requests": 4}
        scaling = {"autoscaling_config": bounds}
    deployment = serve.deployment(Replica).options(
        name="replica",
        max_ongoing_requests=_AT_ONCE,
        max_queued_requests=fleet.queue,
        health_check_period_s=_CHECK_SECONDS / 3,
        health_check_timeout_s=_CHECK_SECONDS + 5,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": fleet.threads, "num_gpus": fleet.gpus},
        logging_config=LOGGING,
        **scaling,
    )
    return deployment.bind(fleet)
