"""Spectra against NumPy, and matrices built to have a known spectrum."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from explorer.measures.spectrum import Spectrum, spectrum
from explorer.paper import operators
from tests.helpers import assert_same_multiset, make_trace, quadratics, stochastic


def trace_of(*matrices: Tensor):
    """One layer with these heads."""
    return make_trace(torch.stack(matrices)[None], quadratics(2.0))


SWAP = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)


def cycle(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64).roll(1, dims=1)


def test_eigenvalues_equal_numpys() -> None:
    A = stochastic(2, 3, 8, 8)
    result = spectrum(make_trace(A, quadratics(1.0, 2.0)), 1)
    assert result.layer == 1
    for head in range(3):
        assert_same_multiset(result.eigenvalues[head].numpy(), np.linalg.eigvals(A[1, head].numpy()))


def test_largest_come_first() -> None:
    result = spectrum(make_trace(stochastic(1, 2, 8, 8), quadratics(2.0)), 0)
    moduli = result.eigenvalues.abs()
    assert (moduli.diff(dim=-1) <= 1e-12).all()
    assert (result.singular_values.diff(dim=-1) <= 1e-12).all()
    torch.testing.assert_close(moduli[:, 0], torch.ones(2, dtype=torch.float64))


def test_mapped_eigenvalues_are_those_of_the_twicing_matrix() -> None:
    A = stochastic(1, 2, 8, 8)
    mapped = spectrum(make_trace(A, quadratics(2.0)), 0).mapped()
    for head in range(2):
        full = A[0, head].numpy()
        assert_same_multiset(mapped[head].numpy(), np.linalg.eigvals(2 * full - full @ full))


def test_mapped_takes_any_coefficient() -> None:
    A = stochastic(1, 1, 6, 6)
    full = A[0, 0].numpy()
    mapped = spectrum(make_trace(A, quadratics(2.0)), 0).mapped(operators.quadratic(1.5))
    assert_same_multiset(mapped[0].numpy(), np.linalg.eigvals(1.5 * full - 0.5 * full @ full))


def test_singular_values_equal_numpys() -> None:
    A = stochastic(1, 2, 8, 8)
    expected = np.linalg.svd(A[0].numpy(), compute_uv=False)
    np.testing.assert_allclose(
        spectrum(make_trace(A, quadratics(2.0)), 0).singular_values.numpy(), expected, atol=1e-12
    )


def test_singular_values_do_not_obey_the_map() -> None:
    """Why the overlay shows eigenvalues."""
    A = stochastic(1, 1, 6, 6)
    s = spectrum(make_trace(A, quadratics(2.0)), 0).singular_values[0].numpy()
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
    result = spectrum(make_trace(torch.softmax(logits, dim=-1), quadratics(a)), 0)
    assert result.leaving_unit_disc(operators.quadratic(a)) == 0


def test_effective_rank_of_identity_and_rank_one() -> None:
    identity, rank_one = torch.eye(6, dtype=torch.float64), stochastic(1, 6).expand(6, 6)
    ranks = spectrum(trace_of(identity, rank_one), 0).effective_rank()
    torch.testing.assert_close(ranks, torch.tensor([6.0, 1.0], dtype=torch.float64), rtol=1e-9, atol=0)


def test_effective_rank_is_the_exponential_of_the_entropy() -> None:
    A = stochastic(1, 2, 8, 8)
    s = np.linalg.svd(A[0].numpy(), compute_uv=False)
    p = s / s.sum(-1, keepdims=True)
    expected = np.exp(-(p * np.log(p)).sum(-1))
    np.testing.assert_allclose(
        spectrum(make_trace(A, quadratics(2.0)), 0).effective_rank().numpy(), expected, rtol=1e-9
    )


def test_on_curve_takes_real_eigenvalues_that_are_not_negative_up_to_their_noise() -> None:
    values = torch.tensor([0.0, 0.3, 1.0, -0.3, 0.3 + 0.1j, 0.3 - 1e-3j, 1e-12j, 0.5 + 1e-12j], dtype=torch.complex128)
    result = Spectrum(values[None], torch.full((1, 8), 1e-9), torch.ones(1, 8), 0)
    assert result.vanishing().tolist() == [[True, False, False, False, False, False, True, False]]
    assert result.on_curve().tolist() == [[False, True, True, False, False, False, False, True]]
    assert Spectrum(values[None], torch.full((1, 8), 2e-3), torch.ones(1, 8), 0).on_curve()[0, 5], "within its noise"


def test_eigenvalues_on_the_curve_obey_it() -> None:
    A = stochastic(1, 4, 8, 8)
    result = spectrum(make_trace(A, quadratics(2.0)), 0)
    on = result.on_curve()
    moduli = result.eigenvalues.abs()
    assert on.any()
    torch.testing.assert_close(result.mapped().abs()[on], (2 * moduli - moduli**2)[on], rtol=0, atol=1e-6)


# --- noise --------------------------------------------------------------------------------------------------------


def similar(eigenvalues: np.ndarray, spread: float, seed: int = 0) -> Tensor:
    """A real matrix of these eigenvalues, two of which make a pair `a ± bi` where the first is complex, in float64.

    The basis is orthogonal and a triangle of that spread: at 0 the matrix is normal.
    """
    rng, n, blocks = np.random.default_rng(seed), len(eigenvalues), np.zeros((len(eigenvalues),) * 2)
    np.fill_diagonal(blocks, eigenvalues.real)
    for i in np.flatnonzero(eigenvalues.imag > 0):
        blocks[i, i + 1], blocks[i + 1, i] = eigenvalues[i].imag, -eigenvalues[i].imag
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    X = Q @ (np.eye(n) + spread * np.triu(rng.normal(size=(n, n)), 1))
    return torch.from_numpy(X @ blocks @ np.linalg.inv(X))


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_rank_leaves_at_zero_is_not_counted_as_real(dtype: torch.dtype, spread: float) -> None:
    """Of a matrix of known rank: real eigenvalues, pairs, negative ones, and 40 zeros that rounding spreads."""
    real, pairs = np.linspace(0.1, 1.0, 10), np.linspace(0.2, 0.8, 5) + 0.3j
    values = np.concatenate([real, np.stack([pairs, pairs.conj()], axis=1).ravel(), [-0.3, -0.5], np.zeros(40)])
    result = spectrum(trace_of(similar(values, spread).to(dtype)), 0)
    assert int(result.vanishing().sum()) == 40
    assert int(result.on_curve().sum()) == 10
    loose = (result.eigenvalues.imag.abs() < 1e-9) & (result.eigenvalues.real >= -1e-9)
    assert dtype == torch.float32 or int(loose.sum()) > 30, "what was counted before"


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 6.0])
def test_rounding_to_float32_moves_no_eigenvalue_by_more_than_its_noise(sharpness: float) -> None:
    exact = stochastic(4, 60, 60, sharpness=sharpness)
    result = spectrum(make_trace(exact[None].float(), quadratics(2.0)), 0)
    for head in range(4):
        before = np.linalg.eigvals(exact[head].numpy())
        moved = np.abs(result.eigenvalues[head].numpy()[:, None] - before).min(axis=1)
        assert (moved <= result.noise[head].numpy()).all()
        assert np.median(result.noise[head]) < 1e-3


def test_noise_is_the_condition_number_of_left_and_right_eigenvectors() -> None:
    A = stochastic(1, 1, 12, 12)
    result = spectrum(make_trace(A, quadratics(2.0)), 0)
    values, left, right = scipy.linalg.eig(A[0, 0].numpy(), left=True)
    conditions = 1 / np.abs((left.conj() * right).sum(axis=0))
    order = [int(np.abs(values - value).argmin()) for value in result.eigenvalues[0].numpy()]
    error = 12 * np.finfo(np.float64).eps * np.linalg.norm(A[0, 0].numpy(), 2)
    np.testing.assert_allclose(result.noise[0], conditions[order] * error, rtol=1e-6)


def test_where_eigenvectors_fall_together_the_others_keep_their_noise() -> None:
    """A chain that ends in a sink: 0 three times with one eigenvector, and 1."""
    chain = torch.zeros(4, 4, dtype=torch.float64)
    chain[[0, 1, 2, 3], [1, 2, 3, 3]] = 1.0
    result = spectrum(trace_of(chain), 0)
    assert result.vanishing().tolist() == [[False, True, True, True]]
    assert result.on_curve().tolist() == [[True, False, False, False]]


def test_a_sink_for_everybody_has_one_eigenvalue() -> None:
    result = spectrum(trace_of(stochastic(1, 50).expand(50, 50)), 0)
    assert result.vanishing().sum() == 49
    assert result.on_curve()[0].tolist() == [True] + [False] * 49
