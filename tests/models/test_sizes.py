"""A loaded model at other sizes of its input: against timm's own at that size, with the weights shared in memory."""

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from timm.models.eva import checkpoint_filter_fn as of_eva
from timm.models.vision_transformer import checkpoint_filter_fn as of_vit
from torch import Tensor

from explorer.models import LoadedModel, registry, room, sizes, with_filter
from explorer.models.trace import geometry, trace
from explorer.models.twicing import make_filtered
from explorer.types import ExplorerError, Preprocessing
from tests.helpers import assert_one_sentence, quadratics, randomise

CUT: dict[str, Any] = {"depth": 2}


def pixels(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))


def wrapped(loaded: LoadedModel, name: str, side: int) -> LoadedModel:
    """timm's model of this name with random weights, as loaded at `side`."""
    module = randomise(timm.create_model(name, img_size=side, **CUT), spread=0.05).eval().requires_grad_(False)
    make_filtered(module)
    pre = replace(loaded.card.preprocessing, input_size=(side, side))
    return LoadedModel(replace(loaded.card, architecture=name, preprocessing=pre), module)


def logits(module: Any, images: Tensor) -> Tensor:
    with torch.inference_mode():
        result: Tensor = module(images)
    return result


@pytest.mark.parametrize(
    ("name", "at", "of", "words"),
    [
        ("deit_tiny_patch16_224", 64, of_vit, "Positions of 4x4 patches are resampled to 6x6, bicubic, antialiased."),
        ("vit_small_patch14_reg4_dinov2", 56, of_vit, "Positions of 4x4 patches are resampled to 6x6"),
        ("eva02_tiny_patch14_224", 56, of_eva, "Rotary positions of 4x4 patches are computed for 6x6."),
        ("vit_small_patch16_rope_224", 64, None, "Rotary positions of 4x4 patches are computed for 6x6."),
        ("vit_small_patch16_rope_mixed_224", 64, None, "Rotary positions of 4x4 patches are computed for 6x6."),
        ("vit_small_patch16_dinov3", 64, None, "Rotary positions of 4x4 patches are computed for 6x6."),
    ],
)
def test_another_size_is_timms_own_model_at_that_size(
    loaded: LoadedModel, name: str, at: int, of: Any, words: str
) -> None:
    model = wrapped(loaded, name, at)
    before = logits(model.module, pixels(at))
    larger = sizes.with_input_size(model, at * 3 // 2)
    expected = timm.create_model(name, img_size=at * 3 // 2, **CUT).eval()
    state = dict(model.module.state_dict())
    expected.load_state_dict(state if of is None else of(state, expected))
    images = pixels(at * 3 // 2)
    wanted = logits(expected, images)
    assert (logits(larger.module, images) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    traced = torch.stack([each.logits for each in trace(larger.module, images)])
    assert (traced - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert any(change.startswith(words) for change in larger.card.changes)
    for change in larger.card.changes:
        assert_one_sentence(change)
    assert larger.card.preprocessing.input_size == (at * 3 // 2,) * 2
    assert larger.card.key != model.card.key
    assert torch.equal(logits(model.module, pixels(at)), before)  # what it was made of is as it was


def test_only_positions_are_in_memory_twice(loaded: LoadedModel) -> None:
    larger = sizes.with_input_size(loaded, 48)
    own = {name: tensor.data_ptr() for name, tensor in loaded.module.named_parameters()}
    others = {name: tensor.data_ptr() for name, tensor in larger.module.named_parameters()}
    assert {name for name in own if own[name] != others[name]} == {"pos_embed"}
    assert geometry(larger.module).grid == (6, 6)


def test_a_filter_stays_and_the_own_size_is_the_model_itself(loaded: LoadedModel) -> None:
    swapped = with_filter(loaded, quadratics(2.0, 1.0))
    assert sizes.with_input_size(swapped, 48).card.filter == quadratics(2.0, 1.0)
    assert geometry(sizes.with_input_size(swapped, 48).module).filter == quadratics(2.0, 1.0)
    assert sizes.with_input_size(loaded, 32) is loaded


@pytest.mark.parametrize("side", [0, 7, 33, 8 * 65])
def test_whole_patches_and_not_too_many_are_expected(loaded: LoadedModel, side: int) -> None:
    with pytest.raises(ExplorerError, match="whole patches of 8 px, 4096 at most") as caught:
        sizes.with_input_size(loaded, side)
    assert_one_sentence(str(caught.value))
    assert loaded.card.name in str(caught.value)


def test_an_input_is_not_smaller_than_the_images_of_the_training(
    loaded: LoadedModel, preprocessing: Preprocessing
) -> None:
    small = replace(loaded, card=replace(loaded.card, preprocessing=replace(preprocessing, source_size=(32, 32))))
    with pytest.raises(ExplorerError, match="at least 32 px"):
        sizes.with_input_size(small, 16)


def test_an_architecture_that_takes_no_other_size_is_named(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, img_size: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(loaded.module), "set_input_size", refuse)
    with pytest.raises(ExplorerError, match="takes no other size than it was made for") as caught:
        sizes.with_input_size(loaded, 48)
    assert_one_sentence(str(caught.value))
    assert loaded.card.architecture in str(caught.value)


def test_a_trace_without_room_is_refused_before_the_pass_with_the_size_that_fits(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(room.VARIABLE, "1")
    fits = max(n for n in range(1, 64) if room.at(geometry(loaded.module), n).nbytes <= 2**20)
    assert sizes.with_input_size(loaded, fits * 8).card.preprocessing.input_size == (fits * 8, fits * 8)
    with pytest.raises(ExplorerError, match=rf"1 MiB are allowed here .*{fits * 8} px is the largest") as caught:
        sizes.with_input_size(loaded, 500 // 8 * 8)
    assert_one_sentence(str(caught.value))
    monkeypatch.delenv(room.VARIABLE)
    larger = sizes.with_input_size(loaded, (fits + 1) * 8)
    monkeypatch.setenv(room.VARIABLE, "1")
    monkeypatch.setattr(larger.module, "_pos_embed", None)  # no part of a pass is begun
    with pytest.raises(ExplorerError, match=rf"{fits * 8} px is the largest that fits"):
        trace(larger.module, pixels((fits + 1) * 8))


@pytest.mark.parametrize("given", ["0", "-1", "much", "1.5", "9" * 12])
def test_a_limit_of_traces_that_is_no_number_is_said(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(room.VARIABLE, given)
    with pytest.raises(ExplorerError, match=room.VARIABLE) as caught:
        room.most(torch.device("cpu"))
    assert_one_sentence(str(caught.value))


def test_names_of_the_registry_can_be_at_another_size() -> None:
    """The table's own rows: options such as a patch of 8 stay."""
    model = registry.create("deit_tiny_patch8_64", 3, quadratics(1.0) * 12)
    model.set_input_size(img_size=(96, 96))
    assert geometry(model).grid == (12, 12)
