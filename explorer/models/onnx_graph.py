"""Weights out of an ONNX graph, and the graph itself run up to one of its modules, as a witness of what they mean.

Exporters fold and rename: the weight of a linear layer stands in the graph transposed, under a number. It is known by
the node that uses it, whose name is the module's path (`/encoder/layer.0/mlp/fc1/MatMul`), as torch's TorchScript
exporter writes it; never by the order of nodes or weights.

Of a stranger's file nothing but arithmetic is run: no other file is read, no weight is larger than what is written of
it, and operations outside a short list are refused. Shapes that a graph computes are not bounded: that is left to
whoever gives the command a file. `onnx`, whose reference evaluator runs it, is imported only when a graph is read.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer import files
from explorer.models.weights import State, excerpt
from explorer.types import ExplorerError

SUFFIX = ".onnx"
ONNX = "onnx==1.23.2"
"""The version this was tested with: the extra `import` of pyproject.toml."""

_MAX_BYTES = 2**31
_MAX_SIDE = 1024
_POSITIONS = "position_embeddings"
_OPERATIONS = frozenset(
    (
        *("Add", "Cast", "Concat", "Constant", "ConstantOfShape", "Conv", "Div", "Equal", "Erf", "Expand", "Flatten"),
        *("Gather", "Gelu", "Gemm", "Identity", "LayerNormalization", "MatMul", "Mul", "Pow", "ReduceMean", "Reshape"),
        *("Resize", "Shape", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where"),
    )
)
"""What exporters write a plain vision transformer in."""


@dataclass(frozen=True, eq=False)
class Graph:
    """An ONNX graph: its weights under the names of their modules, and what runs it."""

    name: str
    state: State
    """Float tensors by module path; linear weights are `[out, in]`, as in torch."""
    metadata: Mapping[str, str]
    digest: str
    """SHA-256 of the file."""
    image_size: tuple[int | None, int | None]
    """Height and width of the images the graph takes; None where it says that any will do."""
    _model: Any

    def tokens(self, module: str, image: Tensor) -> Tensor:
        """What the module at this path puts out for an image `[1, 3, height, width]`, by ONNX's reference evaluator.

        Raises `ExplorerError` where there is no such module, and where the graph up to it cannot be run.
        """
        output = [node.output[0] for node in self._model.graph.node if _path(node.name) == module and node.output]
        if not output:
            raise ExplorerError(f"A module {module} was expected in {self.name}; no node is named after it.")
        from onnx.reference import ReferenceEvaluator

        model = _up_to(self.name, self._model, output[-1])  # nodes stand in the order in which they run
        try:
            (tokens,) = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: image.float().numpy()})
            return torch.from_numpy(np.array(tokens))
        except Exception as error:  # whatever a graph can do wrong
            why = excerpt(str(error).partition("\n")[0].rstrip("."), 200)
            raise ExplorerError(f"{self.name} cannot be run up to {module}: {why}.") from error


def read(path: Path) -> Graph:
    """Reads an ONNX file whose weights are inside it.

    Raises `ExplorerError` with one sentence where `onnx` is not installed, and for a file that is damaged, too large,
    keeps weights in other files, or takes anything but one image of three channels.
    """
    onnx = _import()
    try:
        if (size := path.stat().st_size) >= _MAX_BYTES:
            raise ExplorerError(f"{path.name} has {size} bytes; fewer than {_MAX_BYTES} were expected.")
        data = files.read(path, _MAX_BYTES)
    except OSError as error:
        raise ExplorerError(f"{path.name} cannot be read: {error.strerror or 'it is damaged'}.") from error
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's own kinds
        raise ExplorerError(f"{path.name} is not a complete ONNX file.") from error
    if not all(isinstance(name, str) for name in _names(model)):  # bytes, where they are no text
        raise ExplorerError(f"{path.name} is not a complete ONNX file.")
    for tensor in _tensors(model.graph):
        _check_weight(path.name, tensor)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    digest = hashlib.sha256(data).hexdigest()
    return Graph(path.name, _state(onnx, path.name, model), metadata, digest, _image_size(path.name, model), model)


def _import() -> ModuleType:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError:
        raise ExplorerError(
            f"The package onnx was expected to be installed; python -m pip install {ONNX} brings it."
        ) from None
    return onnx


def _names(model: Any) -> Iterator[Any]:
    for node in model.graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (entry.name for entry in (*model.graph.input, *_tensors(model.graph)))
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor of a graph that is used here, those among the attributes of its nodes included."""
    yield from graph.initializer
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)


