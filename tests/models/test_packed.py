"""Packed linear layers: the same numbers but for rounding, weights as they were, used where they are quicker."""

import math
from collections.abc import Callable

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from explorer import provenance
from explorer.models import LoadedModel, packed, with_filter, with_packed_layers, with_quicker_layers
from explorer.models.trace import count, states, trace
from explorer.models.twicing import make_filtered, set_filter
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, digest, normal, quadratics, randomise

MakeModel = Callable[..., VisionTransformer]

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")

# One of every way in which timm's attentions use their projections.
NAMES = (
    "deit_tiny_distilled_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "eva02_tiny_patch14_224",
    "eva02_base_patch16_clip_224",
    "eva_giant_patch14_224",
    "vit_small_patch16_rope_224",
)


def packed_layers(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, packed.PackedLinear)]


def assert_close_logits(left: Tensor, right: Tensor) -> None:
    assert (left - right).abs().max() <= 1e-5 * right.abs().max()


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has probed nothing, with nothing said by its environment."""
    monkeypatch.setattr(packed, "_known", {})
    monkeypatch.delenv(packed.VARIABLE, raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_the_plain_layers(name: str) -> None:
    torch.manual_seed(0)
    heads = 3 if "rope" in name or "eva" in name else 2
    size = 56 if "14" in name else 64
    model = timm.create_model(name, num_classes=5, depth=2, embed_dim=32 * heads, num_heads=heads, img_size=size)
    make_filtered(model)
    set_filter(model, quadratics(1.0, 2.0))
    randomise(model, spread=0.1).eval().requires_grad_(False)
    images = normal(2, 3, size, size, seed=4).float()
    expected, expected_traces = model(images), trace(model, images)
    packed.pack(model)
    assert packed_layers(model)
    assert_close_logits(model(images), expected)
    for one, other in zip(trace(model, images), expected_traces, strict=True):
        assert_close_logits(one.logits, other.logits)
        torch.testing.assert_close(one.attention, other.attention, rtol=1e-4, atol=1e-5)
    tokens = list(states(model, images))[-1]
    torch.testing.assert_close(tokens[0], expected_traces[0].tokens[-1], rtol=1e-4, atol=1e-4)


def test_a_bias_of_the_attention_leaves_its_projection_as_it_is() -> None:
    """Its weight is used by the attention itself: a copy would be memory for nothing."""
    model = timm.create_model("eva_giant_patch14_224", num_classes=5, depth=1, embed_dim=96, num_heads=3, img_size=56)
    make_filtered(model)
    packed.pack(model.eval())
    attn = model.blocks[0].attn
    assert attn.q_bias is not None
    assert type(attn.qkv) is nn.Linear
    assert type(attn.proj) is packed.PackedLinear


def test_weights_and_what_is_saved_of_them_stay_as_they_are(loaded: LoadedModel) -> None:
    before = digest(loaded.module.state_dict().values())
    model = with_packed_layers(loaded)
    assert list(model.module.state_dict()) == list(loaded.module.state_dict())
    assert digest(model.module.state_dict().values()) == before
    ours, theirs = model.module.blocks[0].mlp.fc1, loaded.module.blocks[0].mlp.fc1
    assert ours.weight is theirs.weight
    assert type(theirs) is nn.Linear
    assert model.card.is_packed
    assert not loaded.card.is_packed
    assert (model.card.key, model.card.digest) == (loaded.card.key, loaded.card.digest)


def test_the_second_copy_is_counted_and_shared_under_other_filters(loaded: LoadedModel) -> None:
    model = with_packed_layers(loaded)
    weights = sum(layer.weight.numel() for layer in packed_layers(model.module))
    assert weights == 2 * (32 * 96 + 32 * 32 + 2 * 32 * 128)
    assert count(model.module).packed == packed.nbytes(model.module) == 4 * weights
    assert count(loaded.module).packed == 0
    swapped = with_filter(model, quadratics(2.0, 1.0))
    assert swapped.card.is_packed
    for ours, theirs in zip(packed_layers(swapped.module), packed_layers(model.module), strict=True):
        assert ours.packed is theirs.packed


def test_multiply_adds_are_those_of_the_plain_layers(loaded: LoadedModel) -> None:
    assert count(with_packed_layers(loaded).module).multiply_adds == count(loaded.module).multiply_adds


def test_gradients_are_those_of_the_plain_layers(loaded: LoadedModel, images: Tensor) -> None:
    gradients = []
    for model in (loaded, with_packed_layers(loaded)):
        pixels = images.clone().requires_grad_()
        gradients.append(torch.autograd.grad(model.module(pixels).square().sum(), pixels)[0])
    assert torch.equal(*gradients)


@pytest.mark.parametrize(
    ("said", "ratio", "expected"),
    [(None, 0.96, True), (None, 0.98, False), ("1", 2.0, True), ("0", 0.1, False), ("", 0.5, True)],
)
def test_it_is_used_where_it_is_quicker_or_as_the_environment_says(
    loaded: LoadedModel,
    without_memory: None,
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    ratio: float,
    expected: bool,
) -> None:
    if said is not None:
        monkeypatch.setenv(packed.VARIABLE, said)
    monkeypatch.setattr(packed, "ratio", lambda module, tokens: ratio)
    model = with_quicker_layers(loaded)
    assert model.card.is_packed is bool(packed_layers(model.module)) is expected


def test_models_of_the_same_layers_are_probed_once(
    make_model: MakeModel, without_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([0.5, 1.5])
    monkeypatch.setattr(packed, "ratio", lambda module, tokens: next(answers))
    assert packed.is_quicker(make_model())
    assert packed.is_quicker(make_model(quadratics(2.0, 2.0), seed=1))
    assert not packed.is_quicker(make_model(reg_tokens=3))


def test_the_probe_times_both_forms(make_model: MakeModel) -> None:
    model = make_model()
    assert 0 < packed.ratio(model, 17) < math.inf
    assert not packed_layers(model)


def test_where_it_cannot_be_is_one_sentence(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ExplorerError, match="oneDNN") as refusal:
        with_packed_layers(loaded)
    assert_one_sentence(str(refusal.value))
    monkeypatch.setenv(packed.VARIABLE, "1")
    assert with_quicker_layers(loaded) is loaded


def test_other_types_of_numbers_are_never_packed(make_model: MakeModel) -> None:
    assert packed.is_possible(make_model())
    assert not packed.is_possible(make_model(dtype=torch.float64))


def test_files_say_so_only_where_it_was_used(loaded: LoadedModel) -> None:
    assert "packed" not in provenance.of_model(loaded.card)
    assert provenance.of_model(with_packed_layers(loaded).card)["packed"] is True
