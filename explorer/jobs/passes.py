"""Plain passes: traces, and curves at the cost of a pass without a trace."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.arrays import array
from explorer.jobs import Job, PassJob, views
from explorer.lessons.dial import DialReading
from explorer.measures import attention, similarity
from explorer.measures.attention import Heads
from explorer.measures.settings import Definition, Matrix
from explorer.models import LoadedModel
from explorer.models.trace import states, trace
from explorer.pictures import preprocess
from explorer.traces import Trace
from explorer.types import Filter, ImageInput, ModelCard, Progress

R = TypeVar("R")


@dataclass(frozen=True)
class TraceJob(PassJob[Trace]):
    """A trace of each picture."""

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> list[Trace]:
        return trace(model.module, _pixels(model, pictures))


@dataclass(frozen=True)
class OperatorsJob(PassJob[Trace]):
    """A trace under other operators than the model's own; no model is made for them."""

    filter: Filter

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> list[Trace]:
        return trace(model.module, _pixels(model, pictures), self.filter)

    def identity(self, card: ModelCard) -> Hashable:
        """That of the trace of the model with its operator swapped."""
        return TraceJob(), card.with_filter(self.filter).key


@dataclass(frozen=True)
class DialReadingJob(PassJob[DialReading]):
    """What the lesson on the dial shows of a pass under another filter; no trace is kept."""

    filter: Filter

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> list[DialReading]:
        traces = trace(model.module, _pixels(model, pictures), self.filter, rows=False)
        return [reading_of(each) for each in traces]


def reading_of(trace: Trace) -> DialReading:
    """The same of a trace that is there."""
    query = 0 if trace.has_class_token else None
    row = attention.maps(trace, query, Matrix.EFFECTIVE, Heads.MEAN)[-1]
    return DialReading(
        array(similarity.token_similarity(trace)),
        array(attention.patch_maps(row, trace)),
        "CLS" if trace.has_class_token else "the mean patch",
        attention.is_signed(Matrix.EFFECTIVE, trace, trace.depth - 1),
        trace.logits,
    )


@dataclass(frozen=True)
class SimilarityJob(PassJob[Tensor]):
    """Similarity of each picture's tokens by state; no trace is kept."""

    definition: Definition = Definition()

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> list[Float[Tensor, " state"]]:
        prefix = model.module.num_prefix_tokens
        by_state = [
            similarity.of_tokens(x.float() if model.card.is_bfloat16 else x, self.definition, prefix)
            for x in states(model.module, _pixels(model, pictures))
        ]
        return list(torch.stack(by_state, dim=1).cpu())


@dataclass(frozen=True)
class ProbeJob(PassJob[Tensor]):
    """Whether a pass gives logits that are finite numbers, found out whenever it is asked."""

    is_remembered = False

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> list[Tensor]:
        return list(model.module(_pixels(model, pictures)).isfinite().all(dim=1).cpu())


@dataclass(frozen=True)
class BatchJob(Job[list[R]]):
    """A pass of exactly these pictures: nobody else's join them, and what it comes to is not remembered."""

    job: PassJob[R]

    def run(self, model: LoadedModel, pictures: Sequence[ImageInput], tell: Progress) -> list[R]:
        return self.job.run(model, pictures, tell)


def _pixels(model: LoadedModel, pictures: Sequence[ImageInput]) -> Float[Tensor, "image 3 height width"]:
    """The model's input, on its device and in its precision."""
    return preprocess.batch(views(model, pictures), model.card.preprocessing).to(next(model.module.parameters()))
