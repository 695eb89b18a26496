"""The table of architectures and the filters written on them."""

import pytest
import timm
import torch

from explorer.models import registry
from explorer.models.twicing import get_filter
from explorer.types import ExplorerError, Operators
from tests.helpers import assert_one_sentence, quadratics


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (1, 4, quadratics(2.0, 2.0, 2.0, 2.0)),
        (3, 4, quadratics(1.0, 1.0, 2.0, 2.0)),
        (2, 2, quadratics(1.0, 2.0, 1.0, 1.0)),
        (4, 4, quadratics(1.0, 1.0, 1.0, 2.0)),
    ],
)
def test_twicing_in_counts_from_one_and_includes_both_ends(first: int, last: int, expected: Operators) -> None:
    assert registry.twicing_in(4, first, last) == expected


@pytest.mark.parametrize(("first", "last"), [(0, 2), (3, 2), (1, 5), (5, 5), (-1, 1)])
def test_twicing_outside_the_blocks_is_refused(first: int, last: int) -> None:
    with pytest.raises(ExplorerError, match="4 blocks"):
        registry.twicing_in(4, first, last)


def test_uniform_filter() -> None:
    assert registry.uniform_filter(3, 1.5) == quadratics(1.5, 1.5, 1.5)


@pytest.mark.parametrize("unknown", ["deit_enormous", "vit_base_patch16_224.nobody"])
def test_an_unknown_architecture_names_the_known_ones(unknown: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        registry.architecture(unknown)
    assert all(name in str(caught.value) for name in [*registry.ARCHITECTURES, unknown])


@pytest.mark.parametrize("name", ["test_maxvit", "nest_tiny", "naflexvit_base_patch16_gap"])
def test_a_transformer_of_another_kind_is_refused_in_a_sentence(name: str) -> None:
    """78 names of timm, of these three families, ended in an AssertionError: their models know no `skip`."""
    with pytest.raises(ExplorerError, match=f"^{name} cannot be filtered: ") as caught:
        registry.architecture(name)
    assert_one_sentence(str(caught.value))


def test_any_vision_transformer_of_timm_has_a_row() -> None:
    row = registry.architecture("vit_small_patch14_dinov2")
    assert (row.timm_name, row.input_size, row.depth) == ("vit_small_patch14_dinov2", (518, 518), 12)


@pytest.mark.parametrize("name", [name for name in registry.ARCHITECTURES if name != "deit_tiny_patch8_64"])
def test_the_literal_rows_say_what_timm_says(name: str) -> None:
    row, of_timm = registry.ARCHITECTURES[name], registry._from_timm(name)
    assert (row.timm_name, row.input_size, row.depth) == (of_timm.timm_name, of_timm.input_size, of_timm.depth)


def test_the_names_to_choose_from_need_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_skeleton", None)
    names = registry.names()
    assert list(names[: len(registry.ARCHITECTURES)]) == list(registry.ARCHITECTURES)
    assert {"vit_small_patch14_dinov2", "vit_base_patch16_clip_224", "eva02_small_patch14_224"} < set(names)
    assert len(names) == len(set(names)) > 240


def test_what_is_not_offered_cannot_be_filtered() -> None:
    left_out = {name for module in registry.MODULES for name in timm.list_models(module=module)} - {*registry.names()}
    assert len(left_out) == 7
    for name in left_out:
        with pytest.raises(ExplorerError, match="cannot be filtered"):
            registry.architecture(name)


def test_create_refuses_a_filter_of_the_wrong_length(tiny: str) -> None:
    with pytest.raises(ExplorerError, match="2 blocks"):
        registry.create(tiny, 5, quadratics(2.0))


def test_create_puts_the_filter_on_the_blocks(tiny: str) -> None:
    assert get_filter(registry.create(tiny, 5, quadratics(1.0, 2.0))) == quadratics(1.0, 2.0)


@pytest.mark.parametrize("name", list(registry.ARCHITECTURES))
def test_the_table_states_the_depth_and_size_of_its_models(name: str) -> None:
    row = registry.architecture(name)
    with torch.device("meta"):  # sizes without weights
        model = registry.create(name, 2, registry.uniform_filter(row.depth, 2.0))
    assert len(model.blocks) == row.depth
    assert tuple(model.patch_embed.img_size) == row.input_size
