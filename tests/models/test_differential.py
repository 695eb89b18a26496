"""Differential attention against timm's own forward and an independent transformer in NumPy; an operator of its own."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from scipy.special import erf
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.attribution import rollout
from explorer.measures import attention, contrast, drift, residual, similarity
from explorer.measures.settings import Matrix
from explorer.models import checkpoints, hub, registry
from explorer.models.trace import count, trace
from explorer.models.twicing import get_filter, make_filtered, set_filter
from explorer.paper import operators
from explorer.traces import Comparison, Trace
from explorer.types import DIFFERENTIAL, STANDARD, TWICING, ExplorerError, Operator, Operators
from tests.helpers import assert_one_sentence, digest, filter_reference, normal, randomise
from tests.models.test_hub import put

NAME, TWIN = "vit_dwee_patch16_reg1_gap_256", "vit_wee_patch16_reg1_gap_256"
SMALL = {"num_classes": 5, "depth": 3, "embed_dim": 64, "num_heads": 2, "img_size": 64}
FILTERS: tuple[Operators, ...] = (
    (DIFFERENTIAL,) * 3,
    operators.in_blocks("differential-twicing", 3),
    operators.in_blocks("differential,differential-boosting=3,differential-neutreno", 3),
)

MakeModel = Callable[..., VisionTransformer]


def small(filter: Operators | None = None, dtype: torch.dtype = torch.float64, name: str = NAME) -> Any:
    """timm's own model, or with a filter one of ours on the same weights."""
    model = timm.create_model(name, **SMALL)
    if filter is not None:
        make_filtered(model)
        set_filter(model, filter)
    return randomise(model).to(dtype).eval()


@pytest.fixture
def pixels() -> Tensor:
    return normal(2, 3, 64, 64, seed=4)


def logits(traces: list[Trace]) -> Tensor:
    return torch.stack([each.logits for each in traces])


@pytest.mark.parametrize("name", [NAME, "vit_dlittle_patch16_reg1_gap_256"])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_timms_own_forward_is_reproduced(
    pixels: Tensor, name: str, fused: bool, dtype: torch.dtype, close: float
) -> None:
    plain = small(dtype=dtype, name=name)
    for block in plain.blocks:
        block.attn.fused_attn = fused
    with torch.no_grad():
        expected = plain(pixels.to(dtype))
    ours = small((DIFFERENTIAL,) * 3, dtype, name)
    assert (logits(trace(ours, pixels.to(dtype))) - expected).abs().max() <= close * expected.abs().max()
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels.to(dtype)), expected, rtol=0, atol=close)


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_a_pass_equals_the_traced_one(pixels: Tensor, filter: Operators) -> None:
    model = small(filter)
    with torch.no_grad():
        expected = model(pixels)
    traces = trace(model, pixels)
    assert (logits(traces) - expected).abs().max() <= 1e-10 * expected.abs().max()
    (alone,) = trace(model, pixels[:1])
    for part in ("attention", "values", "tokens", "logits"):
        torch.testing.assert_close(getattr(alone, part), getattr(traces[0], part), rtol=0, atol=1e-12)
    swapped = trace(small((DIFFERENTIAL,) * 3), pixels, filter)
    torch.testing.assert_close(logits(swapped), expected, rtol=1e-12, atol=1e-12)


