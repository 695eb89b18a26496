"""One job over many batches of pictures, as folders give them; what a batch is, its caller decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from explorer.jobs import PassJob
from explorer.jobs.passes import BatchJob
from explorer.serving.device import set_threads
from explorer.serving.engine import Engine, ask
from explorer.types import ImageInput

B = TypeVar("B")
K = TypeVar("K")
R = TypeVar("R")


def map_batches(
    engine: Engine,
    job: PassJob[R],
    batches: Iterable[B],
    read: Callable[[B], tuple[K, Mapping[str, Sequence[ImageInput]]]],
) -> Generator[tuple[K, dict[str, list[R]]], None, None]:
    """What a job comes to for each batch, in order, by the keys of the models; few batches are ahead of what is taken.

    `read` makes of a batch what is kept of it and the pictures of each model; a model without pictures has no result.
    A model's pictures of a batch are one run of the job: no other request joins them and nothing divides them, so that
    the numbers depend on the batch alone. Raises what `read` and the job raise, and `ExplorerError` where a device has
    no room for a batch, which would have other numbers in halves.

    Batches are read and asked for in as many threads as the engine takes batches at once, none of which uses more than
    one of torch's. On a CPU that keeps the cores busier than threads within a pass, which wait for one another whenever
    a file is decoded meanwhile, and makes the numbers independent of how many there are.
    """

    def answered(batch: B) -> tuple[K, dict[str, list[R]]]:
        kept, by_key = read(batch)
        return kept, {key: ask(engine, BatchJob(job), pictures, key) for key, pictures in by_key.items() if pictures}

    threads, own = engine.at_once, torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "explorer-batches", set_threads, (1,))
    waiting: deque[Future[tuple[K, dict[str, list[R]]]]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(answered, batch))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        set_threads(own)  # what a thread sets is what later threads start with
