"""Other packages beside ours: the same attention maps and rollout on the same stock timm DeiT, in time and memory.

They know standard attention only, so ours runs with the filter 1. Where definitions agree the numbers are compared too.
`bench/requirements.txt` holds the packages; what is not installed is left out, and said.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from bench.common import MISSED, Row, medians
from explorer.attribution.gradcam import with_grid
from explorer.attribution.methods import attribute
from explorer.attribution.result import Attribution
from explorer.attribution.settings import AttributionSettings, Method
from explorer.measures import attention
from explorer.models import LoadedModel, create, uniform_filter
from explorer.models.trace import trace
from explorer.traces import Trace
from explorer.types import ModelCard, Preprocessing

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 11
PREPROCESSING = Preprocessing((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), crop_pct=0.9)
"""What the inputs went through."""
TOLERANCE = 1e-6
QUERIES = (0, 1, 100, 196)
"""Rows of a rollout that are compared: CLS, the first patch, one in the middle, the last."""
MAPS, ROLLOUT, GRADIENTS = "attention maps of all layers and heads", "rollout", "accumulated attention maps"
CAM = "GradCAM"
TARGET = 0
"""The class that maps of a class are of."""
KEPT = {
    MAPS: "A of all heads, values, tokens, logits",
    ROLLOUT: "the same, and the row of a query in every layer",
    GRADIENTS: "A of all heads, values, tokens, logits",
    CAM: "a map of a class by patches, with its settings",
}
"""What ours keeps."""

Model = Any
Task = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Tool:
    """One way to get something out of a model."""

    name: str
    what: str
    build: Callable[[Model], Task]
    """Out of a stock model with explicit attention."""
    difference: Callable[[Any, Any], float]
    """Largest absolute difference between a result and ours: a trace, of GradCAM the map."""
    keeps: str
    """What a result holds."""
    package: str = ""
    note: str = ""


# --- models -------------------------------------------------------------------------------------------------------


def _stock(size: str) -> Model:
    """timm's model, its random weights scaled so that attention is far from uniform (scores of deviation 1.6)."""
    torch.manual_seed(0)
    model: Model = timm.create_model(_name(size)).eval()
    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.weight[: 2 * model.embed_dim] *= math.sqrt(2.5 / (model.embed_dim * 0.02**2))
            for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
                layer.bias.normal_(0.0, 0.1)
    return model.requires_grad_(False)


def _explicit(stock: Model, size: str) -> Model:
    """The same weights, not copied, with explicit attention: the fused one never forms the matrix."""
    with torch.device("meta"):
        model: Model = timm.create_model(_name(size))
    model.load_state_dict(stock.state_dict(), assign=True)
    for block in model.blocks:
        block.attn.fused_attn = False
    return model.eval().requires_grad_(False)


def _filtered(stock: Model, size: str) -> Model:
    model = create(_name(size), 1000, uniform_filter(12, 1.0))
    model.load_state_dict(stock.state_dict(), assign=True)
    return model.eval().requires_grad_(False)


def _name(size: str) -> str:
    return f"deit_{size}_patch16_224"


# --- tools --------------------------------------------------------------------------------------------------------


def _extract(method: str) -> Callable[[Model], Task]:
    def build(model: Model) -> Task:
        from timm.utils import AttentionExtract

        extract = AttentionExtract(model, method=method)

        @torch.inference_mode()
        def task(x: Tensor) -> list[Tensor]:
            return list(extract(x).values())

        return task

    return build


def _multiplied(build: Callable[[Model], Task]) -> Callable[[Model], Task]:
    """Rollout as Abnar & Zuidema write it, by hand, of maps that a tool extracts."""

    def build_rollout(model: Model) -> Task:
        extract = build(model)

        @torch.inference_mode()
        def task(x: Tensor) -> Tensor:
            product = torch.eye(197)
            for one in extract(x):  # (1, H, N, N)
                product = (one[0].mean(dim=0) + torch.eye(197)) / 2 @ product
            return product

        return task

    return build_rollout