def reference(state: dict[str, Tensor], image: Tensor, filter: Operators) -> dict[str, np.ndarray]:
    """A transformer with differential attention by its equations, in float64."""
    w = {key: value.numpy().astype(np.float64) for key, value in state.items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * w[name + ".weight"] + w[name + ".bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def softmax(scores: np.ndarray) -> np.ndarray:
        grown = np.exp(scores - scores.max(-1, keepdims=True))
        return grown / grown.sum(-1, keepdims=True)

    cut = image.numpy().reshape(3, 4, 16, 4, 16)
    patches = np.einsum("cyixj,dcij->yxd", cut, w["patch_embed.proj.weight"]) + w["patch_embed.proj.bias"]
    x = np.concatenate([w["reg_token"][0], patches.reshape(16, -1) + w["pos_embed"][0]])
    kept: dict[str, list[np.ndarray]] = {"tokens": [x], "attention": [], "values": []}
    for layer, operator in enumerate(filter):
        at = f"blocks.{layer}."
        q, k, v = np.split(linear(norm(x, at + "norm1"), at + "attn.qkv"), 3, axis=-1)
        of_lambda = {name: w[f"{at}attn.lambda_{name}"] for name in ("q1", "k1", "q2", "k2")}
        first = 0.8 - 0.6 * math.exp(-0.3 * layer)
        # timm takes exponentials of lambda in float32, whatever the weights are in.
        grown = [torch.tensor(of_lambda[f"q{i}"] @ of_lambda[f"k{i}"]).float().exp() for i in (1, 2)]
        weight = float(grown[0] - grown[1] + first)
        heads, matrices = [], []
        for head in range(2):
            A1, A2 = (
                softmax(q[:, part] @ k[:, part].T / 4)  # 16 channels
                for part in (slice(32 * head, 32 * head + 16), slice(32 * head + 16, 32 * head + 32))
            )
            matrices.append(A1 - weight * A2)
            heads.append(v[:, 32 * head : 32 * head + 32])
        A, V = np.stack(matrices), np.stack(heads)
        own, of_first = filter_reference(operator, layer, A)
        u = own @ V + of_first @ (kept["values"][0] if kept["values"] else V)
        size = np.sqrt((u**2).mean(-1, keepdims=True) + 1e-5)
        u = u / size * w[at + "attn.sub_norm.weight"] * (1 - first)
        x = x + linear(np.concatenate(list(u), axis=-1), at + "attn.proj") * w[at + "ls1.gamma"]
        hidden = linear(norm(x, at + "norm2"), at + "mlp.fc1")
        hidden = hidden * (1 + erf(hidden / math.sqrt(2))) / 2
        x = x + linear(hidden, at + "mlp.fc2") * w[at + "ls2.gamma"]
        for name, value in (("tokens", x), ("attention", A), ("values", V)):
            kept[name].append(value)
    answer = linear(norm(x[1:].mean(0), "fc_norm"), "head")
    return {**{name: np.stack(values) for name, values in kept.items()}, "logits": answer}


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_a_trace_equals_an_independent_transformer(pixels: Tensor, filter: Operators) -> None:
    model = small(filter)
    (traced,) = trace(model, pixels[:1])
    for part, expected in reference(model.state_dict(), pixels[0], filter).items():
        np.testing.assert_allclose(getattr(traced, part).numpy(), expected, rtol=0, atol=1e-10)


def test_rows_sum_to_one_minus_lambda(pixels: Tensor) -> None:
    model = small((DIFFERENTIAL,) * 3)
    (traced,) = trace(model, pixels[:1])
    weights = torch.stack([block.attn._compute_lambda() for block in model.blocks]).detach()
    assert (weights - weights[0]).abs().max() > 0.01
    torch.testing.assert_close(traced.attention.sum(-1), (1 - weights.double())[:, None, None].expand(3, 2, 17))
    assert traced.attention.min() < 0


def test_measures_say_what_is_no_distribution(pixels: Tensor) -> None:
    first, second = trace(small((DIFFERENTIAL,) * 3), pixels)
    for measure in (attention.entropies, lambda one: attention.distance(one, (16, 16))):
        with pytest.raises(ExplorerError, match="differential attention") as caught:
            measure(first)
        assert_one_sentence(str(caught.value))
    assert first.rows is not None
    assert first.rows.entropy.isnan().all()
    moved = drift.drift(first, second)
    assert moved.attention.isnan().all()
    assert moved.tokens.isfinite().all()
    assert contrast.partings(Comparison(first, second), 3) == []
    for matrix in (Matrix.ATTENTION, Matrix.EFFECTIVE, Matrix.ROLLOUT):
        assert attention.is_signed(matrix, first, 0)


def test_other_measures_are_of_the_difference(pixels: Tensor) -> None:
    (one,) = trace(small((DIFFERENTIAL,) * 3), pixels[:1])
    A, V = one.attention.numpy(), one.values.numpy()
    of_rows = np.linalg.norm(A @ (V - A @ V), axis=-1)
    np.testing.assert_allclose(residual.magnitudes(one).smoothed_residual.numpy(), of_rows, rtol=1e-10)
    joined = (A @ V).transpose(0, 2, 1, 3).reshape(3, 17, -1)[:, 1:]
    unit = joined / np.linalg.norm(joined, axis=-1, keepdims=True)
    cosines = np.einsum("lid,ljd->lij", unit, unit)
    expected = (cosines.sum((1, 2)) - 16) / (16 * 15)
    np.testing.assert_allclose(similarity.of_outputs(one).numpy(), expected, rtol=1e-10)
    product = np.eye(17)
    for layer in A:
        product = (layer.mean(0) + np.eye(17)) / 2 @ product
    np.testing.assert_allclose(attention.rollout(one, 3)[-1].numpy(), product[3], atol=1e-12)


def test_attribution_walks_it_too(pixels: Tensor) -> None:
    model = small(FILTERS[1])
    with torch.no_grad():
        expected = model(pixels)
    with torch.enable_grad():
        answers, *_ = rollout.forward(model, pixels)
    torch.testing.assert_close(answers.detach(), expected, rtol=1e-11, atol=1e-11)
    assert rollout.weighted_rollout(model, pixels, 1).shape == (2, 17)


def test_nothing_is_left_behind(pixels: Tensor) -> None:
    model = small((DIFFERENTIAL,) * 3)
    before = digest(model.state_dict().values())
    trace(model, pixels)
    assert digest(model.state_dict().values()) == before
    assert not any(module._forward_hooks for module in model.modules())
    assert count(model).multiply_adds > 0


# --- of its own weights -------------------------------------------------------------------------------------------


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ExplorerError) as caught:
        act()
    assert_one_sentence(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("operator", [STANDARD, TWICING, Operator("neutreno", 0.6), Operator(kernel="linear")], ids=str)
def test_weights_of_differential_attention_go_with_no_other(pixels: Tensor, operator: Operator) -> None:
    chosen = (DIFFERENTIAL, operator, DIFFERENTIAL)
    model = small((DIFFERENTIAL,) * 3)
    for act in (lambda: set_filter(model, chosen), lambda: trace(model, pixels, chosen)):
        assert (
            refusal(act)
            == f"The weights of block 2 are of differential attention and go with no other; {operator} came."
        )
    assert get_filter(model) == (DIFFERENTIAL,) * 3


def test_other_weights_do_not_go_with_differential_attention(make_model: MakeModel, images: Tensor) -> None:
    model, chosen = make_model(), (STANDARD, DIFFERENTIAL)
    for act in (lambda: set_filter(model, chosen), lambda: trace(model, images, chosen)):
        assert "weights that were trained with it; those of block 2" in refusal(act)


@pytest.mark.parametrize("name", ["centred", "attnscale"])
def test_filters_that_count_on_rows_that_sum_to_one_are_refused(name: str) -> None:
    assert refusal(lambda: operators.named(f"differential-{name}")).startswith(f"{name} is for attention whose rows")


def test_the_counterpart_keeps_the_kernel_of_its_weights() -> None:
    twiced = Operator("twicing", kernel="differential")
    assert operators.counterpart((DIFFERENTIAL,) * 2) == (twiced,) * 2
    assert operators.counterpart((DIFFERENTIAL, twiced)) == (DIFFERENTIAL,) * 2
    assert operators.counterpart((STANDARD,) * 2) == (TWICING,) * 2
    assert operators.counterpart((Operator(kernel="linear"), TWICING)) == (STANDARD,) * 2


def test_the_registry_says_what_is_timms_own() -> None:
    assert {NAME, TWIN} < set(registry.names())
    assert registry.architecture(NAME).own_filter == (DIFFERENTIAL,) * 14
    assert registry.architecture(TWIN).own_filter == (STANDARD,) * 14


def test_a_file_declares_it_and_nothing_else(tmp_path: Path) -> None:
    options = {"depth": 1, "embed_dim": 64, "num_heads": 2}
    state = timm.create_model(NAME, num_classes=0, img_size=64, **options).state_dict()
    declared = {"architecture": NAME, "filter": "differential", "options": options, "input_size": 64}
    checkpoints.save(tmp_path / "own.safetensors", state, declared)
    card = checkpoints.load(tmp_path / "own.safetensors").card
    assert (card.filter, card.is_counterfactual, card.operator) == ((DIFFERENTIAL,), False, "differential")
    checkpoints.save(tmp_path / "other.safetensors", state, {**declared, "filter": 1})
    assert "differential attention and go with no other" in refusal(
        lambda: checkpoints.load(tmp_path / "other.safetensors")
    )


def test_both_of_the_public_pair_load_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As files in the hub's cache; nothing is downloaded."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for name, operator in ((TWIN, STANDARD), (NAME, DIFFERENTIAL)):
        tagged = f"{name}.sbb_in1k"
        assert tagged in hub.names()
        put(tmp_path, timm.create_model(name).state_dict(), f"timm/{tagged}")
        card = hub.load(tagged).card
        assert (card.filter, card.is_counterfactual) == ((operator,) * 14, False)
        assert (card.name, len(card.classes), card.preprocessing.input_size) == (tagged, 1000, (256, 256))
        assert (operator.kernel if operator is DIFFERENTIAL else "standard") in card.declared_by
