"""Small vision transformers like DINOv2's in every form they come in, and what they compute, in NumPy float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from scipy.special import erf, softmax
from torch import Tensor

from tests.helpers import Array

WIDTH, DEPTH, HEADS, HIDDEN = 32, 2, 2, 128
LINEARS = {
    "attention.attention.query": (WIDTH, WIDTH),
    "attention.attention.key": (WIDTH, WIDTH),
    "attention.attention.value": (WIDTH, WIDTH),
    "attention.output.dense": (WIDTH, WIDTH),
    "mlp.fc1": (HIDDEN, WIDTH),
    "mlp.fc2": (WIDTH, HIDDEN),
}
State = dict[str, Tensor]


def hugging_face(patch: int = 14, grid: int = 3, seed: int = 0, depth: int = DEPTH) -> State:
    """Random weights under the names of Hugging Face's Dinov2, LayerScale of both signs."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, WIDTH),
        "embeddings.mask_token": (1, WIDTH),
        "embeddings.position_embeddings": (1, 1 + grid * grid, WIDTH),
        "embeddings.patch_embeddings.projection.weight": (WIDTH, 3, patch, patch),
        "embeddings.patch_embeddings.projection.bias": (WIDTH,),
        "layernorm.weight": (WIDTH,),
        "layernorm.bias": (WIDTH,),
    }
    for layer in (f"encoder.layer.{number}." for number in range(depth)):
        for name, shape in LINEARS.items():
            shapes |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[layer + name] = (WIDTH,)
        shapes |= {f"{layer}layer_scale1.lambda1": (WIDTH,), f"{layer}layer_scale2.lambda1": (WIDTH,)}
    generator = torch.Generator().manual_seed(seed)
    state = {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: value + ("norm" in name and name.endswith("weight")) for name, value in state.items()}


def timm_names(state: Mapping[str, Tensor], depth: int = DEPTH) -> State:
    """The same weights as timm names them: queries, keys and values in one layer."""
    renamed = {
        "cls_token": state["embeddings.cls_token"],
        "mask_token": state["embeddings.mask_token"],
        "pos_embed": state["embeddings.position_embeddings"],
    }
    for kind in ("weight", "bias"):
        renamed[f"patch_embed.proj.{kind}"] = state[f"embeddings.patch_embeddings.projection.{kind}"]
        renamed[f"norm.{kind}"] = state[f"layernorm.{kind}"]
        for number in range(depth):
            theirs, ours = f"encoder.layer.{number}.", f"blocks.{number}."
            joined = [state[f"{theirs}attention.attention.{name}.{kind}"] for name in ("query", "key", "value")]
            renamed[f"{ours}attn.qkv.{kind}"] = torch.cat(joined)
            renamed[f"{ours}attn.proj.{kind}"] = state[f"{theirs}attention.output.dense.{kind}"]
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                renamed[f"{ours}{name}.{kind}"] = state[f"{theirs}{name}.{kind}"]
    for number in range(depth):
        for place in (1, 2):
            renamed[f"blocks.{number}.ls{place}.gamma"] = state[f"encoder.layer.{number}.layer_scale{place}.lambda1"]
    return renamed


def tokens_of(state: Mapping[str, Tensor], image: Tensor) -> Array:
    """All tokens after the final norm `[N, dim]` of weights under Hugging Face's names, LayerScale as it stands."""
    w = {name: value.double().numpy() for name, value in state.items()}
    kernel = w["embeddings.patch_embeddings.projection.weight"]
    patch, grid = kernel.shape[-1], image.shape[-1] // kernel.shape[-1]
    cut = image.double().numpy().reshape(3, grid, patch, grid, patch)
    patches = np.einsum("cyixj,dcij->yxd", cut, kernel) + w["embeddings.patch_embeddings.projection.bias"]
    x = np.concatenate([w["embeddings.cls_token"][0], patches.reshape(grid * grid, -1)])
    x = x + w["embeddings.position_embeddings"][0]
    for number in range(sum(name.endswith("layer_scale1.lambda1") for name in w)):
        at = f"encoder.layer.{number}."
        normed = _norm(x, w, at + "norm1")
        q, k, v = (
            _linear(normed, w, f"{at}attention.attention.{name}").reshape(len(x), HEADS, -1)
            for name in ("query", "key", "value")
        )
        A = softmax(np.einsum("qhc,khc->hqk", q, k) / math.sqrt(q.shape[-1]), axis=-1)
        u = np.einsum("hqk,khc->qhc", A, v).reshape(len(x), -1)
        x = x + w[at + "layer_scale1.lambda1"] * _linear(u, w, at + "attention.output.dense")
        hidden = _linear(_norm(x, w, at + "norm2"), w, at + "mlp.fc1")
        hidden = hidden * (1 + erf(hidden / math.sqrt(2))) / 2
        x = x + w[at + "layer_scale2.lambda1"] * _linear(hidden, w, at + "mlp.fc2")
    return _norm(x, w, "layernorm")


