"""The equations against matrices written out in full, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from explorer.paper import operators
from explorer.types import TWICING
from tests.helpers import assert_same_multiset, normal, stochastic

COEFFICIENTS = (0.0, 1.0, 1.5, 2.0, 3.0)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}

seeds = st.integers(0, 2**31)
sizes = st.integers(1, 9)


def filter_matrix(a: Tensor, coefficient: float) -> Tensor:
    A = a.numpy()
    return torch.from_numpy(coefficient * A + (1 - coefficient) * np.matmul(A, A))


def test_attention_is_the_softmax_of_scaled_products() -> None:
    q, k = normal(2, 5, 4, seed=1), normal(2, 5, 4, seed=2)
    scores = np.exp(0.3 * np.einsum("hqc,hkc->hqk", q.numpy(), k.numpy()))
    expected = torch.from_numpy(scores / scores.sum(-1, keepdims=True))
    torch.testing.assert_close(operators.attention(q, k, 0.3), expected, **CLOSE)


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_twicing_is_two_a_minus_a_squared(seed: int, n: int) -> None:
    A, V = stochastic(n, n, seed=seed), normal(n, 3, seed=seed + 1)
    torch.testing.assert_close(operators.twicing(A, V), (2 * A - A @ A) @ V, **CLOSE)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_apply_filter_equals_the_full_matrix(coefficient: float) -> None:
    A, V = stochastic(2, 3, 6, 6), normal(2, 3, 6, 4)
    expected = filter_matrix(A, coefficient) @ V
    torch.testing.assert_close(
        operators.output(operators.quadratic(coefficient), 1, A.matmul, V, None), expected, **CLOSE
    )


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_effective_is_the_filter_of_the_matrix(coefficient: float) -> None:
    A = stochastic(2, 6, 6)
    torch.testing.assert_close(
        operators.effective(A, operators.quadratic(coefficient)), filter_matrix(A, coefficient), **CLOSE
    )


@settings(max_examples=25, deadline=None)
@given(seeds, sizes, st.floats(-3, 4))
def test_rows_of_the_effective_matrix_sum_to_one(seed: int, n: int, coefficient: float) -> None:
    sums = operators.effective(stochastic(n, n, seed=seed), operators.quadratic(coefficient)).sum(dim=-1)
    torch.testing.assert_close(sums, torch.ones(n, dtype=torch.float64), **CLOSE)


def test_the_twicing_matrix_can_be_negative() -> None:
    A = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    assert operators.effective(A, TWICING).min() == -1.0


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_filter_rows_are_rows_of_the_effective_matrix(coefficient: float) -> None:
    A = stochastic(2, 7, 7)
    polynomial, _ = operators.polynomials(operators.quadratic(coefficient), 1)
    picks = torch.eye(7, dtype=torch.float64)[2:5]
    rows = polynomial.rows(picks, A)
    torch.testing.assert_close(polynomial.rows(picks, A, first=A[:, 2:5]), rows, **CLOSE)
    torch.testing.assert_close(rows, filter_matrix(A, coefficient)[:, 2:5], **CLOSE)


@settings(max_examples=25, deadline=None)
@given(seeds, sizes, st.sampled_from(COEFFICIENTS))
def test_eigenvalues_obey_the_spectral_mapping(seed: int, n: int, coefficient: float) -> None:
    A = stochastic(n, n, seed=seed)
    mapped = operators.polynomials(operators.quadratic(coefficient), 1)[0].eigenvalues(torch.linalg.eigvals(A))
    expected = np.linalg.eigvals(filter_matrix(A, coefficient).numpy())
    assert_same_multiset(mapped.numpy(), expected, tolerance=1e-6)


def test_real_eigenvalues_stay_real() -> None:
    values = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.75, 1.0], dtype=torch.float64)
    torch.testing.assert_close(operators.polynomials(TWICING, 1)[0].eigenvalues(values), expected)


def test_identity_attention_leaves_no_residual() -> None:
    V = normal(5, 3)
    assert torch.equal(operators.residual(torch.eye(5, dtype=torch.float64), V), torch.zeros_like(V))


def test_residual_is_what_smoothing_takes_away() -> None:
    A, V = stochastic(5, 5), normal(5, 3)
    expected = torch.from_numpy((np.eye(5) - A.numpy()) @ V.numpy())
    torch.testing.assert_close(operators.residual(A, V), expected, **CLOSE)


def test_smoothed_residual_is_what_twicing_adds() -> None:
    A, V = stochastic(5, 5), normal(5, 3)
    torch.testing.assert_close(operators.smoothed_residual(A, V), (A - A @ A) @ V, **CLOSE)
    torch.testing.assert_close(operators.smoothed_residual(A, V), operators.twicing(A, V) - A @ V, **CLOSE)


def test_rank_one_attention_gives_no_correction() -> None:
    A = stochastic(1, 6).expand(6, 6)
    correction = operators.smoothed_residual(A, normal(6, 3))
    torch.testing.assert_close(correction, torch.zeros_like(correction), **CLOSE)
