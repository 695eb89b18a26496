"""FAN against an independent model in NumPy, under every operator that fits, and its files."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import erf, expit
from torch import Tensor

from explorer.attribution import gradcam, rollout
from explorer.measures import attention
from explorer.models import checkpoints, likeness, registry, sizes
from explorer.models.fan import Fan
from explorer.models.registry import Architecture
from explorer.models.trace import geometry, states, trace
from explorer.models.weights import METADATA_KEY
from explorer.paper import operators
from explorer.types import ExplorerError, Operators
from tests.helpers import Array, assert_one_sentence, filter_reference, kernel_reference, normal, quadratics

NAME, SIDE, HEADS = "tiny_fan", 64, 2
OPTIONS = {"embed_dim": 32, "depth": 3, "num_heads": HEADS, "img_size": SIDE}
FILTERS: tuple[Operators, ...] = (
    quadratics(1.0, 1.0, 1.0),
    quadratics(2.0, 2.0, 2.0),
    operators.in_blocks("standard,neutreno,linear-twicing", 3),
    operators.in_blocks("elliptical,elliptical,boosting=3", 3),
)


@pytest.fixture(autouse=True)
def tiny_fan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    row = Architecture("Tiny FAN", "fan_tiny_12_p16_224", (SIDE, SIDE), depth=3, options=OPTIONS)
    monkeypatch.setitem(registry.ARCHITECTURES, NAME, row)
    yield
    registry.shapes.cache_clear()


def small(filter: Operators = FILTERS[1], dtype: torch.dtype = torch.float64) -> Any:
    """With weights, means and variances that are all different."""
    model = registry.create(NAME, 5, filter)
    generator = torch.Generator().manual_seed(0)
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            spread = 0.6 if "norm" in key or "bn" in key else 0.2
            value.copy_(spread * torch.randn(value.shape, generator=generator))
            if key.endswith("running_var"):
                value.abs_().add_(0.5)
    return model.to(dtype).eval()


@pytest.fixture
def pixels() -> Tensor:
    return normal(2, 3, SIDE, SIDE, seed=4)


def reference(state: dict[str, Tensor], image: Array, filter: Operators) -> dict[str, Array]:
    """FAN by its equations in float64."""
    w = {key: value.numpy().astype(np.float64) for key, value in state.items()}

    def linear(x: Array, name: str) -> Array:
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def norm(x: Array, name: str, eps: float = 1e-6) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * w[name + ".weight"] + w[name + ".bias"]

    def gelu(x: Array) -> Array:
        return x * (1 + erf(x / math.sqrt(2))) / 2

    def batch_norm(x: Array, name: str) -> Array:
        mean, variance, weight, bias = (
            w[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    def windows(x: Array, stride: int) -> Array:
        """`[channel, row, column, 3, 3]` around every place, zeros outside."""
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]

    def softmax(x: Array, axis: int) -> Array:
        grown = np.exp(x - x.max(axis, keepdims=True))
        return grown / grown.sum(axis, keepdims=True)

    def depthwise(x: Array, name: str) -> Array:
        return np.einsum("cyxij,cij->cyx", windows(x, 1), w[name + ".weight"][:, 0]) + w[name + ".bias"][:, None, None]

    def channels(x: Array, at: str) -> Array:
        hidden = linear(x, at + "mlp_v.fc1")
        laid = depthwise(hidden.T.reshape(-1, 4, 4), at + "mlp_v.dwconv.conv1")
        laid = depthwise(batch_norm(gelu(laid), at + "mlp_v.dwconv.bn"), at + "mlp_v.dwconv.conv2")
        hidden = hidden + w[at + "mlp_v.gamma"] * laid.reshape(len(laid), -1).T
        values = norm(linear(hidden, at + "mlp_v.fc2"), at + "norm_v", 1e-5)
        q, joined = linear(x, at + "q"), []
        for head in range(HEADS):
            part = slice(16 * head, 16 * head + 16)
            k = softmax(x[:, part], 0).mean(-1)
            gate = w[at + "temperature"][head, 0, 0] * expit(softmax(q[:, part], 0).T @ k)
            joined.append(gate * values[:, part])
        return np.concatenate(joined, axis=-1)

    x = image
    for layer in (0, 2, 4, 6):
        x = np.einsum("cyxij,dcij->dyx", windows(x, 2), w[f"patch_embed.proj.{layer}.0.weight"])
        x = batch_norm(x, f"patch_embed.proj.{layer}.1")
        x = gelu(x) if layer < 6 else x
    rows = []
    for y in range(4):
        for column in range(4):
            waves = []
            for place in (y, column):
                angle = 2 * math.pi * (place + 1) / (4 + 1e-6)
                for i in range(16):
                    waves += [math.sin(angle / 10000 ** (i / 16)), math.cos(angle / 10000 ** (i / 16))]
            rows.append(waves)
    projection = w["pos_embed.token_projection.weight"][:, :, 0, 0]
    x = x.reshape(len(x), -1).T + np.array(rows) @ projection.T + w["pos_embed.token_projection.bias"]
    kept: dict[str, list[Array]] = {"tokens": [x], "attention": [], "values": [], "class_attention": []}
    for layer, operator in enumerate(filter):
        at = f"blocks.{layer}."
        n = norm(x, at + "norm1")
        q, k, v = (
            part.reshape(16, HEADS, 16).transpose(1, 0, 2)
            for part in (linear(n, at + "attn.q"), *np.split(linear(n, at + "attn.kv"), 2, axis=-1))
        )
        A = kernel_reference(operator.kernel, q, k, v, kept["values"][-1] if kept["values"] else None)
        own, of_first = filter_reference(operator, layer, A)
        u = own @ v + of_first @ (kept["values"][0] if kept["values"] else v)
        x = x + w[at + "gamma1"] * linear(u.transpose(1, 0, 2).reshape(16, -1), at + "attn.proj")
        x = x + w[at + "gamma2"] * channels(norm(x, at + "norm2"), at + "mlp.")
        for name, value in (("tokens", x), ("attention", A), ("values", v)):
            kept[name].append(value)
    x = np.concatenate([w["cls_token"][0], x])
    for layer in range(2):
        at = f"cls_attn_blocks.{layer}."
        n = norm(x, at + "norm1")
        q, k, v = (linear(n, f"{at}attn.{part}").reshape(17, HEADS, 16) for part in "qkv")
        A = softmax(np.einsum("hc,khc->hk", q[0], k) / 4, -1)
        kept["class_attention"].append(A)
        attended = linear(np.einsum("hk,khc->hc", A, v).reshape(1, -1), at + "attn.proj")
        x = norm(x + w[at + "gamma1"] * np.concatenate([attended, n[1:]]), at + "norm2")
        answer = w[at + "gamma2"] * linear(gelu(linear(x[:1], at + "mlp.fc1")), at + "mlp.fc2")
        x = x + np.concatenate([answer, x[1:]])
    return {**{k: np.stack(v) for k, v in kept.items()}, "logits": linear(norm(x[0], "norm"), "head")}


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_a_trace_equals_an_independent_model(pixels: Tensor, filter: Operators) -> None:
    model = small(filter)
    (traced,) = trace(model, pixels[:1])
    for part, expected in reference(model.state_dict(), pixels[0].numpy(), filter).items():
        got = getattr(traced, part).numpy()
        assert np.abs(got - expected).max() <= 1e-10 * max(1.0, np.abs(expected).max()), part


@pytest.mark.parametrize("filter", FILTERS, ids=str)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_a_traced_pass_equals_the_plain_one(
    pixels: Tensor, filter: Operators, dtype: torch.dtype, close: float
) -> None:
    model = small(filter, dtype)
    with torch.no_grad():
        expected = model(pixels.to(dtype))
    traces = trace(model, pixels.to(dtype))
    logits = torch.stack([each.logits for each in traces])
    assert (logits - expected).abs().max() <= close * expected.abs().max()
    together = torch.stack(list(states(model, pixels.to(dtype))), dim=1)
    torch.testing.assert_close(together[1], traces[1].tokens, rtol=1e-4, atol=close)


def test_blocks_have_patches_alone_and_cls_comes_after(pixels: Tensor) -> None:
    (one,) = trace(small(), pixels[:1])
    assert (one.prefix, one.has_class_token, one.prefix_names, one.grid) == (0, False, (), (4, 4))
    assert geometry(small()).has_class_token is False
    torch.testing.assert_close(one.attention.sum(-1), torch.ones(3, HEADS, 16).double())
    assert attention.query_called(one, "cls") is None
    assert one.class_attention is not None
    torch.testing.assert_close(one.class_attention.sum(-1), torch.ones(2, HEADS).double())
    expected = one.class_attention.numpy()[:, :, 1:].mean(axis=1).reshape(2, 4, 4)
    np.testing.assert_allclose(attention.class_maps(one).numpy(), expected)
    with pytest.raises(ExplorerError, match="FAN"):
        attention.class_maps(replace(one, class_attention=None))


def test_attribution_and_its_place(pixels: Tensor) -> None:
    model = small()
    with torch.enable_grad():
        answers, *_ = rollout.forward(model, pixels)
    torch.testing.assert_close(answers.detach(), model(pixels).detach(), rtol=1e-11, atol=1e-11)
    own, place = gradcam.with_grid(model)
    seen: list[Tensor] = []
    place.register_forward_hook(lambda *given: seen.append(given[2]))
    torch.testing.assert_close(own(pixels), model(pixels))
    assert seen[0].shape == (2, 32, 4, 4)
    assert not any(module._forward_hooks for module in model.modules())


def test_another_size_computes_its_positions(tmp_path: Path) -> None:
    save(tmp_path / "fan.safetensors")
    larger = sizes.with_input_size(checkpoints.load(tmp_path / "fan.safetensors"), 96)
    (traced,) = trace(larger.module, torch.zeros(1, 3, 96, 96))
    assert (traced.grid, larger.card.changes) == ((6, 6), ())
    assert checkpoints.load(tmp_path / "fan.safetensors").module.patch_embed.grid_size == (4, 4)


# --- files --------------------------------------------------------------------------------------------------------


def save(path: Path, state: dict[str, Tensor] | None = None) -> None:
    declared = {"architecture": NAME, "filter": "twicing"}
    save_file(state or small(dtype=torch.float32).state_dict(), path, {METADATA_KEY: json.dumps(declared)})


def test_a_file_loads_strictly_and_is_known_by_its_shapes(tmp_path: Path) -> None:
    save(tmp_path / "fan.safetensors")
    loaded = checkpoints.load(tmp_path / "fan.safetensors")
    assert isinstance(loaded.module, Fan)
    assert loaded.card.is_twicing
    state = small().state_dict()
    like = likeness.of(state, 5)
    assert like is not None
    assert like.architecture == NAME
    for key in ("cls_attn_blocks.1.gamma2", "blocks.0.mlp.temperature"):
        save(tmp_path / "wrong.safetensors", {name: value for name, value in state.items() if name != key})
        with pytest.raises(ExplorerError, match=f"missing: {key}") as caught:
            checkpoints.load(tmp_path / "wrong.safetensors")
        assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    ("name", "parameters", "shape"),
    [("tiny", 192, (4, 1, 1)), ("small", 384, (8, 1, 1)), ("base", 448, (8, 1, 1))],
)
def test_names_and_shapes_are_those_of_the_released_weights(name: str, parameters: int, shape: tuple[int, ...]) -> None:
    dim, row = parameters, {"tiny": "tiny_12", "small": "small_12", "base": "base_18"}[name]
    shapes = registry.shapes(f"fan_{row}_p16_224", 1000)
    expected = {
        "cls_token": (1, 1, dim),
        "patch_embed.proj.0.0.weight": (dim // 8, 3, 3, 3),
        "patch_embed.proj.6.1.running_var": (dim,),
        "pos_embed.token_projection.weight": (dim, 64, 1, 1),
        "blocks.0.attn.q.weight": (dim, dim),
        "blocks.0.attn.kv.weight": (2 * dim, dim),
        "blocks.0.attn.proj.bias": (dim,),
        "blocks.0.mlp.temperature": shape,
        "blocks.0.mlp.q.bias": (dim,),
        "blocks.0.mlp.mlp_v.fc1.weight": (4 * dim, dim),
        "blocks.0.mlp.mlp_v.gamma": (4 * dim,),
        "blocks.0.mlp.mlp_v.dwconv.conv1.weight": (4 * dim, 1, 3, 3),
        "blocks.0.mlp.mlp_v.dwconv.bn.num_batches_tracked": (),
        "blocks.0.mlp.norm_v.weight": (dim,),
        "blocks.0.gamma1": (dim,),
        "cls_attn_blocks.1.attn.k.weight": (dim, dim),
        "cls_attn_blocks.1.mlp.fc2.weight": (dim, 4 * dim),
        "cls_attn_blocks.0.gamma2": (dim,),
        "norm.weight": (dim,),
        "head.weight": (1000, dim),
    }
    assert {key: shapes[key] for key in expected} == expected