def _linear(x: Array, w: Mapping[str, Array], name: str) -> Array:
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def _norm(x: Array, w: Mapping[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6) * w[name + ".weight"] + w[name + ".bias"]


class Exporter:
    """Writes the graph that torch's exporter makes of Hugging Face's Dinov2 with a head: anonymous linear weights,
    positions cut into the class token's and the patches', which are resized where the image is of another size."""

    def __init__(self, state: Mapping[str, Tensor], prefix: str = "backbone.") -> None:
        self.state, self.prefix = state, prefix
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def write(self, path: Path, side: int | None = None, metadata: Mapping[str, str] | None = None) -> Path:
        """`side` in pixels is declared as the only size; None leaves it open, at the positions' own."""
        onnx.save(self.model(side, metadata), path)
        return path

    def model(self, side: int | None = None, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
        kernel = self.state["embeddings.patch_embeddings.projection.weight"]
        positions = self.state["embeddings.position_embeddings"]
        own = math.isqrt(positions.shape[1] - 1)
        x = self._embed(own, own if side is None else side // kernel.shape[-1])
        for number in range(sum(name.endswith("layer_scale1.lambda1") for name in self.state)):
            x = self._block(x, f"encoder.layer.{number}")
        x = self._norm(x, "layernorm")
        self._weight("decoder.weight", torch.ones(WIDTH, 1))
        self._add("MatMul", "/decoder/MatMul", x, "decoder.weight", output="scores")
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, side or "h", side or "w"])
        scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
        stored = [numpy_helper.from_array(value, name) for name, value in self.weights.items()]
        graph = helper.make_graph(self.nodes, "model", [image], [scores], stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, dict(metadata or {}))
        return model

    def _embed(self, own: int, grid: int) -> str:
        at, inside = f"{self.prefix}embeddings", f"{self.prefix}embeddings.patch_embeddings"
        kernel, bias = (self._weight(f"{inside}.projection.{kind}") for kind in ("weight", "bias"))
        size = self.state["embeddings.patch_embeddings.projection.weight"].shape[-1]
        strides = {"kernel_shape": [size, size], "strides": [size, size]}
        x = self._add("Conv", self._node(f"{inside}.projection", "Conv"), "image", kernel, bias, **strides)
        x = self._add("Reshape", self._node(inside, "Reshape"), x, self._ints(1, WIDTH, -1))
        x = self._add("Transpose", self._node(inside, "Transpose"), x, perm=[0, 2, 1])
        cls = self._weight(f"{at}.cls_token")
        x = self._add("Concat", self._node(at, "Concat"), cls, x, axis=1)
        positions = self.state["embeddings.position_embeddings"]
        patches = self._weight("onnx::Reshape_7", positions[:, 1:])
        first = self._weight("onnx::Concat_5", positions[:, :1])
        if grid != own:
            patches = self._add("Reshape", self._node(at, "Reshape"), patches, self._ints(1, own, own, WIDTH))
            patches = self._add("Transpose", self._node(at, "Transpose"), patches, perm=[0, 3, 1, 2])
            cubic = {"mode": "cubic", "cubic_coeff_a": -0.75, "coordinate_transformation_mode": "half_pixel"}
            sizes = self._ints(1, WIDTH, grid, grid)
            patches = self._add("Resize", self._node(at, "Resize"), patches, "", "", sizes, **cubic)
            patches = self._add("Transpose", self._node(at, "Transpose_1"), patches, perm=[0, 2, 3, 1])
            patches = self._add("Reshape", self._node(at, "Reshape_1"), patches, self._ints(1, -1, WIDTH))
        joined = self._add("Concat", self._node(at, "Concat_1"), first, patches, axis=1)
        return self._add("Add", self._node(at, "Add"), x, joined)

    def _block(self, x: str, layer: str) -> str:
        at = self.prefix + layer
        heads = f"{at}.attention.attention"
        normed = self._norm(x, f"{layer}.norm1")
        split: dict[str, str] = {}
        for name in ("key", "value", "query"):  # in the order of the code it is exported from, which is not timm's
            y = self._linear(normed, f"{layer}.attention.attention.{name}")
            y = self._add("Reshape", self._node(heads, f"Reshape_{name}"), y, self._ints(1, -1, HEADS, WIDTH // HEADS))
            perm = [0, 2, 3, 1] if name == "key" else [0, 2, 1, 3]
            split[name] = self._add("Transpose", self._node(heads, f"Transpose_{name}"), y, perm=perm)
        y = self._add("MatMul", self._node(heads, "MatMul"), split["query"], split["key"])
        y = self._add("Div", self._node(heads, "Div"), y, self._constant(math.sqrt(WIDTH // HEADS)))
        y = self._add("Softmax", self._node(heads, "Softmax"), y, axis=-1)
        y = self._add("MatMul", self._node(heads, "MatMul_1"), y, split["value"])
        y = self._add("Transpose", self._node(heads, "Transpose"), y, perm=[0, 2, 1, 3])
        y = self._add("Reshape", self._node(heads, "Reshape"), y, self._ints(1, -1, WIDTH))
        y = self._scaled(self._linear(y, f"{layer}.attention.output.dense"), f"{layer}.layer_scale1")
        x = self._add("Add", self._node(at, "Add"), y, x)
        y = self._linear(self._norm(x, f"{layer}.norm2"), f"{layer}.mlp.fc1")
        gelu = f"{at}.mlp.activation"
        z = self._add("Div", self._node(gelu, "Div"), y, self._constant(math.sqrt(2)))
        z = self._add("Erf", self._node(gelu, "Erf"), z)
        z = self._add("Add", self._node(gelu, "Add"), z, self._constant(1.0))
        z = self._add("Mul", self._node(gelu, "Mul"), y, z)
        z = self._add("Mul", self._node(gelu, "Mul_1"), z, self._constant(0.5))
        y = self._scaled(self._linear(z, f"{layer}.mlp.fc2"), f"{layer}.layer_scale2")
        return self._add("Add", self._node(at, "Add_1"), y, x)

    def _norm(self, x: str, module: str) -> str:
        weight, bias = (self._weight(f"{self.prefix}{module}.{kind}") for kind in ("weight", "bias"))
        node = self._node(self.prefix + module, "LayerNormalization")
        return self._add("LayerNormalization", node, x, weight, bias, axis=-1, epsilon=1e-6)

    def _linear(self, x: str, module: str) -> str:
        weight = self._weight(f"onnx::MatMul_{len(self.weights)}", self.state[f"{module}.weight"].T)
        x = self._add("MatMul", self._node(self.prefix + module, "MatMul"), x, weight)
        return self._add("Add", self._node(self.prefix + module, "Add"), self._weight(f"{self.prefix}{module}.bias"), x)

    def _scaled(self, x: str, module: str) -> str:
        gamma = self._weight(f"{self.prefix}{module}.lambda1")
        return self._add("Mul", self._node(self.prefix + module, "Mul"), x, gamma)

    def _node(self, module: str, name: str) -> str:
        path = module.replace(".", "/").replace("layer/", "layer.")
        return f"/{path}/{name}"

    def _add(self, kind: str, name: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"{name}_output_0"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name, **attributes))
        return output

    def _weight(self, name: str, value: Tensor | None = None) -> str:
        value = self.state[name.removeprefix(self.prefix)] if value is None else value
        self.weights[name] = np.ascontiguousarray(value.numpy())
        return name

    def _ints(self, *values: int) -> str:
        return self._stored(np.array(values, np.int64))

    def _constant(self, value: float) -> str:
        return self._stored(np.array(value, np.float32))

    def _stored(self, value: Array) -> str:
        name = f"/Constant_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Constant", [], [name], name, value=numpy_helper.from_array(value)))
        return name
