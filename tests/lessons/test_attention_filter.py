"""Attention and nonlocal means over patches, against plain loops."""

import numpy as np
import pytest

from explorer.lessons import attention_filter
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, stochastic

GRID = (3, 4)


def picture(side: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((GRID[0] * side, GRID[1] * side, 3)).astype(np.float32)


def head(prefix: int = 2) -> np.ndarray:
    return stochastic(12 + prefix, 12 + prefix).numpy().astype(np.float32)


# --- patches ------------------------------------------------------------------------------------------------------


def test_patches_are_cut_row_by_row_and_joined_again() -> None:
    whole = picture()
    patches = attention_filter.cut(whole, GRID)
    for y in range(GRID[0]):
        for x in range(GRID[1]):
            expected = whole[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            np.testing.assert_array_equal(patches[y * GRID[1] + x].reshape(2, 2, 3), expected)
            np.testing.assert_allclose(
                attention_filter.mean_colours(patches)[y * GRID[1] + x], expected.mean(axis=(0, 1)), rtol=1e-6
            )
    np.testing.assert_array_equal(attention_filter.joined(patches, GRID, (2, 2)), whole)


def test_colours_are_joined_to_one_pixel_a_patch() -> None:
    colours = attention_filter.mean_colours(attention_filter.cut(picture(), GRID))
    joined = attention_filter.joined(colours, GRID)
    assert joined.shape == (*GRID, 3)
    np.testing.assert_array_equal(joined[1, 2], colours[1 * GRID[1] + 2])


def test_a_picture_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ExplorerError) as caught:
        attention_filter.cut(picture()[:-1], GRID)
    assert_one_sentence(str(caught.value))


# --- filters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bandwidth", [0.05, 0.3, 2.0])
def test_nonlocal_means_is_its_definition_in_loops(bandwidth: float) -> None:
    pixels = attention_filter.cut(picture(), GRID)
    found = attention_filter.nonlocal_means(pixels, bandwidth, GRID)
    for i, one in enumerate(pixels.astype(np.float64)):
        weights = [np.exp(-np.mean((one - other) ** 2) / bandwidth**2) for other in pixels.astype(np.float64)]
        np.testing.assert_allclose(found.matrix[i], np.array(weights) / sum(weights), atol=1e-12)
    assert found.complex_count == found.negative_count == 0
    assert found.eigenvalues[0].real == pytest.approx(1.0)


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_attention_over_patches_is_renormalised(prefix: int) -> None:
    A = head(prefix)
    found = attention_filter.attention(A, prefix, GRID)
    kept = []
    for i in range(12):
        row = [float(A[prefix + i, prefix + j]) for j in range(12)]
        np.testing.assert_allclose(found.matrix[i], [one / sum(row) for one in row], rtol=1e-12)
        kept.append(sum(row))
    assert attention_filter.prefix_weight(A, prefix) == pytest.approx(1 - np.mean(kept), abs=1e-6)


def test_a_patch_that_attends_to_no_patch_is_refused() -> None:
    A = np.zeros((13, 13), dtype=np.float32)
    A[:, 0] = 1.0
    with pytest.raises(ExplorerError) as caught:
        attention_filter.attention(A, 1, GRID)
    assert_one_sentence(str(caught.value))


def test_a_bandwidth_of_zero_is_refused() -> None:
    with pytest.raises(ExplorerError):
        attention_filter.nonlocal_means(np.zeros((12, 3)), 0.0, GRID)


def test_the_steps_in_loops() -> None:
    filter = attention_filter.attention(head(), 2, GRID)
    A, V = filter.matrix, attention_filter.mean_colours(attention_filter.cut(picture(), GRID))
    once = np.array([sum(A[i, j] * V[j] for j in range(12)) for i in range(12)])
    again = np.array([sum(A[i, j] * (V[j] - once[j]) for j in range(12)) for i in range(12)])
    found = filter.apply(V)
    np.testing.assert_allclose(found.values, V)
    np.testing.assert_allclose(found.smoothed, once, atol=1e-7)
    np.testing.assert_allclose(found.residual, V - once, atol=1e-7)
    np.testing.assert_allclose(found.smoothed_residual, again, atol=1e-7)
    np.testing.assert_allclose(found.twiced, (2 * A - A @ A) @ V, atol=1e-7)


def test_a_row_is_a_map() -> None:
    filter = attention_filter.attention(head(), 2, GRID)
    np.testing.assert_array_equal(filter.row(2, 1).ravel(), filter.matrix[9])
    assert filter.row(0, 0).sum() == pytest.approx(1.0)


def test_breadth_counts_patches() -> None:
    assert attention_filter.PatchFilter(np.eye(12), GRID).breadth == pytest.approx(1.0)
    assert attention_filter.PatchFilter(np.full((12, 12), 1 / 12), GRID).breadth == pytest.approx(12.0)


def test_complex_and_negative_eigenvalues_are_counted() -> None:
    around = np.roll(np.eye(3), 1, axis=1)  # eigenvalues 1 and two complex ones
    assert attention_filter.PatchFilter(around, (1, 3)).complex_count == 2
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert attention_filter.PatchFilter(swap, (1, 2)).negative_count == 1


def test_likeness_is_the_correlation_with_what_was_filtered() -> None:
    V = np.random.default_rng(1).random((12, 3))
    centred = V - V.mean(axis=0)
    fading = attention_filter.PatchFilter(0.5 * np.eye(12) + 0.5 / 12, GRID)
    assert fading.apply(V).likeness == pytest.approx(1.0)
    assert attention_filter.PatchFilter(np.full((12, 12), 1 / 12), GRID).apply(V).likeness == pytest.approx(
        0.0, abs=1e-6
    )
    turning = attention_filter.PatchFilter((np.ones((12, 12)) - np.eye(12)) / 11, GRID)
    assert turning.apply(V).likeness == pytest.approx(-1.0)
    filter = attention_filter.attention(head(), 2, GRID)
    after = filter.apply(V).smoothed - filter.apply(V).smoothed.mean(axis=0)
    expected = np.corrcoef(centred.ravel(), after.ravel())[0, 1]
    assert filter.apply(V).likeness == pytest.approx(expected)
    heads = np.stack([head(), head()])[None]
    np.testing.assert_allclose(attention_filter.likenesses(heads, 2, GRID, V), [[expected, expected]], atol=1e-6)
