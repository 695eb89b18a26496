"""Own weights at another input size than their architecture's: DINOv2 at 224 px, all the way, against timm itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor

from explorer.models import checkpoints, likeness, registry
from explorer.models.named import load_named
from explorer.models.trace import trace
from explorer.serving.pair import load_pair
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, quadratics, randomise

DINO = "vit_small_patch14_dinov2"
CUT: dict[str, Any] = {"depth": 2}
"""Two of its twelve blocks."""
DECLARED = {"architecture": DINO, "filter": 1, "options": CUT}


def dino(side: int) -> Any:
    """timm's own, of random weights."""
    return randomise(timm.create_model(DINO, img_size=side, **CUT), spread=0.05).eval()


def pixels(side: int) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def stock() -> Any:
    return dino(224)


@pytest.fixture
def path(tmp_path: Path, stock: Any) -> Path:
    path = tmp_path / "dino.safetensors"
    save_file(stock.state_dict(), path)
    return path


def refusal(path: Path, declared: dict[str, Any], **options: Any) -> str:
    with pytest.raises(ExplorerError) as caught:
        checkpoints.load(path, answers=declared, **options)
    assert_one_sentence(str(caught.value))
    assert path.name in str(caught.value)
    return str(caught.value)


def assert_computes(module: Any, expected: Any, side: int) -> None:
    (traced,) = trace(module, pixels(side))
    with torch.no_grad():
        logits = expected(pixels(side))[0]
    assert (traced.logits - logits).abs().max() <= 1e-5 * logits.abs().max()


@pytest.mark.parametrize("declared", [{"input_size": 224}, {"input_size": [224, 224]}, {"options": {"img_size": 224}}])
def test_a_declared_size_loads_what_was_made_for_it(path: Path, stock: Any, declared: dict[str, Any]) -> None:
    options = {**CUT, **declared.get("options", {})}
    loaded = checkpoints.load(path, answers={**DECLARED, **declared, "options": options})
    assert torch.equal(loaded.module.pos_embed, stock.pos_embed)
    assert_computes(loaded.module, stock, 224)
    card = loaded.card
    assert (card.preprocessing.input_size, card.is_resized, card.changes) == ((224, 224), True, ())
    assert card.architecture == f"{DINO} (depth 2)"


def test_a_size_that_is_asked_for_wins_over_a_declared_one(path: Path, stock: Any) -> None:
    path.with_suffix(".json").write_text(json.dumps({**DECLARED, "input_size": 518}))
    assert_computes(load_named(path, "standard", "cpu", 224).module, stock, 224)
    first, second = load_pair(path, path, input_size=(224, None), device="cpu").cards
    assert [card.preprocessing.input_size[0] for card in (first, second)] == [224, 518]
    assert first.key != second.key


def test_without_asking_the_cause_is_named(path: Path) -> None:
    message = refusal(path, DECLARED)
    assert "pos_embed (expected [1, 1370, 384], came [1, 257, 384])" in message
    assert f"16x16 patches, made for 224 px at patch 14, where {DINO} expects 518 px" in message
    assert '--input-size 224, or "input_size": [224, 224]' in message


def test_positions_are_resampled_as_timm_does_and_the_card_says_so(path: Path, stock: Any) -> None:
    loaded = checkpoints.load(path, answers=DECLARED, input_size=280)
    expected = timm.create_model(DINO, img_size=280, **CUT).eval()
    expected.load_state_dict(checkpoint_filter_fn(dict(stock.state_dict()), expected))
    assert_computes(loaded.module, expected, 280)
    assert loaded.card.changes == ("Positions of 16x16 patches are resampled to 20x20, bicubic, antialiased.",)
    for sentence in loaded.card.changes:
        assert_one_sentence(sentence)


def test_a_rotary_transformer_takes_a_size_as_it_is(tmp_path: Path) -> None:
    name = "vit_small_patch16_rope_224"
    stock = randomise(timm.create_model(name, img_size=160, **CUT), spread=0.05).eval()
    path = tmp_path / "rope.safetensors"
    save_file(stock.state_dict(), path)
    answers = {"architecture": name, "filter": 1, "options": CUT, "input_size": 160}
    assert_computes(checkpoints.load(path, answers=answers).module, stock, 160)


