"""An engine that does every job at once in the caller's thread and keeps a list of them: no worker, turn or cache."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from explorer.jobs import Job
from explorer.models import LoadedModel, with_filter
from explorer.models.sizes import grid_at, with_input_size
from explorer.models.trace import ModelSize, count, geometry
from explorer.types import ExplorerError, Filter, ImageInput, ModelCard, Progress, Size

Submitted = tuple[Job[Any], tuple[str, ...], str]
"""A job, the digests of its pictures, the key of the model."""


@dataclass
class FakeEngine:
    """What `explorer.serving.engine.Engine` asks for."""

    models: list[LoadedModel]
    device: torch.device = torch.device("cpu")
    submitted: list[Submitted] = field(default_factory=list)

    @property
    def at_once(self) -> int:
        return 1

    @property
    def cards(self) -> Sequence[ModelCard]:
        return [model.card for model in self.models if not model.card.is_counterfactual]

    def swapped(self, key: str, filter: Filter) -> ModelCard:
        return self.add(with_filter(self._model(key), filter))

    def resized(self, key: str, side: int) -> ModelCard:
        return self.add(with_input_size(self._model(key), side))

    def grid(self, key: str, side: int) -> Size:
        return grid_at(self._model(key), side)

    def size(self, key: str) -> ModelSize:
        return count(self._model(key).module)

    def heads(self, key: str) -> int:
        return geometry(self._model(key).module).heads

    def prefix_names(self, key: str) -> tuple[str, ...]:
        return geometry(self._model(key).module).prefix_names

    def add(self, model: LoadedModel) -> ModelCard:
        self.models.append(model)
        return model.card

    def remove(self, key: str) -> None:
        self.models.remove(self._model(key))

    def held(self, keys: Iterable[str]) -> AbstractContextManager[None]:
        return nullcontext()

    def submit(
        self, job: Job[Any], pictures: Sequence[ImageInput], key: str, progress: Progress | None = None
    ) -> Future[Any]:
        self.submitted.append((job, tuple(picture.digest for picture in pictures), key))
        future: Future[Any] = Future()
        future.set_result(job.run(self._model(key), pictures, progress or (lambda done, total: None)))
        return future

    def close(self) -> None:
        pass

    def _model(self, key: str) -> LoadedModel:
        for model in self.models:
            if model.card.key == key:
                return model
        raise ExplorerError("This model is not loaded any more; please choose another.")
