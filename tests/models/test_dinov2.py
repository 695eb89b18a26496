"""One vision transformer comes out of files under three sets of names; what is none, or has more parts, is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from explorer.models import dinov2
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence
from tests.models.dinov2_files import DEPTH, WIDTH, Exporter, State, hugging_face, timm_names

LAYER = "encoder.layer.0."


def store(path: Path, state: State, prefix: str = "") -> Path:
    save_file({prefix + name: value.contiguous().clone() for name, value in state.items()}, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ExplorerError) as caught:
        dinov2.read(path)
    assert_one_sentence(str(caught.value))
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "backbone.", "dinov2."])
@pytest.mark.parametrize("names", ["timm", "hugging_face"])
def test_names_and_prefixes_of_files(tmp_path: Path, names: str, prefix: str) -> None:
    state = hugging_face(patch=14, grid=3)
    path = store(tmp_path / "x.safetensors", timm_names(state) if names == "timm" else state, prefix)
    source = dinov2.read(path)
    assert (source.width, source.depth, source.patch, source.grid) == (WIDTH, DEPTH, 14, 3)
    assert source.left_out == ("mask_token",)
    assert source.graph is None
    expected = timm_names(state)
    if names == "timm":
        assert source.state.keys() == expected.keys() - {"mask_token"}
    else:
        assert source.has_projections_apart
        assert torch.equal(
            source.state["blocks.1.attn.key.bias"], state["encoder.layer.1.attention.attention.key.bias"]
        )
    common = source.state.keys() & expected.keys()
    assert len(common) >= 24
    assert all(torch.equal(source.state[name], expected[name]) for name in common)


def test_a_graph_and_what_stands_beside_its_transformer(tmp_path: Path) -> None:
    source = dinov2.read(Exporter(hugging_face()).write(tmp_path / "x.onnx"))
    assert (source.width, source.depth, source.patch, source.grid) == (WIDTH, DEPTH, 14, 3)
    assert source.left_out == ("decoder.weight",)
    assert source.final_norm == "backbone.layernorm"
    assert source.graph is not None


def test_torch_files_are_read_as_well(tmp_path: Path) -> None:
    torch.save(timm_names(hugging_face()), tmp_path / "x.pth")
    assert dinov2.read(tmp_path / "x.pth").grid == 3


def remove_patches(state: State) -> None:
    del state["embeddings.patch_embeddings.projection.weight"]


def add_a_second(state: State) -> None:
    state["second.patch_embed.proj.weight"] = torch.zeros(2)


def add_registers(state: State) -> None:
    state["embeddings.register_tokens"] = torch.zeros(1, 4, WIDTH)


def gate(state: State) -> None:
    state[f"{LAYER}mlp.weights_in.weight"] = state.pop(f"{LAYER}mlp.fc1.weight")


def gate_under_timm_names(state: State) -> None:
    state[f"{LAYER}mlp.fc2.weight"] = state[f"{LAYER}mlp.fc2.weight"][:, ::2]


def remove_positions(state: State) -> None:
    del state["embeddings.position_embeddings"]


def forget_the_class_token(state: State) -> None:
    state["embeddings.position_embeddings"] = state["embeddings.position_embeddings"][:, 1:]


def flatten_positions(state: State) -> None:
    state["embeddings.position_embeddings"] = state["embeddings.position_embeddings"][0]


def add_positions(state: State) -> None:
    state["embeddings.position_embeddings"] = torch.zeros(1, 1 + 65 * 65, 1)


def cut_oblong_patches(state: State) -> None:
    kernel = state["embeddings.patch_embeddings.projection.weight"]
    state["embeddings.patch_embeddings.projection.weight"] = kernel[..., :7]


def flatten_patches(state: State) -> None:
    kernel = state["embeddings.patch_embeddings.projection.weight"]
    state["embeddings.patch_embeddings.projection.weight"] = kernel.flatten(1)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (remove_patches, "0 patch embeddings came"),
        (add_a_second, "2 patch embeddings came"),
        (add_registers, r"register tokens (register_tokens)"),
        (gate, "SwiGLU"),
        (gate_under_timm_names, "SwiGLU"),
        (remove_positions, "positions for a class token"),
        (forget_the_class_token, "[1, 9, 32]"),
        (flatten_positions, "positions for a class token"),
        (add_positions, "at most 64 patches a side"),
        (cut_oblong_patches, "square patches"),
        (flatten_patches, "square patches"),
    ],
)
def test_other_transformers_are_refused(tmp_path: Path, spoil: Callable[[State], None], why: str) -> None:
    state = hugging_face()
    spoil(state)
    assert why in refusal(store(tmp_path / "x.safetensors", state))


def test_registers_under_timm_names_are_refused(tmp_path: Path) -> None:
    state = timm_names(hugging_face()) | {"reg_token": torch.zeros(1, 4, WIDTH)}
    assert "register tokens (reg_token)" in refusal(store(tmp_path / "x.safetensors", state))


@pytest.mark.parametrize("name", ["x.txt", "x", "x.safetensors", "x.pth"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else")
    refusal(tmp_path / name)
