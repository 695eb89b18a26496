"""What an operator does in one pass on the weights: made once, remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float
from torch import Tensor

from explorer.arrays import array
from explorer.jobs.passes import OperatorsJob
from explorer.measures import attention, similarity, spectrum
from explorer.measures.attention import HeadRows, Query
from explorer.paper import operators
from explorer.serving.device import computing
from explorer.serving.engine import ask
from explorer.traces import Trace
from explorer.types import ModelCard, Operators, Progress
from explorer.ui import work
from explorer.ui.shell import resources
from explorer.ui.shell.session import Photo


@dataclass(frozen=True, eq=False)
class OperatorReading:
    """What the lab shows of one pass: no trace is kept for it."""

    similarity: Float[np.ndarray, " state"]
    logits: Float[Tensor, " class"]
    own: Float[np.ndarray, "head row column"]
    """The query's row of `E`, over the patches."""
    first: Float[np.ndarray, "head row column"] | None
    """Of `E_0`, where the block has one."""
    eigenvalues: Complex[np.ndarray, "head token"]
    """Of `E`, largest first; none where it is not finite."""
    multiply_adds: int

    @property
    def nbytes(self) -> int:
        maps = self.own.nbytes + (0 if self.first is None else self.first.nbytes)
        return self.similarity.nbytes + self.logits.nbytes + maps + self.eigenvalues.nbytes


def readings(
    photo: Photo, card: ModelCard, chosen: Sequence[Operators], layer: int, query: Query, tell: Progress
) -> list[OperatorReading]:
    """One for each operator, a pass after the other where they are not there yet."""
    results = []
    for number, each in enumerate(chosen):
        tell(number, len(chosen))
        results.append(_reading(photo, card, each, layer, query))
    return results


def are_there(photo: Photo, card: ModelCard, chosen: Sequence[Operators], layer: int, query: Query) -> bool:
    """Whether nothing has to be computed."""
    return all(work.kept(_key(photo, card, each, layer, query)) is not None for each in chosen)


def _key(photo: Photo, card: ModelCard, chosen: Operators, layer: int, query: Query) -> work.Key:
    return "operators", photo.digest, card.with_filter(chosen).key, layer, query


def _reading(photo: Photo, card: ModelCard, chosen: Operators, layer: int, query: Query) -> OperatorReading:
    def make() -> OperatorReading:
        trace = ask(resources.engine(), OperatorsJob(chosen), [photo.image], card.key)[0]
        with computing():
            return reading_of(trace, layer, query, cost(card, trace))

    return work.remembered(_key(photo, card, chosen, layer, query), make, lambda result: result.nbytes)


def reading_of(trace: Trace, layer: int, query: Query, multiply_adds: int) -> OperatorReading:
    """Of a trace that is there; `layer` from 0."""
    own, first = attention.rows_in(trace, layer, query)
    try:
        eigenvalues = spectrum.of_effective(trace, layer).numpy()
    except np.linalg.LinAlgError:  # of what is not finite: any number may be put in for `a`
        eigenvalues = np.zeros((trace.heads, 0), complex)
    return OperatorReading(
        array(similarity.token_similarity(trace)),
        trace.logits,
        _patches(own, trace),
        None if first is None else _patches(first, trace),
        eigenvalues,
        multiply_adds,
    )


def _patches(rows: HeadRows, trace: Trace) -> Float[np.ndarray, "head row column"]:
    maps: Float[np.ndarray, "head row column"] = np.nan_to_num(
        array(attention.patch_maps(rows, trace)), posinf=0.0, neginf=0.0
    )
    return maps


def cost(card: ModelCard, trace: Trace) -> int:
    """Multiply-adds of the traced pass: those counted of the model, and `N^2 d` for each further application of `A`.

    An operator changes nothing else that is counted: matrix products and convolutions, as papers count FLOPs.
    """
    heads, tokens, channels = trace.values.shape[1:]
    further = operators.applications(trace.filter) - operators.applications(card.filter)
    return resources.engine().size(card.key).multiply_adds + further * heads * tokens**2 * channels
