"""Magnitudes of the smoothed residual against loops, in float64."""

import numpy as np
import torch

from explorer.measures.residual import magnitudes
from explorer.measures.settings import Quantity
from explorer.traces import Trace
from tests.helpers import make_trace, normal, quadratics, stochastic


def small_trace() -> Trace:
    return make_trace(stochastic(2, 3, 6, 6), quadratics(1.0, 2.0), values=normal(2, 3, 6, 4), prefix=2)


def test_magnitudes_are_norms_over_channels() -> None:
    trace = small_trace()
    result = magnitudes(trace)
    for layer in range(2):
        for head in range(3):
            A, V = trace.attention[layer, head].numpy(), trace.values[layer, head].numpy()
            for token in range(6):
                smoothed, correction = A @ V, (A - A @ A) @ V
                index = layer, head, token
                np.testing.assert_allclose(result.smoothed[index], np.sqrt((smoothed[token] ** 2).sum()), rtol=1e-12)
                np.testing.assert_allclose(
                    result.smoothed_residual[index], np.sqrt((correction[token] ** 2).sum()), rtol=1e-12
                )


def test_ratio_is_that_of_frobenius_norms_over_patches() -> None:
    trace = small_trace()
    A, V = trace.attention.numpy(), trace.values.numpy()
    smoothed, correction = (A @ V)[:, :, 2:], ((A - A @ A) @ V)[:, :, 2:]
    expected = np.sqrt((correction**2).sum((-2, -1)) / (smoothed**2).sum((-2, -1)))
    np.testing.assert_allclose(magnitudes(trace).ratio.numpy(), expected, rtol=1e-12)


def test_curve_is_the_mean_over_patches() -> None:
    result = magnitudes(small_trace())
    expected = result.smoothed_residual.numpy()[:, :, 2:].mean(axis=-1)
    np.testing.assert_allclose(result.curve(result.smoothed_residual).numpy(), expected, rtol=1e-12)


def test_quantities_of_tokens_and_layers() -> None:
    """Held against matrices: norms of every token, their mean over patches, and the ratios of either."""
    trace = small_trace()
    result = magnitudes(trace)
    A, V = trace.attention.numpy(), trace.values.numpy()
    below, above = (np.linalg.norm(one, axis=-1) for one in (A @ V, (A - A @ A) @ V))
    ratio = np.linalg.norm(above[..., 2:], axis=-1) / np.linalg.norm(below[..., 2:], axis=-1)
    expected: dict[Quantity, tuple[np.ndarray, np.ndarray]] = {
        "smoothed-residual": (above, above[..., 2:].mean(axis=-1)),
        "smoothed": (below, below[..., 2:].mean(axis=-1)),
        "ratio": (above / below, ratio),
    }
    assert tuple(expected) == tuple(Quantity)
    for quantity, (per_token, by_layer) in expected.items():
        np.testing.assert_allclose(result.per_token(Quantity(quantity)).numpy(), per_token, rtol=1e-12)
        np.testing.assert_allclose(result.by_layer(Quantity(quantity)).numpy(), by_layer, rtol=1e-12)


def test_the_ratio_of_nothing_is_nothing() -> None:
    trace = make_trace(stochastic(1, 1, 4, 4), quadratics(2.0), values=torch.zeros(1, 1, 4, 3, dtype=torch.float64))
    assert magnitudes(trace).per_token(Quantity.RATIO).abs().max() == 0


def test_identity_attention_gives_nothing_back() -> None:
    result = magnitudes(make_trace(torch.eye(5, dtype=torch.float64).expand(2, 2, 5, 5), quadratics(1.0, 2.0)))
    assert result.smoothed_residual.abs().max() == 0
    assert result.ratio.abs().max() == 0


def test_rank_one_attention_gives_nothing_back() -> None:
    result = magnitudes(make_trace(stochastic(1, 1, 1, 5).expand(1, 1, 5, 5), quadratics(2.0)))
    assert result.smoothed_residual.max() < 1e-12


def test_magnitudes_do_not_depend_on_the_filter() -> None:
    trace = small_trace()
    other = Trace(**{**vars(trace), "filter": quadratics(2.0, 1.0)})
    assert torch.equal(magnitudes(trace).smoothed_residual, magnitudes(other).smoothed_residual)
