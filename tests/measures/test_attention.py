"""Rows, rollout, entropy and distance against full matrices, in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.measures import attention as measure
from explorer.measures.attention import Heads
from explorer.measures.settings import TOKEN, Matrix
from explorer.paper import operators
from explorer.traces import Trace
from explorer.types import Operators
from tests.helpers import filter_reference, make_trace, quadratics, stochastic

COEFFICIENTS = (1.0, 2.0, 1.5)
FILTER: Operators = quadratics(*COEFFICIENTS)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
ROW_MATRICES = [matrix for matrix in Matrix if matrix is not Matrix.ROLLOUT]


@pytest.fixture
def trace() -> Trace:
    """Three layers, two heads, a class token and six patches; filters differ by layer."""
    return make_trace(stochastic(3, 2, 7, 7), FILTER)


def full_matrix(A: Tensor, matrix: Matrix, a: float) -> Tensor:
    square = torch.einsum("hik,hkj->hij", A, A)
    return {
        Matrix.ATTENTION: A,
        Matrix.CORRECTION: A - square,
        Matrix.TWICING: 2 * A - square,
        Matrix.EFFECTIVE: a * A + (1 - a) * square,
    }[matrix]


def full_rollout(trace: Trace, last: int) -> Tensor:
    """`E_L ... E_1` with `E_l = (mean_h p_a(A_h) + I) / 2`, as matrices."""
    product = torch.eye(trace.attention.shape[-1], dtype=torch.float64)
    for layer in range(last + 1):
        effective, _ = filter_reference(trace.filter[layer], layer, trace.attention[layer].numpy())
        mean = torch.from_numpy(effective).mean(dim=0)
        product = (mean + torch.eye(len(mean), dtype=torch.float64)) / 2 @ product
    return product


@pytest.mark.parametrize("query", [0, 3])
@pytest.mark.parametrize("matrix", ROW_MATRICES)
def test_rows_are_rows_of_the_full_matrices(trace: Trace, matrix: Matrix, query: int) -> None:
    rows = measure.rows(trace, query, matrix)
    for layer, a in enumerate(COEFFICIENTS):
        expected = full_matrix(trace.attention[layer], matrix, a)[:, query]
        torch.testing.assert_close(rows[layer], expected, **CLOSE)


@pytest.mark.parametrize(
    ("prefix", "kinds", "token", "query"),
    [
        (1, (True, False), "cls", 0),
        (0, (False, False), "cls", None),
        (4, (True, False), "register-3", 3),
        (2, (False, False), "register-2", 1),
        (2, (True, True), "distillation", 1),
        (3, (True, True), "register-1", 2),
        (4, (True, False), "distillation", 0),  # it has none: CLS stands in
        (2, (False, False), "register-3", None),
    ],
)
def test_a_query_is_called_by_its_token(prefix: int, kinds: tuple[bool, bool], token: str, query: int | None) -> None:
    named = make_trace(stochastic(1, 1, 7, 7), quadratics(1.0), prefix=prefix)
    named = replace(named, has_class_token=kinds[0], has_distillation_token=kinds[1])
    assert measure.query_called(named, token) == query
    assert TOKEN.fullmatch(token)


def test_rollout_has_no_rows_per_head(trace: Trace) -> None:
    with pytest.raises(ValueError, match="no rows per head"):
        measure.rows(trace, 0, Matrix.ROLLOUT)


@pytest.mark.parametrize("matrix", ROW_MATRICES)
def test_maps_average_the_heads(trace: Trace, matrix: Matrix) -> None:
    maps = measure.maps(trace, 2, matrix, Heads.MEAN)
    for layer, a in enumerate(COEFFICIENTS):
        expected = full_matrix(trace.attention[layer], matrix, a)[:, 2].mean(dim=0)
        torch.testing.assert_close(maps[layer], expected, **CLOSE)


@pytest.mark.parametrize("matrix", ROW_MATRICES)
@pytest.mark.parametrize("head", [0, 1])
def test_maps_of_one_head_are_its_rows(trace: Trace, matrix: Matrix, head: int) -> None:
    maps = measure.maps(trace, 2, matrix, head)
    torch.testing.assert_close(maps, measure.rows(trace, 2, matrix)[:, head], **CLOSE)


def test_head_max_is_the_entry_of_largest_magnitude() -> None:
    per_head = torch.tensor([[[0.1, -0.2, 0.0], [-0.3, 0.1, 0.0], [0.2, 0.15, 0.0]]])
    torch.testing.assert_close(measure.combine_heads(per_head, Heads.MAX), torch.tensor([[-0.3, -0.2, 0.0]]))


def test_head_max_of_the_correction_keeps_its_sign(trace: Trace) -> None:
    maps = measure.maps(trace, 1, Matrix.CORRECTION, Heads.MAX).numpy()
    rows = measure.rows(trace, 1, Matrix.CORRECTION).numpy()
    expected = np.where(np.abs(rows[:, 0]) >= np.abs(rows[:, 1]), rows[:, 0], rows[:, 1])
    np.testing.assert_array_equal(maps, expected)
    assert (maps < 0).any()


OTHERS = ("neutreno,boosting,centred", "attnscale=1.5,resformer,svformer", "standard,neutreno=0.3,resformer")


@pytest.mark.parametrize("words", OTHERS)
@pytest.mark.parametrize("query", [0, 4, None])
def test_rows_and_rollout_of_every_operator(words: str, query: int | None) -> None:
    """`R^0 = I`, `R^l = ((mean_h E + I) R^(l-1) + mean_h E_0) / 2`, with every matrix formed."""
    trace = make_trace(stochastic(3, 2, 7, 7), operators.in_blocks(words, 3))
    picks = np.eye(7)[query] if query is not None else np.r_[0, np.full(6, 1 / 6)]
    rows, rolled, product = measure.rows(trace, query, Matrix.EFFECTIVE), measure.rollout(trace, query), np.eye(7)
    for layer, A in enumerate(trace.attention.numpy()):
        own, of_first = filter_reference(trace.filter[layer], layer, A)
        np.testing.assert_allclose(rows[layer], picks @ own, atol=1e-12)
        product = ((own.mean(axis=0) + np.eye(7)) @ product + of_first.mean(axis=0)) / 2
        np.testing.assert_allclose(rolled[layer], picks @ product, atol=1e-12)


@pytest.mark.parametrize("query", [0, 4])
def test_rollout_is_the_product_of_the_layers(trace: Trace, query: int) -> None:
    rollout = measure.rollout(trace, query)
    for last in range(3):
        torch.testing.assert_close(rollout[last], full_rollout(trace, last)[query], **CLOSE)


def test_rollout_order_matters_here(trace: Trace) -> None:
    """So that the test above tells `E_L ... E_1` from `E_1 ... E_L`."""
    backwards = make_trace(trace.attention.flip(0), FILTER[::-1])
    assert (full_rollout(backwards, 2) - full_rollout(trace, 2)).abs().max() > 1e-3


@pytest.mark.parametrize("filter", [quadratics(1.0, 1.0, 1.0), quadratics(2.0, 2.0, 2.0), FILTER])
def test_rollout_sums_to_one(trace: Trace, filter: Operators) -> None:
    rollout = measure.rollout(make_trace(trace.attention, filter), 2)
    torch.testing.assert_close(rollout.sum(-1), torch.ones(3, dtype=torch.float64), **CLOSE)


def test_rollout_may_be_negative() -> None:
    cycle = torch.eye(4, dtype=torch.float64).roll(1, dims=1).expand(1, 2, 4, 4)
    rollout = measure.rollout(make_trace(cycle, quadratics(2.0)), 0)
    expected = torch.tensor([[0.5, 1.0, -0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(rollout, expected)


def test_rollout_map_ignores_the_choice_of_heads(trace: Trace) -> None:
    maps = measure.maps(trace, 2, Matrix.ROLLOUT, Heads.MAX)
    assert torch.equal(maps, measure.rollout(trace, 2))


@pytest.mark.parametrize(
    ("matrix", "standard", "twicing"),
    [
        (Matrix.ATTENTION, False, False),
        (Matrix.EFFECTIVE, False, True),
        (Matrix.ROLLOUT, False, True),
        (Matrix.CORRECTION, True, True),
        (Matrix.TWICING, True, True),
    ],
)
def test_which_matrices_are_signed(matrix: Matrix, standard: bool, twicing: bool) -> None:
    A = stochastic(2, 1, 4, 4)
    assert measure.is_signed(matrix, make_trace(A, quadratics(1.0, 1.0)), 1) is standard
    assert measure.is_signed(matrix, make_trace(A, quadratics(1.0, 2.0)), 1) is twicing


def test_patch_maps_lay_patches_out_row_by_row() -> None:
    trace = make_trace(stochastic(1, 1, 7, 7), quadratics(1.0))
    trace = Trace(**{**vars(trace), "grid": (2, 3)})
    per_token = torch.arange(14.0).reshape(2, 7)
    expected = torch.tensor([[[1.0, 2, 3], [4, 5, 6]], [[8, 9, 10], [11, 12, 13]]])
    assert torch.equal(measure.patch_maps(per_token, trace), expected)


def test_entropy_of_uniform_and_one_hot_rows() -> None:
    uniform = torch.full((1, 5, 5), 0.2, dtype=torch.float64)
    torch.testing.assert_close(measure.entropy(uniform), torch.full((1, 5), math.log(5), dtype=torch.float64))
    assert torch.equal(measure.entropy(torch.eye(5)[None]), torch.zeros(1, 5))


def test_entropy_is_in_nats(trace: Trace) -> None:
    A = trace.attention.numpy()
    expected = -(A * np.log(A)).sum(-1)
    np.testing.assert_allclose(measure.entropy(trace.attention).numpy(), expected, rtol=1e-12)


def grid_trace(attention: Tensor) -> Trace:
    """Six patches on a grid of 2 by 3 behind a class token."""
    return Trace(**{**vars(make_trace(attention, quadratics(1.0) * len(attention))), "grid": (2, 3)})


def brute_distances(patch_size: tuple[int, int]) -> np.ndarray:
    centres = [((y + 0.5) * patch_size[0], (x + 0.5) * patch_size[1]) for y in range(2) for x in range(3)]
    return np.array([[math.dist(a, b) for b in centres] for a in centres])


def test_distance_of_uniform_attention_is_the_mean_distance() -> None:
    trace = grid_trace(torch.full((1, 1, 7, 7), 1 / 7, dtype=torch.float64))
    expected = brute_distances((8, 4)).mean(axis=1)
    np.testing.assert_allclose(measure.distance(trace, (8, 4))[0, 0].numpy(), expected, rtol=1e-6)


def test_distance_is_weighted_by_the_rows() -> None:
    trace = grid_trace(stochastic(2, 2, 7, 7))
    weights = trace.attention.numpy()[:, :, 1:, 1:]
    weights = weights / weights.sum(-1, keepdims=True)
    expected = (weights * brute_distances((8, 4))).sum(-1)
    np.testing.assert_allclose(measure.distance(trace, (8, 4)).numpy(), expected, rtol=1e-6)


def test_distance_of_identity_is_zero() -> None:
    trace = grid_trace(torch.eye(7).expand(1, 2, 7, 7))
    torch.testing.assert_close(measure.distance(trace, (8, 8)), torch.zeros(1, 2, 6))
