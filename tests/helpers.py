"""What several tests share: random traces, digests, small data, and an independent vision transformer."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.linalg
import torch
from PIL import Image
from scipy.special import erf
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.models.classes import ClassName
from explorer.paper import operators
from explorer.traces import Trace
from explorer.training.data import Dataset
from explorer.types import Operator, Operators

TINY = "tiny_random"
CLASSES = ("cat", "dog", "fox", "hen", "owl")

Array = np.ndarray


def randomise(model: VisionTransformer, seed: int = 0, spread: float = 0.2) -> VisionTransformer:
    """Normal weights from a seed: timm's own start gives attention that is nearly uniform and biases of zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, spread, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return model


def stochastic(*shape: int, seed: int = 0, sharpness: float = 2.0) -> Tensor:
    """A random float64 matrix (or stack of them) whose rows sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(sharpness * torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadratics(*coefficients: float) -> Operators:
    """Blocks under `a A + (1 - a) A^2`: 1 is standard, 2 twicing."""
    return tuple(map(operators.quadratic, coefficients))


def make_trace(
    attention: Tensor, filter: Operators, values: Tensor | None = None, tokens: Tensor | None = None, prefix: int = 1
) -> Trace:
    """A trace with this attention on a grid of one row of patches; what is not given is random."""
    depth, heads, n, _ = attention.shape
    return Trace(
        attention=attention,
        values=normal(depth, heads, n, 4, seed=7) if values is None else values,
        tokens=normal(depth + 1, n, 8, seed=8) if tokens is None else tokens,
        logits=normal(5, seed=9),
        grid=(1, n - prefix),
        prefix=prefix,
        filter=filter,
    )


def digest(tensors: Iterable[Tensor]) -> str:
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def trace_digest(trace: Trace) -> str:
    return digest((trace.attention, trace.values, trace.tokens, trace.logits))


def assert_same_multiset(left: Array, right: Array, tolerance: float = 1e-9) -> None:
    """Every complex number on the left has its own partner on the right."""
    rest = list(right)
    assert len(left) == len(rest)
    for value in left:
        nearest = min(range(len(rest)), key=lambda i: abs(rest[i] - value))
        assert abs(rest.pop(nearest) - value) < tolerance


def eigenvalues_and_noise(matrices: Array) -> tuple[Array, Array]:
    """Eigenvalues of matrices in one row, and how far the rounding of float32 may move each: by SciPy's left ones."""
    values, noise = [], []
    for matrix in matrices.reshape(-1, *matrices.shape[-2:]):
        each, left, right = scipy.linalg.eig(matrix, left=True)
        error = len(matrix) * np.finfo(np.float32).eps * np.linalg.norm(matrix, 2)
        values.append(each)
        noise.append(error / np.abs((left.conj() * right).sum(axis=0)))
    return np.concatenate(values), np.concatenate(noise)


