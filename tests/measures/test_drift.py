"""Jensen-Shannon divergence and the drift between two traces."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from explorer.measures.drift import drift, jensen_shannon
from explorer.measures.settings import Definition, Queries
from explorer.measures.similarity import token_similarity
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, make_trace, normal, quadratics, stochastic

LN2 = math.log(2)


def test_against_scipy() -> None:
    p, q = stochastic(3, 4, 7), stochastic(3, 4, 7, seed=1)
    p[0, 0, 2:] = 0
    p[0, 0] /= p[0, 0].sum()
    expected = jensenshannon(p.numpy(), q.numpy(), axis=-1) ** 2
    assert np.allclose(jensen_shannon(p, q).numpy(), expected, atol=1e-12)


def test_symmetric_bounded_and_zero_for_equal_rows() -> None:
    p, q = stochastic(50, 9, sharpness=6.0), stochastic(50, 9, seed=1, sharpness=6.0)
    between = jensen_shannon(p, q)
    assert torch.equal(between, jensen_shannon(q, p))
    assert bool((between > 0).all())
    assert bool((between <= LN2).all())
    assert torch.equal(jensen_shannon(p, p), torch.zeros(50, dtype=p.dtype))


def test_rows_that_share_no_key_are_ln_2_apart() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.25, 0.75])
    assert float(jensen_shannon(p, q)) == pytest.approx(LN2)


def test_small_divergences_in_single_precision() -> None:
    """Entropies of 4 nats carry errors of 1e-7; this divergence is far below."""
    p = stochastic(197)
    q = p * (1 + 1e-4 * normal(197, seed=3))
    q = q / q.sum()
    exact = float(jensen_shannon(p, q))
    assert exact < 1e-8
    assert float(jensen_shannon(p.float(), q.float())) == pytest.approx(exact, rel=0.05)


def test_drift_written_out() -> None:
    clean = make_trace(stochastic(2, 3, 5, 5), quadratics(1.0, 2.0))
    other = make_trace(stochastic(2, 3, 5, 5, seed=1), quadratics(1.0, 2.0), tokens=normal(3, 5, 8, seed=5))
    definition = Definition(absolute=True)
    found = drift(clean, other, definition=definition)
    for layer in range(2):
        rows = jensen_shannon(clean.attention[layer], other.attention[layer])
        assert float(found.attention[layer]) == pytest.approx(float(rows.mean()))
    first = drift(clean, other, Queries.FIRST).attention
    assert float(first[1]) == pytest.approx(
        float(jensen_shannon(clean.attention[1, :, 0], other.attention[1, :, 0]).mean())
    )
    for state in range(3):
        cosines = [
            float(a @ b / a.norm() / b.norm())
            for a, b in zip(clean.tokens[state, 1:], other.tokens[state, 1:], strict=True)
        ]
        assert float(found.tokens[state]) == pytest.approx(np.mean(cosines))
    expected = token_similarity(other, definition) - token_similarity(clean, definition)
    assert torch.equal(found.similarity, expected)


def test_nothing_drifts_from_itself() -> None:
    one = make_trace(stochastic(2, 3, 5, 5), quadratics(1.0, 2.0))
    found = drift(one, one)
    assert torch.equal(found.attention, torch.zeros(2, dtype=torch.float64))
    assert torch.allclose(found.tokens, torch.ones(3, dtype=torch.float64))
    assert torch.equal(found.similarity, torch.zeros(3, dtype=torch.float64))


def test_traces_of_different_models_are_refused() -> None:
    one, other = (make_trace(stochastic(2, 3, n, n), quadratics(1.0, 2.0)) for n in (5, 6))
    with pytest.raises(ExplorerError, match="one model") as caught:
        drift(one, other)
    assert_one_sentence(str(caught.value))
