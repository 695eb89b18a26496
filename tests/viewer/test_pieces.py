"""The pieces that a viewer fetches, read back by their stated layout and held against the measures in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer.measures import attention
from explorer.measures.attention import Heads
from explorer.measures.settings import Matrix
from explorer.traces import Trace
from explorer.types import DIFFERENTIAL
from explorer.viewer import pieces
from tests.helpers import make_trace, normal, quadratics, stochastic

DEPTH, HEADS, N = 3, 2, 13


@pytest.fixture
def trace() -> Trace:
    one = make_trace(
        stochastic(DEPTH, HEADS, N, N, sharpness=4.0).float(),
        quadratics(1.0, 2.0, 1.5),
        values=normal(DEPTH, HEADS, N, 4).float(),
    )
    return replace(one, grid=(3, 4))


def exact(trace: Trace) -> Trace:
    return replace(trace, attention=trace.attention.double())


def assert_within(codes: np.ndarray, scales: np.ndarray, expected: np.ndarray, steps: int = 255) -> None:
    """Every entry within its own stated error, and what float32 leaves open."""
    size = np.abs(codes.astype(float))
    back = scales[..., None] * codes * size / steps**2
    stated = scales[..., None] * (size + 0.25) / steps**2
    assert (np.abs(back - expected) <= stated * 1.02 + 1e-9).all()


def test_a_layer_is_its_heads_within_the_stated_error(trace: Trace) -> None:
    for number in range(DEPTH):
        data = pieces.layer(trace, number)
        scales = np.frombuffer(data, "<f4", HEADS * N).reshape(HEADS, N)
        codes = np.frombuffer(data, np.uint8, offset=4 * HEADS * N).reshape(HEADS, N, N)
        assert_within(codes, scales, exact(trace).attention[number].numpy())


def test_attention_of_both_signs_has_signed_codes(trace: Trace) -> None:
    """As differential attention has it, whose rows are sent alike."""
    A, B = trace.attention, stochastic(DEPTH, HEADS, N, N, seed=1, sharpness=4.0).float()
    signed = replace(trace, attention=A - 0.6 * B, filter=(DIFFERENTIAL,) * DEPTH)
    data = pieces.layer(signed, 1)
    scales = np.frombuffer(data, "<f4", HEADS * N).reshape(HEADS, N)
    codes = np.frombuffer(data, np.int8, offset=4 * HEADS * N).reshape(HEADS, N, N)
    assert codes.min() < 0 < codes.max()
    assert_within(codes, scales, exact(signed).attention[1].numpy(), 127)
    data, lines = pieces.rows(signed, 5), DEPTH * HEADS
    floats = np.frombuffer(data, "<f4", 2 * lines + DEPTH * N)
    codes = np.frombuffer(data, np.int8, offset=floats.nbytes).reshape(2, DEPTH, HEADS, N)
    row = exact(signed).attention[:, :, 5].numpy()
    square = np.einsum("lhk,lhkj->lhj", row, exact(signed).attention.numpy())
    for number, expected in enumerate((row, square)):
        assert_within(codes[number], floats[number * lines : (number + 1) * lines].reshape(DEPTH, HEADS), expected, 127)


@pytest.mark.parametrize("query", [0, 5, None])
def test_rows_are_those_of_the_query_in_every_layer(trace: Trace, query: int | None) -> None:
    data, lines = pieces.rows(trace, query), DEPTH * HEADS
    floats = np.frombuffer(data, "<f4", 2 * lines + DEPTH * N)
    codes = np.frombuffer(data, np.uint8, offset=floats.nbytes).reshape(2, DEPTH, HEADS, N)
    A = exact(trace).attention.numpy()
    row = A[:, :, trace.prefix :].mean(axis=2) if query is None else A[:, :, query]
    square = np.einsum("lhk,lhkj->lhj", row, A)
    for number, expected in enumerate((row, square)):
        scales = floats[number * lines : (number + 1) * lines].reshape(DEPTH, HEADS)
        assert_within(codes[number], scales, expected)
    rollout = floats[2 * lines :].reshape(DEPTH, N)
    np.testing.assert_allclose(rollout, attention.rollout(exact(trace), query), rtol=0, atol=1e-6)


def test_rollouts_are_products_within_half_a_step(trace: Trace) -> None:
    rows = [attention.maps(exact(trace), query, Matrix.ROLLOUT, Heads.MEAN).numpy() for query in range(N)]
    for layer, product in enumerate(pieces.products(trace)):
        data = pieces.rollout(product)
        scales = np.frombuffer(data, "<f4", N)
        codes = np.frombuffer(data, "<i2", offset=4 * N).reshape(N, N)
        back = scales[:, None] * codes / 32767.0
        expected = np.stack([row[layer] for row in rows])
        assert (np.abs(back - expected) <= scales[:, None] / 65534 + 1e-6).all()
    assert len(data) == N * (4 + 2 * N)


def test_a_row_of_zeros_stays_one() -> None:
    codes, scales = pieces.quantised(torch.zeros(1, 1, 2, 2))
    assert not codes.any()
    assert not scales.any()