def _fast_vit_rollout(model: Model) -> Task:
    from fast_vit_rollout.vit_rollout import ViTAttentionRollout

    rollout = ViTAttentionRollout(model, head_fusion="mean", discard_ratio=0.0)
    return lambda x: rollout(x)[0]


def _torchxai(model: Model) -> Task:
    from torchxai import AttentionRollout

    class Raw(AttentionRollout):  # type: ignore[misc]
        """Keeps the map as it was before it is enlarged and stretched to 0..1."""

        def _compute_cam(self, *args: Any) -> Any:
            self.raw = super()._compute_cam(*args)
            return self.raw

    rollout = Raw(model, head_fusion="mean", discard_ratio=0.0)
    return lambda x: (rollout(x), rollout.raw)


def _daam(model: Model) -> Task:
    from daam import DAAM

    explain = DAAM(model)

    def task(x: Tensor) -> Any:
        return explain(x), explain._a, explain._v

    return task


def _grad_cam(model: Model) -> Task:
    """Its attribution wants tokens on a grid, which its user lays out: so does ours, by the same function."""
    from captum.attr import LayerGradCam

    size = model.default_cfg["architecture"].split("_")[1]
    explain = LayerGradCam(*with_grid(_filtered(model, size)))
    return lambda x: explain.attribute(x, TARGET)


def _between_cams(result: Tensor, one: Attribution) -> float:
    return _largest(result[0, 0].detach(), torch.as_tensor(one.values))


def _between_maps(result: Sequence[Tensor], one: Trace) -> float:
    return _largest(torch.cat(list(result)), one.attention)


def _between_rollouts(result: Tensor, one: Trace) -> float:
    return max(_largest(result[query], attention.rollout(one, query)[-1]) for query in QUERIES)


def _between_cls_maps(result: tuple[Any, Any], one: Trace) -> float:
    return _largest(torch.from_numpy(result[1]), attention.patch_maps(attention.rollout(one, 0)[-1], one))


def _between_captures(result: tuple[Any, Sequence[Tensor], Sequence[Tensor]], one: Trace) -> float:
    _, attentions, values = result
    heads = torch.cat(list(values)).unflatten(-1, (one.values.shape[1], -1)).transpose(1, 2)  # (L, H, N, d)
    return max(_between_maps(attentions, one), _largest(heads, one.values))


def _largest(left: Tensor, right: Tensor) -> float:
    if left.shape != right.shape:
        raise ValueError(f"Shapes {tuple(left.shape)} and {tuple(right.shape)} cannot be compared.")
    return float((left - right).abs().max())


_FX_NOTE = "made with fused attention off: with it on it finds no softmax to extract and raises"
_HOOK_NOTE = "made with fused attention off: with it on its hooks on attn_drop are never called and it returns nothing"
_BY_HAND = "; it has no rollout: its maps are multiplied by hand, in matrices"
_ONLY_A = "A of all heads"
TOOLS = (
    Tool("timm AttentionExtract (fx)", MAPS, _extract("fx"), _between_maps, _ONLY_A, note=_FX_NOTE),
    Tool("timm AttentionExtract (hooks)", MAPS, _extract("hook"), _between_maps, _ONLY_A, note=_HOOK_NOTE),
    Tool(
        "timm AttentionExtract (fx)",
        ROLLOUT,
        _multiplied(_extract("fx")),
        _between_rollouts,
        "one matrix",
        note=_FX_NOTE + _BY_HAND,
    ),
    Tool(
        "timm AttentionExtract (hooks)",
        ROLLOUT,
        _multiplied(_extract("hook")),
        _between_rollouts,
        "one matrix",
        note=_HOOK_NOTE + _BY_HAND,
    ),
    Tool(
        "fast-vit-rollout 0.1.1",
        ROLLOUT,
        _fast_vit_rollout,
        _between_rollouts,
        "one matrix",
        "fast_vit_rollout.vit_rollout",
        "mean over heads, discard_ratio 0; its user turns fused attention off, or its hooks see nothing and it raises",
    ),
    Tool(
        "torchxai-explain 0.3.0",
        ROLLOUT,
        _torchxai,
        _between_cls_maps,
        "the row of CLS",
        "torchxai",
        "mean over heads, discard_ratio 0; it gives the row of CLS only, enlarged and stretched to 0..1 in its time, "
        "compared before that",
    ),
    Tool(
        "daam-timm-vit 0.2.1",
        GRADIENTS,
        _daam,
        _between_captures,
        "a map of a class, A, values, gradients",
        "daam",
        "computes something else, with a backward pass: maps of a class from attention, values and gradients; compared "
        "is what it captures, A and V of all layers",
    ),
    Tool(
        "captum LayerGradCam",
        CAM,
        _grad_cam,
        _between_cams,
        "a map of a class by patches",
        "captum.attr",
        "its user lays the tokens out on a grid, here as ours does",
    ),
)