def plain_text(text: str) -> str:
    """What Markdown shows of text without markup: escapes and zero-width spaces are gone."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text.replace("\u200b", ""))


def assert_one_sentence(message: str) -> None:
    message = message.strip()
    assert message.endswith(".")
    assert "\n" not in message
    assert ". " not in message


# --- small labelled data ------------------------------------------------------------------------------------------


def smooth(height: int, width: int, period: float = 0.2) -> np.ndarray:
    """Waves of different direction in each colour, whose length is a share of the shorter side."""
    y, x = np.mgrid[:height, :width] / (period * min(height, width)) * 2 * np.pi
    return np.stack([127.5 + 110 * np.sin(wave) for wave in (x, y, x + y)], axis=-1).astype(np.uint8)


def picture(seed: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def write_folder(folder: Path, names: Iterable[str] = ("n0", "n1"), each: int = 2) -> Path:
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            picture(100 * label + i).save(folder / name / f"{i}.png")
    return folder


def write_parquet(path: Path, labels: Iterable[int], format: str = "PNG") -> Path:
    labels = list(labels)
    encoded = []
    for seed in range(len(labels)):
        buffer = io.BytesIO()
        picture(seed).save(buffer, format, **({"lossless": True} if format == "WEBP" else {}))
        encoded.append(buffer.getvalue())
    pq.write_table(pa.table({"image": pa.array(encoded, pa.binary()), "label": pa.array(labels, pa.int64())}), path)
    return path


def write_class_list(path: Path, count: int = 2) -> Path:
    path.write_text("".join(f"{i}\tn{i}\tname {i}, synonym {i}\n" for i in range(count)), encoding="utf-8")
    return path


def small_dataset(each: int = 4, classes: int = 2, seed: int = 0, size: int = 32) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (each * classes, 3, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.arange(classes).repeat_interleave(each)
    return Dataset(images, labels, tuple(ClassName(f"n{i}", f"name {i}") for i in range(classes)))


# --- an independent vision transformer in NumPy float64 -----------------------------------------------------------


def vit_reference(
    state: dict[str, Tensor], image: Tensor, filter: Operators, heads: int, patch: int
) -> dict[str, Array]:
    """DeiT with any operator in each block, from its state dict: `E` and `E_0` are formed and applied to the values."""
    w = {key: value.detach().numpy().astype(np.float64) for key, value in state.items()}
    pixels = image.numpy().astype(np.float64)
    grid = pixels.shape[1] // patch
    cut = pixels.reshape(3, grid, patch, grid, patch)
    patches = np.einsum("cyixj,dcij->yxd", cut, w["patch_embed.proj.weight"]) + w["patch_embed.proj.bias"]
    x = np.concatenate([w["cls_token"][0], patches.reshape(grid * grid, -1)]) + w["pos_embed"][0]
    tokens, attentions, values = [x], [], []
    for layer, operator in enumerate(filter):
        at = f"blocks.{layer}."
        qkv = _linear(_layer_norm(x, w, at + "norm1"), w, at + "attn.qkv")
        q, k, v = qkv.reshape(len(x), 3, heads, -1).transpose(1, 2, 0, 3)  # (3, H, N, d)
        A = kernel_reference(operator.kernel, q, k, v, values[-1] if values else None)
        own, of_first = filter_reference(operator, layer, A)
        u = own @ v + of_first @ (values[0] if values else v)
        x = x + _linear(u.transpose(1, 0, 2).reshape(len(x), -1), w, at + "attn.proj")
        hidden = _linear(_layer_norm(x, w, at + "norm2"), w, at + "mlp.fc1")
        x = x + _linear(hidden * (1 + erf(hidden / math.sqrt(2))) / 2, w, at + "mlp.fc2")
        tokens.append(x)
        attentions.append(A)
        values.append(v)
    logits = _linear(_layer_norm(x, w, "norm")[0], w, "head")
    return {
        "logits": logits,
        "tokens": np.stack(tokens),
        "attention": np.stack(attentions),
        "values": np.stack(values),
    }


def kernel_reference(
    kernel: str, q: Array, k: Array, v: Array, before: Array | None, weight: float | None = None
) -> Array:
    """`A` of a kernel of the literature for `(..., N, d)`, from its equation; `weight` is that of a difference."""
    d = q.shape[-1]
    if kernel == "differential":
        first, second = (
            kernel_reference("softmax", q[..., part::2, :, :], k[..., part::2, :, :], v, None) for part in (0, 1)
        )
        return first - weight * second
    if kernel == "linear":
        phi = [np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in (q, k)]
        products = np.einsum("...qc,...kc->...qk", *phi) / math.sqrt(d)
        return products / (products.sum(axis=-1, keepdims=True) + 1e-5)
    weights = np.ones((*q.shape[:-2], 1, d))
    if kernel == "elliptical" and before is not None:
        weights = np.abs(v - before).mean(axis=-2, keepdims=True)
        weights = weights / weights.max(axis=-1, keepdims=True)
    scores = np.einsum("...qc,...kc->...qk", q * weights, k) / math.sqrt(d)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True)


def filter_reference(operator: Operator, layer: int, A: Array) -> tuple[Array, Array]:
    """`E` and `E_0` of a filter of the literature, from its equation."""
    n = A.shape[-1]
    unit, mean, nothing = np.eye(n) + 0 * A, np.full((n, n), 1 / n) + 0 * A, 0 * A
    number = operator.parameter or 0.0
    if layer == 0 and operator.filter in ("neutreno", "resformer", "svformer"):
        return A, nothing
    return {
        "standard": lambda: (A, nothing),
        "twicing": lambda: (2 * A - A @ A, nothing),
        "quadratic": lambda: (number * A + (1 - number) * (A @ A), nothing),
        "boosting": lambda: (unit - np.linalg.matrix_power(unit - A, int(number)), nothing),
        "neutreno": lambda: (A - number * unit, number * unit),
        "resformer": lambda: (A / 2, A / 2),
        "svformer": lambda: (nothing, A),
        "centred": lambda: (A - mean, nothing),
        "attnscale": lambda: (mean + (1 + number) * (A - mean), nothing),
    }[operator.filter]()


def _linear(x: Array, w: dict[str, Array], name: str) -> Array:
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def _layer_norm(x: Array, w: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    return scaled * w[name + ".weight"] + w[name + ".bias"]


def paired_interval(first: np.ndarray, second: np.ndarray) -> list[float]:
    """Difference of two shares of hits over the same images with Agresti and Min's 95% interval, by weights."""
    each = second.astype(float) - first.astype(float)
    values, weights = np.append(each, (0, 0, 1, -1)), np.append(np.ones(len(each)), (0.5,) * 4)
    middle = np.average(values, weights=weights)
    half = 1.959964 * np.sqrt(np.average((values - middle) ** 2, weights=weights) / weights.sum())
    return [each.mean(), middle - half, middle + half]
