"""The arithmetic of the attention page: which row, on which scale, with which words."""

import numpy as np
import pytest
import torch

from explorer.figures.style import Range
from explorer.measures.attention import Heads, Operator
from explorer.types import ExplorerError, ModelCard, Preprocessing, Trace
from explorer.ui import attention_view as av
from explorer.ui.attention_view import ModelMaps, Query
from tests.helpers import assert_one_sentence, normal, stochastic


@pytest.fixture
def trace() -> Trace:
    """Two blocks, the second one twicing; two prefix tokens and three rows of four patches."""
    return Trace(
        attention=stochastic(2, 2, 14, 14),
        values=normal(2, 2, 14, 4),
        tokens=normal(3, 14, 8),
        logits=normal(5),
        grid=(3, 4),
        prefix=2,
        filter=(1.0, 2.0),
    )


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        name="Tiny",
        architecture="tiny",
        filter=(1.0, 2.0),
        trained_filter=(1.0, 2.0),
        classes=("cat",),
        wnids=("n0",),
        preprocessing=Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3),
        recipe="none",
        data="random",
        top1=None,
        git_revision="abc",
        digest="0" * 64,
    )


def constant(value: float, *, signed: bool, shape: tuple[int, int, int] = (1, 2, 2)) -> ModelMaps:
    return ModelMaps(np.full(shape, value), (signed,) * shape[0], "label")


# --- query --------------------------------------------------------------------------------------------------------


def test_without_a_place_the_query_is_the_first_token(trace: Trace) -> None:
    assert Query().token(trace) == 0
    assert Query().patch(trace.grid) is None
    assert Query().words(trace.grid) == "CLS"


def test_every_patch_is_its_own_query(trace: Trace) -> None:
    assert [Query.of_patch(number, trace.grid).token(trace) for number in range(12)] == list(range(2, 14))


def test_a_patch_in_words_counts_from_one(trace: Trace) -> None:
    query = Query.of_patch(6, trace.grid)
    assert query.patch(trace.grid) == (1, 2)
    assert query.words(trace.grid) == "patch row 2, column 3"


def test_a_place_stays_where_it_is_on_another_grid() -> None:
    """The last of 2 x 2 patches is the lower right quarter of 8 x 8."""
    assert Query.of_patch(3, (2, 2)).patch((8, 8)) == (6, 6)
    assert Query.of_patch(63, (8, 8)).patch((2, 2)) == (1, 1)


def test_the_edge_of_the_image_is_in_the_last_patch() -> None:
    assert Query((1.0, 1.0)).patch((3, 4)) == (2, 3)


# --- maps ---------------------------------------------------------------------------------------------------------


def test_a_map_is_the_queries_row_over_the_patches(trace: Trace, card: ModelCard) -> None:
    shown = av.model_maps(trace, card, Query.of_patch(5, trace.grid), Operator.ATTENTION, 1)
    np.testing.assert_allclose(shown.maps, trace.attention[:, 1, 7, 2:].reshape(2, 3, 4).numpy(), rtol=1e-6)


def test_the_effective_map_follows_each_blocks_filter(trace: Trace, card: ModelCard) -> None:
    shown = av.model_maps(trace, card, Query(), Operator.EFFECTIVE, Heads.MEAN)
    A = trace.attention
    expected = torch.stack([A[0], 2 * A[1] - A[1] @ A[1]])[:, :, 0, 2:].mean(dim=1).reshape(2, 3, 4)
    np.testing.assert_allclose(shown.maps, expected.numpy(), rtol=1e-5, atol=1e-7)
    assert shown.signed == (False, True)
    assert shown.label == "2A − A² in blocks 2"


@pytest.mark.parametrize("operator", [operator for operator in Operator if operator is not Operator.EFFECTIVE])
def test_other_operators_are_named_as_chosen(trace: Trace, card: ModelCard, operator: Operator) -> None:
    assert av.model_maps(trace, card, Query(), operator, Heads.MEAN).label == operator.value