def test_the_rest_stays_strict(path: Path, stock: Any) -> None:
    state = {key: value for key, value in stock.state_dict().items() if key != "norm.bias"}
    save_file(state, path)
    assert "missing: norm.bias" in refusal(path, DECLARED, input_size=280)
    save_file({**stock.state_dict(), "pos_embed": torch.zeros(1, 200, 384)}, path)  # of no square
    assert "mis-shaped: pos_embed" in refusal(path, DECLARED, input_size=280)
    infinite = stock.pos_embed.detach().clone()
    infinite[0, 3] = float("inf")
    save_file({**stock.state_dict(), "pos_embed": infinite}, path)
    assert "not finite: pos_embed" in refusal(path, DECLARED, input_size=280)


@pytest.mark.parametrize("side", [225, 13, 1400])
def test_an_input_is_made_of_whole_patches_and_not_of_too_many(path: Path, side: int) -> None:
    assert "whole patches of 14 px" in refusal(path, DECLARED, input_size=side)


@pytest.mark.parametrize("size", [0, -1, 10**9, 2.5, True, "224", [224], [224, 224, 3], {}, [[]]])
def test_what_is_no_size_is_refused(path: Path, size: object) -> None:
    assert "an input size such as 224 or [224, 224]" in refusal(path, {**DECLARED, "input_size": size})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"checkpoint_path": "/x"}, "checkpoint_path"),
        ({"depth": 10**9}, "depth"),
        ({"depth": "2"}, "depth"),
        ({"class_token": 1}, "class_token"),
        ({"global_pool": "map"}, "global_pool"),
        ([1], "object"),
        ({"num_heads": 7}, "num_heads"),
    ],
)
def test_other_options_of_timm_are_refused(path: Path, options: object, named: str) -> None:
    with pytest.raises(ExplorerError, match=named) as caught:
        checkpoints.load(path, answers={**DECLARED, "options": options})
    assert_one_sentence(str(caught.value))


def test_options_are_part_of_what_a_model_is(path: Path, stock: Any) -> None:
    first, second = (
        checkpoints.load(path, answers={**DECLARED, "input_size": 224, "options": {**CUT, **more}})
        for more in ({}, {"num_heads": 3})
    )
    assert first.card.key != second.card.key
    assert "num_heads 3" in second.card.architecture
    expected = timm.create_model(DINO, img_size=224, num_heads=3, **CUT).eval()
    expected.load_state_dict(stock.state_dict())
    assert_computes(second.module, expected, 224)


# --- what shapes look like ------------------------------------------------------------------------------------------


def shaped(name: str, **options: Any) -> dict[str, Tensor]:
    with torch.device("meta"):
        state: dict[str, Tensor] = timm.create_model(name, **options).state_dict()
    return state


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        (DINO, 224, f"{DINO} at 224 px"),
        (DINO, 518, f"{DINO} at 518 px"),
        ("vit_small_patch14_reg4_dinov2", 224, "vit_small_patch14_reg4_dinov2 at 224 px"),
        ("vit_base_patch14_dinov2", 224, "vit_base_patch14_dinov2 at 224 px"),
        ("deit_tiny_distilled_patch16_224", 384, "deit_tiny_distilled_patch16_224 at 384 px"),
        ("deit_base_patch16_384", 384, "deit_base_patch16_384 at 384 px"),
        ("deit3_small_patch16_224", 224, "deit3_small_patch16_224 at 224 px"),
    ],
)
def test_shapes_suggest_an_architecture_and_a_size(name: str, side: int, expected: str) -> None:
    state = shaped(name, img_size=side, num_classes=7)
    assert str(likeness.of(state, 7)) == expected


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"patch_embed.proj.weight": torch.zeros(384, 3, 14, 14)},
        {"patch_embed.proj.weight": torch.zeros(3), "pos_embed": torch.zeros(2)},
    ],
)
def test_other_shapes_look_like_nothing(state: dict[str, Tensor]) -> None:
    assert likeness.of(state, 0) is None


def test_a_wrong_architecture_is_answered_with_what_the_shapes_look_like(tmp_path: Path) -> None:
    state = randomise(registry.create("deit_tiny_patch8_64", 7, quadratics(1.0) * 12, img_size=32)).state_dict()
    save_file(state, tmp_path / "x.safetensors")
    message = refusal(tmp_path / "x.safetensors", {"architecture": "deit_small_patch16_224", "filter": 1})
    assert message.endswith("; its shapes look like deit_tiny_patch8_64 at 32 px.")
