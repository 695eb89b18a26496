"""Folding is exact, and checked; resampling is the pseudo-inverse of resizing, and torch's bicubic interpolation."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.models import dinov2, folding, registry
from explorer.models.dinov2 import Dinov2
from explorer.types import STANDARD, ExplorerError
from tests.conftest import TINY_OPTIONS
from tests.helpers import TINY, assert_one_sentence, normal, vit_reference
from tests.models.dinov2_files import DEPTH, HEADS, WIDTH, Exporter, State, hugging_face, timm_names, tokens_of


def read(folder: Path, state: State) -> Dinov2:
    save_file({name: value.contiguous().clone() for name, value in state.items()}, folder / "x.safetensors")
    return dinov2.read(folder / "x.safetensors")


def check(source: Dinov2, architecture: str) -> None:
    folding.check_fits(source, architecture)
    folding.graph_error(source, architecture)
    folding.fold_error(source, folding.fold(source), architecture)


def refusal(source: Dinov2, architecture: str) -> str:
    with pytest.raises(ExplorerError) as caught:
        check(source, architecture)
    assert_one_sentence(str(caught.value))
    assert source.name in str(caught.value)
    return str(caught.value)


def tokens_after_norm(state: State, image: Tensor, patch: int) -> np.ndarray:
    """By the NumPy model of a plain DeiT, which knows no LayerScale."""
    head = {"head.weight": torch.zeros(1, WIDTH), "head.bias": torch.zeros(1)}
    x = vit_reference(state | head, image, (STANDARD,) * DEPTH, HEADS, patch)["tokens"][-1]
    weight, bias = state["norm.weight"].numpy(), state["norm.bias"].numpy()
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * weight + bias


@pytest.mark.parametrize("names", ["timm", "hugging_face"])
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 16), st.integers(1, 4))
def test_a_folded_model_computes_what_the_source_computes(
    tmp_path_factory: pytest.TempPathFactory, names: str, seed: int, patch: int, grid: int
) -> None:
    """Two independent computations: weights without LayerScale by one, with it and under other names by the other."""
    state = hugging_face(patch, grid, seed)
    source = read(tmp_path_factory.mktemp("fold"), timm_names(state) if names == "timm" else state)
    image = normal(3, patch * grid, patch * grid, seed=seed % 1000)
    expected = tokens_of(state, image)
    difference = np.abs(tokens_after_norm(folding.fold(source), image, patch) - expected).max()
    assert difference < 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("names", ["timm", "hugging_face"])
def test_the_errors_are_tiny(tmp_path: Path, tiny: str, names: str) -> None:
    state = hugging_face()
    source = read(tmp_path, timm_names(state) if names == "timm" else state)
    folding.check_fits(source, tiny)
    assert folding.fold_error(source, folding.fold(source), tiny) < 1e-13
    assert folding.graph_error(source, tiny) is None


@pytest.mark.parametrize("side", [None, 42, 28, 70])
def test_a_graph_agrees_at_its_own_size_or_a_small_one(tmp_path: Path, tiny: str, side: int | None) -> None:
    source = dinov2.read(Exporter(hugging_face()).write(tmp_path / "x.onnx", side))
    folding.check_fits(source, tiny)
    error = folding.graph_error(source, tiny)
    assert error is not None
    assert 0 < error < 3e-6


def test_the_unfolded_model_is_the_source(tmp_path: Path, tiny: str) -> None:
    state = hugging_face()
    tokens = folding.unfolded_tokens(read(tmp_path, state), tiny, 42, 42, seed=3)
    image = torch.randn(1, 3, 42, 42, generator=torch.Generator().manual_seed(3))
    np.testing.assert_allclose(tokens[0].numpy(), tokens_of(state, image[0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [("key", "value", "query"), ("key", "query", "value"), ("query", "value", "key")])
def test_queries_keys_and_values_in_another_order_are_noticed(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, order: tuple[str, str, str]
) -> None:
    source = read(tmp_path, hugging_face())
    monkeypatch.setattr(folding, "PROJECTIONS", order)
    assert "at most 1e-10 was expected" in refusal(source, tiny)


@pytest.mark.parametrize("pair", [("query", "key"), ("key", "value"), ("query", "value")])
def test_a_graph_whose_names_are_exchanged_is_noticed(tmp_path: Path, tiny: str, pair: tuple[str, str]) -> None:
    """In every block, weights and biases: only running the graph can tell."""
    first, second = pair
    model = Exporter(hugging_face()).model()
    for node in model.graph.node:
        for mine, other in (pair, (second, first)):
            if f"/{mine}/" in node.name:
                node.name = node.name.replace(f"/{mine}/", f"/{other}/")
                break
    onnx.save(model, tmp_path / "x.onnx")
    assert "at most 1e-05 was expected" in refusal(dinov2.read(tmp_path / "x.onnx"), tiny)


def test_a_graph_that_computes_something_else_is_noticed(tmp_path: Path, tiny: str) -> None:
    model = Exporter(hugging_face()).model()
    next(node for node in model.graph.node if node.op_type == "Softmax").attribute[0].i = -2  # over the queries
    onnx.save(model, tmp_path / "x.onnx")
    assert "differ from its own" in refusal(dinov2.read(tmp_path / "x.onnx"), tiny)


def test_a_graph_of_broken_patches_is_refused(tmp_path: Path, tiny: str) -> None:
    source = dinov2.read(Exporter(hugging_face()).write(tmp_path / "x.onnx", 43))
    assert "43x43; whole patches of 14 were expected" in refusal(source, tiny)


def test_a_graph_with_more_tokens_is_refused(tmp_path: Path, tiny: str) -> None:
    model = Exporter(hugging_face()).model()
    at = next(number for number, node in enumerate(model.graph.node) if node.name.endswith("embeddings/Add"))
    twice = onnx.helper.make_node("Concat", [model.graph.node[at].output[0]] * 2, ["twice"], "/Twice", axis=1)
    for node in list(model.graph.node)[at + 1 :]:
        node.input[:] = ["twice" if name == model.graph.node[at].output[0] else name for name in node.input]
    model.graph.node.insert(at + 1, twice)
    onnx.save(model, tmp_path / "x.onnx")
    assert "tokens of shape [1, 10, 32]; [1, 20, 32] came" in refusal(dinov2.read(tmp_path / "x.onnx"), tiny)


@pytest.mark.parametrize("change", [{"depth": 1}, {"depth": 3}])
def test_another_depth_is_refused(tmp_path: Path, tiny: str, change: dict[str, int]) -> None:
    reason = refusal(read(tmp_path, hugging_face(**change)), tiny)
    assert f"width 32 and 2 blocks; x.safetensors has width 32 and {change['depth']} blocks" in reason


def test_another_width_is_refused(tmp_path: Path) -> None:
    reason = refusal(read(tmp_path, hugging_face()), "deit_small_patch16_224")
    assert "deit_small_patch16_224 has width 384 and 12 blocks; x.safetensors has width 32 and 2 blocks" in reason


@pytest.mark.parametrize("architecture", ["deit_tiny_distilled_patch16_224", "eva02_tiny_patch14_224", "resnet50"])
def test_architectures_that_are_no_plain_deit_are_refused(tmp_path: Path, architecture: str) -> None:
    source = read(tmp_path, hugging_face())
    with pytest.raises(ExplorerError) as caught:
        folding.check_fits(source, architecture)
    assert architecture in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("encoder.layer.1.layer_scale2.lambda1", None, "missing: blocks.1.ls2.gamma"),
        ("encoder.layer.1.attention.q_norm.weight", torch.ones(16), "unexpected: blocks.1.attention.q_norm.weight"),
        ("encoder.layer.1.norm1.bias", torch.ones(3), "mis-shaped: blocks.1.norm1.bias"),
        ("encoder.layer.1.norm1.bias", torch.ones(WIDTH, dtype=torch.int32), "not floating-point: blocks.1.norm1.bias"),
        ("encoder.layer.1.norm1.bias", torch.full((WIDTH,), torch.nan), "finite numbers; blocks.1.norm1.bias"),
        ("encoder.layer.1.attention.attention.key.bias", None, "missing: blocks.1.attn.key.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, tiny: str, key: str, value: Tensor | None, why: str
) -> None:
    state = hugging_face() if value is None else hugging_face() | {key: value}
    if value is None:
        del state[key]
    assert why in refusal(read(tmp_path, state), tiny)


# --- resampling ---------------------------------------------------------------------------------------------------


def test_same_sizes_stay_as_they_are(tmp_path: Path, tiny: str) -> None:
    source = read(tmp_path, timm_names(hugging_face(patch=8, grid=4)))
    state = folding.resample(folding.fold(source), tiny)
    assert torch.equal(state["patch_embed.proj.weight"], source.state["patch_embed.proj.weight"])
    assert torch.equal(state["pos_embed"], source.state["pos_embed"])


def test_half_precision_is_read_as_it_is(tmp_path: Path, tiny: str) -> None:
    source = read(tmp_path, {name: value.half() for name, value in hugging_face(patch=8, grid=4).items()})
    folding.check_fits(source, tiny)
    assert folding.fold_error(source, folding.fold(source), tiny) < 1e-13


def resampled(state: State) -> State:
    """To patches of 8 pixels and 4 of them a side."""
    row = registry.Architecture("Tiny random", "deit_tiny_patch16_224", (32, 32), DEPTH, TINY_OPTIONS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(registry.ARCHITECTURES, TINY, row)  # type: ignore[arg-type]
        return folding.resample(timm_names(state), TINY)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_positions_are_those_of_torch(seed: int, grid: int) -> None:
    """Bicubic, without antialiasing, patches alone; the class token keeps its own."""
    state = hugging_face(8, grid, seed)
    before, after = state["embeddings.position_embeddings"], resampled(state)["pos_embed"]
    square = before[0, 1:].T.reshape(1, WIDTH, grid, grid)
    expected = F.interpolate(square, (4, 4), mode="bicubic", align_corners=False)
    torch.testing.assert_close(after[0, 1:], expected[0].flatten(1).T, rtol=0, atol=1e-6)
    assert torch.equal(after[:, :1], before[:, :1])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 8))
def test_a_resized_patch_gives_the_same_token(seed: int, patch: int) -> None:
    """FlexiViT: <resized x, resampled w> = <x, w> for every patch x that is enlarged, here to 8 pixels a side."""
    state = hugging_face(patch, 4, seed)
    before = state["embeddings.patch_embeddings.projection.weight"].double()
    after = resampled(state)["patch_embed.proj.weight"].double()
    x = normal(5, 3, patch, patch, seed=seed % 1000)
    enlarged = F.interpolate(x, (8, 8), mode="bicubic", antialias=True)
    expected = torch.einsum("bchw,dchw->bd", x, before)
    tokens = torch.einsum("bchw,dchw->bd", enlarged, after)
    torch.testing.assert_close(tokens, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def of_timm(source: State) -> VisionTransformer:
    """timm's own transformer with LayerScale, and a head that the source has not."""
    model = VisionTransformer(
        img_size=42, patch_size=14, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, init_values=1.0, num_classes=3
    )
    body = {key: value for key, value in timm_names(source).items() if key != "mask_token"}
    assert model.load_state_dict(body, strict=False).missing_keys == ["head.weight", "head.bias"]
    return model.eval()


def test_a_model_of_timm_is_read_from_its_state_dict(tmp_path: Path, tiny: str) -> None:
    model = of_timm(hugging_face())
    source = read(tmp_path, model.state_dict())
    assert sorted(source.left_out) == ["head.bias", "head.weight"]
    folding.check_fits(source, tiny)
    image = torch.randn(1, 3, 42, 42, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.double().forward_features(image.double())
    torch.testing.assert_close(folding.unfolded_tokens(source, tiny, 42, 42), expected, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_model_of_timm_is_read_from_the_graph_that_torch_exports(tmp_path: Path, tiny: str) -> None:
    state = hugging_face()
    torch.onnx.export(of_timm(state), (torch.zeros(1, 3, 42, 42),), tmp_path / "x.onnx", dynamo=False)
    source = dinov2.read(tmp_path / "x.onnx")
    assert source.state.keys() == timm_names(state).keys() - {"mask_token"}
    assert all(torch.equal(source.state[key], timm_names(state)[key]) for key in source.state)
    error = folding.graph_error(source, tiny)
    assert error is not None
    assert error < 3e-6
