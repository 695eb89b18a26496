"""The five pictures against principal components by SVD in float64, written here, and the matrices themselves."""

import numpy as np
import pytest
import torch

from explorer.measures import steps
from explorer.traces import Trace
from explorer.types import Filter
from tests.helpers import quadratics


def make_trace(
    seed: int,
    *,
    heads: int = 3,
    grid: tuple[int, int] = (4, 5),
    channels: int = 8,
    prefix: int = 1,
    filter: Filter = quadratics(1.0, 1.0),
) -> Trace:
    generator = torch.Generator().manual_seed(seed)
    tokens = grid[0] * grid[1] + prefix
    scores = 2 * torch.randn(2, heads, tokens, tokens, generator=generator)
    return Trace(
        attention=scores.softmax(dim=-1),
        values=torch.randn(2, heads, tokens, channels, generator=generator).exp(),
        tokens=torch.randn(3, tokens, heads * channels, generator=generator),
        logits=torch.zeros(3),
        grid=grid,
        prefix=prefix,
        filter=filter,
        has_class_token=prefix > 0,
    )


def expected(A: np.ndarray, V: np.ndarray, prefix: int) -> np.ndarray:
    """Steps with all heads and channels formed, then projected on right singular vectors of the centred values."""
    E = 2 * A - A @ A
    formed = [V, A @ V, V - A @ V, A @ (V - A @ V), E @ V]
    joined = [np.concatenate(list(step), axis=1)[prefix:] for step in formed]
    mean = joined[0].mean(axis=0)
    basis = np.linalg.svd(joined[0] - mean, full_matrices=False)[2][:3].T
    turned = np.sign((((joined[0] - mean) @ basis) ** 3).sum(axis=0))
    return np.stack([(step - mean * (i in (0, 1, 4))) @ (basis * turned) for i, step in enumerate(joined)])


@pytest.mark.parametrize("shape", [{}, {"channels": 2, "heads": 2}, {"prefix": 0}, {"grid": (3, 3), "prefix": 4}])
@pytest.mark.parametrize("seed", range(3))
def test_the_steps_are_projections_on_one_basis(shape: dict, seed: int) -> None:
    trace = make_trace(seed, **shape)
    for A, V in zip(trace.attention, trace.values, strict=True):
        projected, _ = steps.projections(A, V, trace.prefix)
        reference = expected(A.double().numpy(), V.double().numpy(), trace.prefix)
        np.testing.assert_allclose(projected, reference, atol=1e-5 * np.abs(reference).max())


def test_the_share_is_that_of_the_variance() -> None:
    trace = make_trace(5)
    patches = trace.values[0].transpose(0, 1).flatten(start_dim=1)[1:].double().numpy()
    variances = np.linalg.svd(patches - patches.mean(axis=0), compute_uv=False) ** 2
    _, share = steps.projections(trace.attention[0], trace.values[0], trace.prefix)
    assert float(share) == pytest.approx(variances[:3].sum() / variances.sum(), rel=1e-6)


def test_the_pictures_add_up() -> None:
    trace = make_trace(1)
    projected, _ = steps.projections(trace.attention[0], trace.values[0], trace.prefix)
    V, AV, R, AR, U = projected
    torch.testing.assert_close(V, AV + R)
    torch.testing.assert_close(U, AV + AR)


def test_one_scale_colours_all_five() -> None:
    trace = make_trace(2)
    projected, _ = steps.projections(trace.attention[0], trace.values[0], trace.prefix)
    ends = np.quantile(np.abs(projected[0].double().numpy()), steps.QUANTILE, axis=0)
    reference = np.clip(np.round(255 * (projected.double().numpy() / ends + 1) / 2), 0, 255)
    coloured = steps.colours(projected)
    assert np.abs(coloured.numpy().astype(float) - reference).max() <= 1
    assert coloured[0].float().std() > coloured[1].float().std()  # what is smoothed lies closer to grey
    assert (steps.colours(torch.cat([projected[:1], torch.zeros_like(projected[1:])]))[1:] == 128).all()


def test_signs_do_not_depend_on_the_solver() -> None:
    """The same tokens with all values turned have the same pictures: a basis is found anew, its signs are not free."""
    trace = make_trace(3, heads=1)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0]
    first, _ = steps.projections(trace.attention[0], trace.values[0], trace.prefix)
    second, _ = steps.projections(trace.attention[0], trace.values[0] @ turn, trace.prefix)
    torch.testing.assert_close(first, second, atol=1e-3, rtol=1e-4)


def test_values_that_are_all_equal_are_grey() -> None:
    trace = make_trace(4)
    projected, share = steps.projections(trace.attention[0], torch.ones_like(trace.values[0]), trace.prefix)
    assert (steps.colours(projected.round(decimals=6)) == 128).all()
    assert float(share) == 0


def test_a_trace_has_five_pictures_a_layer() -> None:
    trace = make_trace(0)
    pictures = steps.of_trace(trace, 1)
    assert pictures.rgb.shape == (1, 5, 20, 3)
    assert pictures.share.shape == (1,)