@pytest.mark.parametrize("operator", list(Operator))
def test_what_is_negative_is_declared_signed(trace: Trace, card: ModelCard, operator: Operator) -> None:
    shown = av.model_maps(trace, card, Query(), operator, Heads.MEAN)
    assert all(signed or one.min() >= 0 for one, signed in zip(shown.maps, shown.signed, strict=True))


@pytest.mark.parametrize("operator", list(Operator))
def test_every_operator_has_its_definition(operator: Operator) -> None:
    assert av.DEFINITIONS[operator].endswith(".")


# --- ranges -------------------------------------------------------------------------------------------------------


def test_scale_map_ends_at_each_maps_largest_value() -> None:
    pair = [constant(0.25, signed=False), constant(-0.5, signed=True)]
    assert av.layer_ranges(pair, 0, "map") == [Range(0.0, 0.25), Range(-0.5, 0.5)]


def test_scale_shared_ends_at_the_largest_value_of_both() -> None:
    pair = [constant(0.25, signed=False), constant(0.5, signed=False)]
    assert av.layer_ranges(pair, 0, "shared") == [Range(0.0, 0.5)] * 2


def test_scale_shared_is_signed_when_one_of_both_is() -> None:
    pair = [constant(0.75, signed=False), constant(-0.5, signed=True)]
    assert av.layer_ranges(pair, 0, "shared") == [Range(-0.75, 0.75)] * 2


@pytest.mark.parametrize(("signed", "low"), [(False, 0.0), (True, -1.0)])
def test_scale_absolute_ends_at_one(signed: bool, low: float) -> None:
    pair = [constant(0.25, signed=False), constant(0.5, signed=signed)]
    assert av.layer_ranges(pair, 0, "absolute") == [Range(low, 1.0)] * 2


def test_a_range_is_of_the_layer_asked_for() -> None:
    one = ModelMaps(np.array([[[0.5]], [[0.25]]]), (False, False), "label")
    assert av.layer_ranges([one, one], 1, "shared") == [Range(0.0, 0.25)] * 2


# --- differences --------------------------------------------------------------------------------------------------


def test_a_difference_is_second_minus_first() -> None:
    change = av.difference([constant(0.75, signed=False), constant(0.5, signed=False)])
    np.testing.assert_array_equal(change, np.full((1, 2, 2), -0.25))


def test_a_difference_covers_the_layers_both_have() -> None:
    pair = [constant(0.5, signed=False, shape=(3, 2, 2)), constant(0.5, signed=False, shape=(2, 2, 2))]
    assert av.difference(pair).shape == (2, 2, 2)


def test_unequal_grids_have_no_difference() -> None:
    pair = [constant(0.5, signed=False), constant(0.5, signed=False, shape=(1, 3, 4))]
    with pytest.raises(ExplorerError, match="2x2 and 3x4 came") as raised:
        av.difference(pair)
    assert_one_sentence(str(raised.value))


@pytest.mark.parametrize(("scale", "end"), [("map", 0.25), ("shared", 0.25), ("absolute", 1.0)])
def test_the_range_of_a_difference_is_centred_at_zero(scale: str, end: float) -> None:
    assert av.difference_range(np.array([[-0.25, 0.125]]), scale) == Range(-end, end)


# --- words and pictures -------------------------------------------------------------------------------------------


def test_hover_texts_have_place_and_values_in_row_order() -> None:
    first, second = np.array([[0.0, 0.5], [1.0, 0.25]]), np.array([[-0.5, 0.5], [0.0, 0.125]])
    texts = av.hover_texts([first, second], ["one", "two"])
    assert len(texts) == 4
    assert texts[0] == "row 1, column 1<br>one: 0<br>two: −0.5"
    assert texts[2] == "row 2, column 1<br>one: 1<br>two: 0"


def test_enlarging_repeats_pixels() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = av.enlarged(picture, side=6)
    assert large.shape == (6, 6, 3)
    np.testing.assert_array_equal(large[::3, ::3], picture)
    np.testing.assert_array_equal(large[2::3, 2::3], picture)


def test_a_large_picture_stays_as_it_is() -> None:
    picture = np.zeros((500, 500, 3), np.uint8)
    assert av.enlarged(picture).shape == (500, 500, 3)