def _check_weight(name: str, tensor: Any) -> None:
    """An evaluator would open the file that a tensor names, and make one as large as its shape says."""
    if tensor.external_data or tensor.data_location:
        raise ExplorerError(
            f"{name} keeps {excerpt(tensor.name, 80)} in another file; weights inside the file were expected."
        )
    if min(tensor.dims, default=1) < 0 or math.prod(tensor.dims) > tensor.ByteSize() * 8:
        raise ExplorerError(f"{name} holds {excerpt(tensor.name, 80)} in fewer values than its shape has.")


def _state(onnx: ModuleType, file: str, model: Any) -> State:
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    stored = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type in floats}

    def read(name: str) -> Tensor:
        try:
            return torch.from_numpy(onnx.numpy_helper.to_array(stored[name]).copy())
        except (ValueError, TypeError) as error:
            raise ExplorerError(
                f"{file} holds {excerpt(name, 80)} in another number of values than its shape has."
            ) from error

    state, positions = {}, dict[str, list[str]]()
    anonymous = {name for name in stored if "::" in name}
    for node in model.graph.node:
        path, used = _path(node.name), [name for name in node.input if name in anonymous]
        if node.op_type == "MatMul" and node.input[1:] == used:
            state[f"{path}.weight"] = read(used[0]).T.contiguous()
        elif path.rpartition(".")[2] == "embeddings":
            positions.setdefault(path, []).extend(name for name in used if len(stored[name].dims) == 3)
    for path, names in positions.items():
        # Of the class token and of the patches apart, where the exporter had to interpolate the latter.
        parts = sorted((read(name) for name in dict.fromkeys(names)), key=lambda part: part.shape[1])
        if parts and len({(part.shape[0], part.shape[2]) for part in parts}) == 1:
            state[f"{path}.{_POSITIONS}"] = torch.cat(parts, dim=1)
    return state | {name: read(name) for name in stored if name not in anonymous}


def _path(node: str) -> str:
    """The module that a node belongs to: `/blocks/blocks.0/mlp/fc1/MatMul` is `blocks.0.mlp.fc1`."""
    parts = node.strip("/").split("/")[:-1]
    following = [*parts[1:], ""][: len(parts)]
    return ".".join(part for part, after in zip(parts, following, strict=True) if not after.startswith(f"{part}."))


def _image_size(name: str, model: Any) -> tuple[int | None, int | None]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in weights]
    dims = list(inputs[0].type.tensor_type.shape.dim) if len(inputs) == 1 else []
    if len(dims) != 4 or dims[1].dim_value not in (0, 3):
        raise ExplorerError(
            f"{name} was expected to take one image [batch, 3, height, width]; it takes something else."
        )
    height, width = (dim.dim_value if dim.HasField("dim_value") else None for dim in dims[2:])
    if not all(side is None or 0 < side <= _MAX_SIDE for side in (height, width)):
        raise ExplorerError(f"{name} takes images of {height}x{width}; sides of at most {_MAX_SIDE} were expected.")
    return height, width


def _up_to(name: str, model: Any, output: str) -> Any:
    """The part of a graph that one of its tensors is computed from."""
    from onnx import TensorProto, helper

    origin = {tensor: number for number, node in enumerate(model.graph.node) for tensor in node.output}
    needed: set[int] = set()
    wanted = [output]
    while wanted:
        number = origin.get(wanted.pop())
        if number is not None and number not in needed:
            needed.add(number)
            wanted.extend(model.graph.node[number].input)
    nodes = [model.graph.node[number] for number in sorted(needed)]
    _check_operations(name, nodes)
    used = {tensor for node in nodes for tensor in node.input}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
    inputs = [entry for entry in model.graph.input if entry.name in used - {tensor.name for tensor in weights}]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "up to one module", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)


def _check_operations(name: str, nodes: Iterable[Any]) -> None:
    foreign = {node.op_type for node in nodes if node.op_type not in _OPERATIONS or node.domain not in ("", "ai.onnx")}
    if foreign:
        named = excerpt(", ".join(sorted(foreign)), 120)
        raise ExplorerError(f"{name} uses {named}; the operations of a plain vision transformer were expected.")
