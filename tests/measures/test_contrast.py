"""Where two models part, against loops over every layer, head and patch in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer.measures import contrast
from explorer.traces import Comparison
from tests.helpers import quadratics
from tests.measures.test_steps import make_trace


def distances(comparison: Comparison) -> np.ndarray:
    p, q = (trace.attention.double().numpy() for trace in comparison)
    layers, heads, tokens, _ = p.shape
    prefix = comparison.baseline.prefix
    return np.array(
        [
            [[sum(abs(p[at, h, i] - q[at, h, i])) / 2 for i in range(prefix, tokens)] for h in range(heads)]
            for at in range(layers)
        ]
    )


@pytest.mark.parametrize("prefix", [0, 1, 3])
def test_the_places_are_those_of_the_largest_distances(prefix: int) -> None:
    comparison = Comparison(make_trace(0, prefix=prefix), make_trace(1, prefix=prefix))
    reference = distances(comparison)
    places = contrast.partings(comparison, 4)
    best = sorted((-reference[at, h].max(), at, h) for at in range(2) for h in range(3))[:4]
    assert [(place.layer, place.head) for place in places] == [(layer, head) for _, layer, head in best]
    for place in places:
        of_head = reference[place.layer, place.head]
        assert place.patch == of_head.argmax()
        assert place.distance == pytest.approx(of_head.max(), abs=1e-6)


def test_equal_models_part_nowhere_far() -> None:
    trace = make_trace(0)
    assert {place.distance for place in contrast.partings(Comparison(trace, trace), 3)} == {0.0}


def test_rows_without_a_common_key_are_as_far_apart_as_can_be() -> None:
    p, q = torch.tensor([0.25, 0.75, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 0.0])
    assert float(contrast.total_variation(p, q)) == 1.0


def test_models_of_different_depth_and_heads_share_what_both_have() -> None:
    first, second = make_trace(0), make_trace(1, heads=2)
    shorter = replace(second, attention=second.attention[:1], values=second.values[:1], filter=quadratics(1.0))
    places = contrast.partings(Comparison(first, shorter), 9)
    assert sorted((place.layer, place.head) for place in places) == [(0, 0), (0, 1)]


def test_models_with_other_patches_have_no_rows_to_compare() -> None:
    comparison = Comparison(make_trace(0), make_trace(1, grid=(5, 4)))
    assert not contrast.is_comparable(comparison)
    assert contrast.partings(comparison, 3) == []