# --- rows ---------------------------------------------------------------------------------------------------------


def rows(inputs: Sequence[Tensor], size: str) -> list[Row]:
    """Time, memory and agreement of every tool that is installed, and ours; `size` is `tiny`, `small` or `base`.

    Says in one sentence what is not installed.
    """
    missing = {tool.name: reason for tool in TOOLS if (reason := _missing(tool))}
    if missing:
        named = ", ".join(f"{name} ({reason})" for name, reason in missing.items())
        print(f"Not compared, because bench/requirements.txt is not installed: {named}.", file=sys.stderr)
    tools = [tool for tool in TOOLS if tool.name not in missing]
    return [*_times(tools, inputs, size), *_memory(tools, inputs, size), *_agreement(tools, inputs, size)]


def _missing(tool: Tool) -> str:
    try:
        importlib.import_module(tool.package or "timm")
    except ImportError as error:  # also where a package is there and what it needs is not
        return str(error)
    return ""


def _ours(model: Model, size: str) -> dict[str, Task]:
    """What ours takes for each of what the tools give; a trace holds all that daam captures."""
    name, filter = _name(size), uniform_filter(12, 1.0)
    card = ModelCard(name, name, filter, filter, (), (), 0, PREPROCESSING, "none", "random", None, "none", "0" * 64)
    loaded = LoadedModel(card, model)
    settings = AttributionSettings()

    @torch.inference_mode()
    def rolled(x: Tensor) -> Any:
        one = _trace(model, x)
        return one, attention.rollout(one, 0)

    return {
        MAPS: lambda x: _trace(model, x),
        ROLLOUT: rolled,
        GRADIENTS: lambda x: _trace(model, x),
        CAM: lambda x: attribute(loaded, _pixels(x), Method.GRAD_CAM, TARGET, settings),
    }


