"""Words for models and for untrusted text; places and scales of the attention page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explorer.types import ExplorerError, ModelCard, Preprocessing
from explorer.ui import attention_view as av
from explorer.ui.session import display_name, escaped, filter_label, plain
from tests.helpers import make_trace, stochastic


@pytest.fixture
def card() -> ModelCard:
    pre = Preprocessing((8, 8), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return ModelCard("Tiny", "x", (1.0, 1.0), (1.0, 1.0), ("a",), ("n",), pre, "", "", None, "", "d")


@pytest.mark.parametrize(
    ("filter", "label"),
    [((1.0, 1.0), "A"), ((2.0, 2.0), "2A − A²"), ((1.0, 2.0), "2A − A² in blocks 2"), ((1.5, 1.0), "aA + (1 − a)A²")],
)
def test_the_effective_operator_in_symbols(card: ModelCard, filter: tuple[float, ...], label: str) -> None:
    assert filter_label(replace(card, filter=filter)) == label


def test_a_swap_is_part_of_the_name(card: ModelCard) -> None:
    assert display_name(card) == "Tiny"
    assert "swapped to 2A − A²" in display_name(card.with_filter((2.0, 2.0)))


@pytest.mark.parametrize("text", ["![a](b)", "<b>", "`x`", "www.example.org", "a@b.c", ":material/delete:", "a\nb"])
def test_plain_text_has_no_markup_left(text: str) -> None:
    shown = plain(text)
    assert text not in shown
    assert "\n" not in shown


def test_escaped_text_is_safe_in_html() -> None:
    assert escaped('<img src="x">') == "&lt;img src=&quot;x&quot;&gt;"


def test_a_place_finds_its_patch_on_every_grid() -> None:
    query = av.Query.of_patch(13, (4, 4))  # row 3, column 1
    assert query.patch((4, 4)) == (3, 1)
    assert query.patch((8, 8)) == (7, 3)
    assert query.words((8, 8)) == "patch row 8, column 4"
    assert av.Query().words((4, 4)) == "CLS"


def test_a_query_is_the_row_behind_the_prefix() -> None:
    trace = replace(make_trace(stochastic(2, 2, 18, 18), (1.0, 2.0), prefix=2), grid=(4, 4))
    assert av.Query.of_patch(5, (4, 4)).token(trace) == 7
    assert av.Query().token(trace) == 0


def model_maps(values: float, signed: bool, size: tuple[int, int] = (2, 2)) -> av.ModelMaps:
    return av.ModelMaps(np.full((1, *size), values), (signed,), "A")


def test_a_shared_scale_spans_both_models_and_is_signed_if_one_is() -> None:
    shared = av.layer_ranges([model_maps(0.2, False), model_maps(-0.5, True)], 0, "shared")
    assert [(r.low, r.high) for r in shared] == [(-0.5, 0.5)] * 2


def test_a_scale_per_map_ends_at_each_maps_largest_value() -> None:
    each = av.layer_ranges([model_maps(0.2, False), model_maps(-0.5, True)], 0, "map")
    assert [(r.low, r.high) for r in each] == [(0.0, 0.2), (-0.5, 0.5)]


def test_the_absolute_scale_ends_at_one() -> None:
    assert {r.high for r in av.layer_ranges([model_maps(0.2, False)] * 2, 0, "absolute")} == {1.0}


def test_a_difference_needs_equal_grids() -> None:
    assert av.difference([model_maps(0.2, False), model_maps(0.5, False)]) == pytest.approx(0.3)
    with pytest.raises(ExplorerError, match="2x2 and 3x3"):
        av.difference([model_maps(0.2, False), model_maps(0.5, False, (3, 3))])


def test_enlarging_keeps_every_pixel_sharp() -> None:
    small = np.asarray(Image.new("RGB", (7, 7), "red"))
    assert av.enlarged(small, 14).shape == (14, 14, 3)
