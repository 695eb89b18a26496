"""Where two models part, against loops over every layer, head and patch in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance

from explorer.measures import contrast
from explorer.traces import Comparison
from tests.helpers import quadratics
from tests.measures.test_steps import make_trace


def measured(comparison: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """By layer, head and patch: the way between the rows, and the smaller of the shares that patches get."""
    height, width = comparison.baseline.grid
    prefix = comparison.baseline.prefix
    p, q = (trace.attention.double().numpy()[..., prefix:, prefix:] for trace in comparison)
    ways, weights = np.zeros(p.shape[:3]), np.zeros(p.shape[:3])
    for at in np.ndindex(p.shape[:3]):
        maps = [rows[at].reshape(height, width) / rows[at].sum() for rows in (p, q)]
        for axis, length in enumerate((height, width)):
            sums = [each.sum(axis=1 - axis) for each in maps]
            ways[at] += wasserstein_distance(range(length), range(length), *sums)
        weights[at] = min(rows[at].sum() for rows in (p, q))
    return ways, weights


@pytest.mark.parametrize("prefix", [0, 1, 3])
def test_the_places_are_those_that_lie_farthest_apart(prefix: int) -> None:
    comparison = Comparison(make_trace(0, prefix=prefix), make_trace(1, prefix=prefix))
    ways, weights = measured(comparison)
    carried = ways * weights
    places = contrast.partings(comparison, 4)
    best = sorted((-carried[at, h].max(), at, h) for at in range(2) for h in range(3))[:4]
    assert [(place.layer, place.head) for place in places] == [(layer, head) for _, layer, head in best]
    for place in places:
        assert place.patch == carried[place.layer, place.head].argmax()
        assert place.distance == pytest.approx(ways[place.layer, place.head, place.patch], abs=1e-5)


def test_equal_models_part_nowhere_far() -> None:
    trace = make_trace(0)
    assert {place.distance for place in contrast.partings(Comparison(trace, trace), 3)} == {0.0}


@pytest.mark.parametrize(("place", "steps"), [((0, 0), 0.0), ((0, 1), 1.0), ((3, 0), 3.0), ((3, 4), 7.0)])
def test_a_way_is_counted_in_patches_down_and_across(place: tuple[int, int], steps: float) -> None:
    p, q = torch.zeros(4, 5), torch.zeros(4, 5)
    p[0, 0] = q[place] = 1.0
    assert float(contrast.way(p, q)) == float(contrast.way(q, p)) == steps


def test_no_less_is_carried_in_the_plane() -> None:
    """Against the earth mover's distance itself, as a linear program."""
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.full(12, 0.3), size=2)
    places = [divmod(patch, 4) for patch in range(12)]
    costs = [abs(a - c) + abs(b - d) for a, b in places for c, d in places]
    given = np.kron(np.eye(12), np.ones(12))
    taken = np.kron(np.ones(12), np.eye(12))
    least = linprog(costs, A_eq=np.vstack([given, taken]), b_eq=np.concatenate([p, q])).fun
    way = float(contrast.way(*(torch.tensor(each.reshape(3, 4)) for each in (p, q))))
    assert 0 < way <= least + 1e-9


def test_what_cls_gets_is_no_way() -> None:
    """Rows that hardly look at patches come last, however far apart."""
    first, second = make_trace(0, prefix=1), make_trace(1, prefix=1)
    for trace in (first, second):
        trace.attention[0, 0] *= 1e-6
        trace.attention[0, 0, :, 0] = 1 - trace.attention[0, 0, :, 1:].sum(dim=-1)
    last = contrast.partings(Comparison(first, second), 6)[-1]
    assert (last.layer, last.head) == (0, 0)
    assert last.distance > 0.01


def test_models_of_different_depth_and_heads_share_what_both_have() -> None:
    first, second = make_trace(0), make_trace(1, heads=2)
    shorter = replace(second, attention=second.attention[:1], values=second.values[:1], filter=quadratics(1.0))
    places = contrast.partings(Comparison(first, shorter), 9)
    assert sorted((place.layer, place.head) for place in places) == [(0, 0), (0, 1)]


def test_models_with_other_patches_have_no_rows_to_compare() -> None:
    comparison = Comparison(make_trace(0), make_trace(1, grid=(5, 4)))
    assert not contrast.is_comparable(comparison)
    assert contrast.partings(comparison, 3) == []
