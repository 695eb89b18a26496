"""Spectra against NumPy, and matrices built to have a known spectrum."""

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.measures.spectrum import on_curve, spectrum
from tests.helpers import assert_same_multiset, make_trace, stochastic


def trace_of(*matrices: Tensor):
    """One layer with these heads."""
    return make_trace(torch.stack(matrices)[None], (2.0,))


SWAP = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)


def cycle(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64).roll(1, dims=1)


def test_eigenvalues_equal_numpys() -> None:
    A = stochastic(2, 3, 8, 8)
    result = spectrum(make_trace(A, (1.0, 2.0)), 1)
    assert result.layer == 1
    for head in range(3):
        assert_same_multiset(result.eigenvalues[head].numpy(), np.linalg.eigvals(A[1, head].numpy()))


def test_largest_come_first() -> None:
    result = spectrum(make_trace(stochastic(1, 2, 8, 8), (2.0,)), 0)
    moduli = result.eigenvalues.abs()
    assert (moduli.diff(dim=-1) <= 1e-12).all()
    assert (result.singular_values.diff(dim=-1) <= 1e-12).all()
    torch.testing.assert_close(moduli[:, 0], torch.ones(2, dtype=torch.float64))


def test_mapped_eigenvalues_are_those_of_the_twicing_matrix() -> None:
    A = stochastic(1, 2, 8, 8)
    mapped = spectrum(make_trace(A, (2.0,)), 0).mapped()
    for head in range(2):
        full = A[0, head].numpy()
        assert_same_multiset(mapped[head].numpy(), np.linalg.eigvals(2 * full - full @ full))


def test_mapped_takes_any_coefficient() -> None:
    A = stochastic(1, 1, 6, 6)
    full = A[0, 0].numpy()
    mapped = spectrum(make_trace(A, (2.0,)), 0).mapped(1.5)
    assert_same_multiset(mapped[0].numpy(), np.linalg.eigvals(1.5 * full - 0.5 * full @ full))


def test_singular_values_equal_numpys() -> None:
    A = stochastic(1, 2, 8, 8)
    expected = np.linalg.svd(A[0].numpy(), compute_uv=False)
    np.testing.assert_allclose(spectrum(make_trace(A, (2.0,)), 0).singular_values.numpy(), expected, atol=1e-12)


def test_singular_values_do_not_obey_the_map() -> None:
    """Why the overlay shows eigenvalues."""
    A = stochastic(1, 1, 6, 6)
    s = spectrum(make_trace(A, (2.0,)), 0).singular_values[0].numpy()
    full = A[0, 0].numpy()
    of_twicing = np.linalg.svd(2 * full - full @ full, compute_uv=False)
    assert np.abs(np.sort(2 * s - s * s) - np.sort(of_twicing)).max() > 1e-2


def test_the_swap_leaves_the_disc() -> None:
    result = spectrum(trace_of(SWAP), 0)
    assert result.leaving_unit_disc() == 1
    assert float(result.mapped().abs().max()) == pytest.approx(3.0)


def test_a_cycle_leaves_the_disc_but_for_the_eigenvalue_one() -> None:
    assert spectrum(trace_of(cycle(5)), 0).leaving_unit_disc() == 4


def test_leaving_counts_over_all_heads() -> None:
    assert spectrum(trace_of(cycle(4), cycle(4)), 0).leaving_unit_disc() == 6


def test_real_spectra_in_the_unit_interval_stay() -> None:
    """A symmetric matrix `M M^T` of this kind has real eigenvalues in [0, 1]."""
    M = torch.full((6, 6), 0.1, dtype=torch.float64) + 0.4 * torch.eye(6, dtype=torch.float64)
    assert spectrum(trace_of(M @ M.T), 0).leaving_unit_disc() == 0


def test_real_eigenvalues_leave_below_one_minus_root_two() -> None:
    def with_eigenvalue(value: float) -> Tensor:
        p = (1 + value) / 2
        return torch.tensor([[p, 1 - p], [1 - p, p]], dtype=torch.float64)

    boundary = 1 - 2**0.5
    assert spectrum(trace_of(with_eigenvalue(boundary + 1e-3)), 0).leaving_unit_disc() == 0
    assert spectrum(trace_of(with_eigenvalue(boundary - 1e-3)), 0).leaving_unit_disc() == 1


@pytest.mark.parametrize("a", [1.0, 1.5, 2.0])
def test_rounding_of_float32_rows_counts_nothing_as_leaving(a: float) -> None:
    """Rows of a float32 softmax sum to 1 within 1e-7, so the eigenvalue 1 is off by as much."""
    logits = 0.2 * torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    assert spectrum(make_trace(torch.softmax(logits, dim=-1), (a,)), 0).leaving_unit_disc(a) == 0


def test_effective_rank_of_identity_and_rank_one() -> None:
    identity, rank_one = torch.eye(6, dtype=torch.float64), stochastic(1, 6).expand(6, 6)
    ranks = spectrum(trace_of(identity, rank_one), 0).effective_rank()
    torch.testing.assert_close(ranks, torch.tensor([6.0, 1.0], dtype=torch.float64), rtol=1e-9, atol=0)


def test_effective_rank_is_the_exponential_of_the_entropy() -> None:
    A = stochastic(1, 2, 8, 8)
    s = np.linalg.svd(A[0].numpy(), compute_uv=False)
    p = s / s.sum(-1, keepdims=True)
    expected = np.exp(-(p * np.log(p)).sum(-1))
    np.testing.assert_allclose(spectrum(make_trace(A, (2.0,)), 0).effective_rank().numpy(), expected, rtol=1e-9)


def test_on_curve_takes_real_eigenvalues_that_are_not_negative() -> None:
    values = torch.tensor([0.0, 0.3, 1.0, -0.3, 0.3 + 0.1j, 0.3 - 1e-3j, 1e-12j, 0.5 + 1e-12j], dtype=torch.complex128)
    assert on_curve(values).tolist() == [True, True, True, False, False, False, True, True]


def test_eigenvalues_on_the_curve_obey_it() -> None:
    A = stochastic(1, 4, 8, 8)
    result = spectrum(make_trace(A, (2.0,)), 0)
    on = on_curve(result.eigenvalues)
    moduli = result.eigenvalues.abs()
    assert on.any()
    torch.testing.assert_close(result.mapped().abs()[on], (2 * moduli - moduli**2)[on], rtol=0, atol=1e-6)
