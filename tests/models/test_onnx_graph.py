"""Weights come out of an ONNX graph by the names of the modules that use them; nothing a stranger wrote is believed."""

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from explorer.models import dinov2, onnx_graph
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, normal
from tests.models.dinov2_files import Exporter, hugging_face, tokens_of

ROOT = Path(__file__).parents[2]
Spoil = Callable[[onnx.ModelProto], object]


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return Exporter(hugging_face()).model()


def read_and_run(path: Path) -> None:
    onnx_graph.read(path).tokens("backbone.layernorm", normal(1, 3, 42, 42))


def refusal(path: Path) -> str:
    with pytest.raises(ExplorerError) as caught:
        read_and_run(path)
    assert_one_sentence(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["backbone.", "", "model.backbone."])
def test_weights_stand_under_the_names_of_their_modules(tmp_path: Path, prefix: str) -> None:
    state = hugging_face()
    graph = onnx_graph.read(Exporter(state, prefix).write(tmp_path / "x.onnx"))
    expected = {prefix + name: value for name, value in state.items() if "mask_token" not in name}
    assert graph.state.keys() == {*expected, "decoder.weight"}
    assert all(torch.equal(graph.state[name], value) for name, value in expected.items())


def test_names_count_and_order_does_not(tmp_path: Path) -> None:
    """The three projections are of one shape: exchanged names are exchanged weights, wherever the nodes stand."""
    state, exporter = hugging_face(), Exporter(hugging_face())
    exported = exporter.model()
    for node in exported.graph.node:
        if "query" in node.name or "key" in node.name:
            mine, other = ("query", "key") if "query" in node.name else ("key", "query")
            node.name = node.name.replace(mine, other)
    onnx.save(exported, tmp_path / "x.onnx")
    read = onnx_graph.read(tmp_path / "x.onnx").state
    at = "encoder.layer.0.attention.attention"
    assert torch.equal(read[f"backbone.{at}.query.weight"], state[f"{at}.key.weight"])
    assert torch.equal(read[f"backbone.{at}.key.weight"], state[f"{at}.query.weight"])


@pytest.mark.parametrize(
    ("node", "module"),
    [
        (
            "/backbone/encoder/layer.3/attention/attention/key/MatMul",
            "backbone.encoder.layer.3.attention.attention.key",
        ),
        ("/blocks/blocks.11/mlp/fc1/MatMul", "blocks.11.mlp.fc1"),
        ("/vit/blocks/blocks.1/ls1/Mul", "vit.blocks.1.ls1"),
        ("/MatMul", ""),
        ("MatMul_3", ""),
        ("", ""),
    ],
)
def test_a_node_belongs_to_a_module(node: str, module: str) -> None:
    assert onnx_graph._path(node) == module


def test_tokens_are_those_of_an_independent_computation(tmp_path: Path) -> None:
    state, image = hugging_face(), normal(3, 42, 42, seed=2).float()
    graph = onnx_graph.read(Exporter(state).write(tmp_path / "x.onnx"))
    tokens = graph.tokens("backbone.layernorm", image[None])[0].numpy()
    np.testing.assert_allclose(tokens, tokens_of(state, image), atol=1e-5)


def test_size_and_metadata(tmp_path: Path) -> None:
    exporter = Exporter(hugging_face())
    assert onnx_graph.read(exporter.write(tmp_path / "x.onnx")).image_size == (None, None)
    fixed = onnx_graph.read(Exporter(hugging_face()).write(tmp_path / "y.onnx", 28, {"license": "MIT"}))
    assert (fixed.image_size, fixed.metadata) == ((28, 28), {"license": "MIT"})


def keep_outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[3]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def keep_a_constant_outside(model: onnx.ModelProto) -> None:
    constant = next(node for node in model.graph.node if node.op_type == "Constant")
    constant.attribute[0].t.external_data.add(key="location", value="/etc/passwd")


def claim_more(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].dims[:] = [2**40, 2**20]


def claim_a_little_more(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].dims[0] += 1


def claim_less_than_nothing(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].dims[0] = -1


def take_two_images(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1, 3, 14, 14]))


def take_four_channels(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4


def take_a_large_image(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**20


def use_a_loop(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Erf").op_type = "Loop"


def use_a_foreign_domain(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Erf").domain = "com.example"


def use_what_is_not_there(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Softmax").input[0] = "nothing"


def reshape_wrongly(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Constant")
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array([7, 11], np.int64)))


def name_nothing(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = ""


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (keep_outside, "in another file"),
        (keep_a_constant_outside, "in another file"),
        (claim_more, "fewer values than its shape"),
        (claim_a_little_more, "another number of values than its shape"),
        (claim_less_than_nothing, "fewer values than its shape"),
        (take_two_images, "one image"),
        (take_four_channels, "one image"),
        (take_a_large_image, "sides of at most 1024"),
        (use_a_loop, "uses Loop"),
        (use_a_foreign_domain, "uses Erf"),
        (use_what_is_not_there, "cannot be run up to backbone.layernorm"),
        (reshape_wrongly, "cannot be run up to backbone.layernorm"),
        (name_nothing, "no node is named after it"),
    ],
)
def test_what_cannot_be_trusted_is_refused(tmp_path: Path, model: onnx.ModelProto, spoil: Spoil, why: str) -> None:
    spoilt = onnx.ModelProto()
    spoilt.CopyFrom(model)
    spoil(spoilt)
    (tmp_path / "x.onnx").write_bytes(spoilt.SerializeToString())
    assert why in refusal(tmp_path / "x.onnx")


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a graph at all", b"\x08" * 99])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(data)
    assert "x.onnx" in refusal(tmp_path / "x.onnx")


@pytest.mark.parametrize("keep", [1, 100, 0.5, 0.99])
def test_a_cut_off_file_is_refused(tmp_path: Path, model: onnx.ModelProto, keep: float) -> None:
    data = model.SerializeToString()
    (tmp_path / "x.onnx").write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    assert "x.onnx" in refusal(tmp_path / "x.onnx")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_never_more_than_one_sentence(tmp_path: Path, model: onnx.ModelProto, data: st.DataObject) -> None:
    """Bytes of the small tensors and names, of nodes and sizes; what large weights hold makes no difference."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    large = [tensor for tensor in small.graph.initializer if len(tensor.raw_data) > 200]
    for tensor in large:
        small.graph.initializer.remove(tensor)
    damaged = bytearray(small.SerializeToString())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "x.onnx").write_bytes(damaged)
    try:
        dinov2.read(tmp_path / "x.onnx")
    except ExplorerError as error:
        assert_one_sentence(str(error))


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in refusal(tmp_path / "absent.onnx")
    (tmp_path / "x.onnx").write_bytes(bytes(10))
    monkeypatch.setattr(onnx_graph, "_MAX_BYTES", 10)
    assert "fewer than 10" in refusal(tmp_path / "x.onnx")


def test_without_onnx_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExplorerError, match=f"pip install {onnx_graph.ONNX}") as caught:
        onnx_graph.read(tmp_path / "x.onnx")
    assert_one_sentence(str(caught.value))


def test_its_version_is_the_same_wherever_it_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"]["import"] == [onnx_graph.ONNX]
    assert onnx_graph.ONNX in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").split()