def _pixels(x: Tensor) -> Tensor:
    """An input as it was before it was normalised: attributions begin there."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (PREPROCESSING.mean, PREPROCESSING.std))
    return (x[0] * std + mean).clamp(0, 1)  # (3, height, width)


def _trace(model: Model, x: Tensor) -> Trace:
    """Without row measures, which no other tool takes."""
    return trace(model, x, rows=False)[0]


def _times(tools: Sequence[Tool], inputs: Sequence[Tensor], size: str) -> list[Row]:
    stock = _stock(size)
    ours = _ours(_filtered(stock, size), size)

    @torch.inference_mode()
    def plain(x: Tensor) -> None:
        stock(x), stock(x)

    timed = (MAPS, ROLLOUT, CAM)
    tasks: dict[str, Task] = {"plain": plain, **{f"ours: {what}": ours[what] for what in timed}}
    tasks |= {_label(tool): tool.build(_explicit(stock, size)) for tool in tools}
    seconds = medians(tasks, inputs, ROUNDS)
    seconds[f"ours: {GRADIENTS}"] = seconds[f"ours: {MAPS}"]
    found = [
        Row(
            f"time of {what}, ours, {_title(size)}",
            round(seconds[f"ours: {what}"] / seconds["plain"], 3),
            "x two plain forwards",
            None,
            note=f"keeps {KEPT[what]}; one model, one image; {_how()}",
        )
        for what in timed
    ]
    for tool in tools:
        ratio = seconds[_label(tool)] / seconds[f"ours: {tool.what}"]
        note = f"keeps {tool.keeps}; above 1 is slower than ours; {_how()}; {tool.note}"
        goal = 0.91 if tool.what == CAM else 1.0  # the 10% that `bench.attribution` leaves ours beyond the bare call
        name = f"time of {_label(tool)}, {_title(size)}"
        row = Row(name, round(ratio, 3), "x of ours", goal, "higher", note)
        found.append(row if row.holds else replace(row, note=f"{note}{MISSED}ours keeps more: {KEPT[tool.what]}"))
    return found


def _memory(tools: Sequence[Tool], inputs: Sequence[Tensor], size: str) -> list[Row]:
    names = [f"{what}, ours" for what in (MAPS, ROLLOUT, CAM)] + [_label(tool) for tool in tools]
    found = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "inputs.pt"
            torch.save([x.clone() for x in inputs[:4]], path)
            command = [sys.executable, "-m", "bench.others", size, name, str(path)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"The memory of {name} was not measured: {done.stderr.strip()[-200:]}.", file=sys.stderr)
            continue
        peak = json.loads(done.stdout.splitlines()[-1])
        note = "rise of resident memory during a call, its result included; a fresh process each, largest of 3 calls"
        found.append(Row(f"peak memory of {name}, {_title(size)}", round(peak / 2**20, 1), "MiB", None, note=note))
    return found


def _agreement(tools: Sequence[Tool], inputs: Sequence[Tensor], size: str) -> list[Row]:
    stock = _stock(size)
    filtered = _filtered(stock, size)
    ours = _ours(filtered, size)
    found = []
    for tool in tools:
        task = tool.build(_explicit(stock, size))
        own = ours[CAM if tool.what == CAM else MAPS]
        worst = max(tool.difference(task(x), own(x)) for x in inputs[:4])
        found.append(
            Row(
                f"agreement of {_label(tool)}, {_title(size)}",
                float(f"{worst:.2g}"),
                "largest absolute difference",
                TOLERANCE,
                note=f"{len(inputs[:4])} images, float32; {tool.note}",
            )
        )
    return found


def _label(tool: Tool) -> str:
    return f"{tool.what}, {tool.name}"


def _title(size: str) -> str:
    return f"DeiT-{size.title()}"


def _how() -> str:
    return f"{torch.get_num_threads()} CPU threads, median of {ROUNDS} interleaved rounds"


# --- memory, in a process of its own ------------------------------------------------------------------------------


def _peak(task: Task, inputs: Sequence[Tensor]) -> int:
    """Largest rise of resident memory during a call, in bytes (Linux)."""
    peaks = []
    for x in inputs[:3]:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what was freed before would be used again, and not be seen
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets the high-water mark back
        before = _high_water()
        kept = task(x)
        peaks.append(_high_water() - before)
        del kept
    return max(peaks)


def _high_water() -> int:
    return int(Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) * 1024


def _measure(size: str, name: str, path: str) -> None:
    """Prints the peak of one tool, after two plain forwards, so that what libraries set up once does not count."""
    inputs = torch.load(path)
    stock = _stock(size)
    ours: Mapping[str, Task] = {f"{what}, ours": task for what, task in _ours(_filtered(stock, size), size).items()}
    by_name = {_label(tool): tool for tool in TOOLS}
    task = ours[name] if name in ours else by_name[name].build(_explicit(stock, size))
    with torch.inference_mode():
        stock(inputs[-1]), stock(inputs[-1])
    print(json.dumps(_peak(task, inputs)))


if __name__ == "__main__":
    _measure(*sys.argv[1:])
