"""Rows and eigenvalues of `E` and `E_0` in one block, against the matrices written out in float64."""

import numpy as np
import pytest
import scipy.linalg
import torch

from explorer.measures import attention, spectrum
from explorer.paper import operators
from explorer.traces import Trace
from tests.helpers import make_trace, stochastic

HEADS, TOKENS = 2, 9
DEPTH = 3


def pass_under(text: str, *, sums_to_one: bool = True) -> Trace:
    A = stochastic(DEPTH, HEADS, TOKENS, TOKENS)
    return make_trace(A if sums_to_one else A * 0.97, operators.in_blocks(text, DEPTH))


def matrices(text: str, A: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """`E` and `E_0` by the equations."""
    identity, J, zero = np.eye(TOKENS), np.full((TOKENS, TOKENS), 1 / TOKENS), np.zeros((TOKENS, TOKENS))
    if layer == 0 and text in ("neutreno=0.6", "resformer", "svformer"):
        return A, zero
    return {
        "standard": (A, zero),
        "twicing": (2 * A - A @ A, zero),
        "quadratic=1.5": (1.5 * A - 0.5 * A @ A, zero),
        "boosting=3": (identity - np.linalg.matrix_power(identity - A, 3), zero),
        "neutreno=0.6": (A - 0.6 * identity, 0.6 * identity),
        "resformer": (A / 2, A / 2),
        "svformer": (zero, A),
        "centred": (A - J, zero),
        "attnscale=0.5": (J + 1.5 * (A - J), zero),
    }[text]


TEXTS = (
    *("standard", "twicing", "quadratic=1.5", "boosting=3", "neutreno=0.6", "resformer", "svformer", "centred"),
    "attnscale=0.5",
)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("query", [0, 4, None])
def test_rows_of_a_query(text: str, layer: int, query: int | None) -> None:
    trace = pass_under(text)
    own, first = attention.rows_in(trace, layer, query)
    for head in range(HEADS):
        E, E_0 = matrices(text, trace.attention[layer, head].numpy(), layer)
        expected = [M[1:].mean(axis=0) if query is None else M[query] for M in (E, E_0)]
        np.testing.assert_allclose(own[head], expected[0], atol=1e-14)
        if first is None:
            assert not E_0.any()
        else:
            np.testing.assert_allclose(first[head], expected[1], atol=1e-14)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("sums_to_one", [True, False])
def test_eigenvalues_whatever_rows_sum_to(text: str, sums_to_one: bool) -> None:
    trace = pass_under(text, sums_to_one=sums_to_one)
    values = spectrum.of_effective(trace, 1)
    assert values.dtype == torch.complex128
    assert (values.abs().diff(dim=-1) <= 1e-12).all()
    for head in range(HEADS):
        E, _ = matrices(text, trace.attention[1, head].numpy(), 1)
        expected = scipy.linalg.eigvals(E)
        np.testing.assert_allclose(np.sort(np.abs(values[head])), np.sort(np.abs(expected)), atol=1e-9)
        assert sum(values[head]).real == pytest.approx(np.trace(E), abs=1e-10)
