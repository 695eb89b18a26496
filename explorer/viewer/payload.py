"""The attention of two models as bytes for the viewer in the browser, and the viewer as a page of its own.

The viewer (`js/`) gets `A` once and computes every other matrix's rows by itself. An entry of `A` is sent as one byte
`c` with `a = s (c / 255)^2`, `s` the largest entry of its row: the error is at most `s (c + 1/4) / 255^2`, so small
entries, of which products with `A` have many, are finer. From that the viewer bounds the error of every value it prints
(`js/readings.js`) and prints the digits that hold. Intervals would double with every layer of a rollout, so its largest
error by row is measured here and sent. Entropy and distance are sent as numbers.

Above `MAX_BYTES` (DeiT-Base at 384 px would need 96 MB) heads are not sent one by one but as their means of `A`, of
`A^2`, of entropies and of distances; the effective matrix and rollout of the mean head follow from the first two.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from explorer import provenance
from explorer.figures.settings import ColourMap
from explorer.figures.style import PALETTES, lookup_table
from explorer.files import ASSETS
from explorer.measures import attention as attention_measures
from explorer.measures import residual, similarity
from explorer.models import sources
from explorer.models.classes import class_name
from explorer.paper import operators
from explorer.pictures import preprocess
from explorer.traces import Trace
from explorer.types import ExplorerError, ImageInput, ModelCard
from explorer.viewer.sections import Sections, framed
from explorer.viewer.source import script

MAX_BYTES = 12_000_000
"""Beyond this, heads are sent as means."""
MOST_BYTES = 48_000_000
"""Beyond this, nothing is sent: 1,000 patches and 12 layers, both models."""
ROUNDING = 1e-5
"""What sums in float32 may add to the error of a rollout, as a share of its largest entry."""
Quantised = tuple[UInt8[np.ndarray, "layer head query key"], Float[np.ndarray, "layer head query"]]
"""Codes and row scales of matrices."""
_TOP = 5


class TooLargeError(ExplorerError):
    """More attention than a browser is sent."""


@dataclass(frozen=True, eq=False)
class ViewerSide:
    """One of the two models, as the viewer shows it."""

    trace: Trace
    card: ModelCard


def pack(
    image: ImageInput,
    sides: Sequence[ViewerSide],
    link: Mapping[str, str] | None = None,
    state: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes the viewer reads: `TWX1`, length of the header, header in JSON, sections.

    `link` is what an address needs besides the viewer's own state to show the same again; `None` for uploads.
    `state` is what the viewer shows at first, in the words of its address.
    """
    store = Sections()
    pictures = {
        preprocessing: jpeg(preprocess.sharp_view(image.rgb, preprocessing))
        for preprocessing in {side.card.preprocessing for side in sides}
    }
    means = sum(side.trace.attention.numel() for side in sides) > MAX_BYTES
    header: dict[str, Any] = {
        "models": [_model(side, pictures[side.card.preprocessing], store, means) for side in sides],
        "layer": None if (layer := sources.opening_layer(side.card.source for side in sides)) is None else layer - 1,
        "link": None if link is None else dict(link),
        "state": None if state is None else dict(state),
        "palettes": {theme: list(palette.models) for theme, palette in PALETTES.items()},
        "colours": {name: base64.b64encode(lookup_table(name).tobytes()).decode() for name in (*ColourMap, "cold")},
        "provenance": {
            "image": image.digest,
            "models": [provenance.of_model(side.card) for side in sides],
        },
    }
    body = b"".join(store.parts)
    if len(body) > MOST_BYTES:
        raise TooLargeError(
            f"The viewer shows up to {MOST_BYTES / 1e6:.0f} MB of attention; {len(body) / 1e6:.0f} MB came, "
            "as models with many patches have."
        )
    return framed(b"TWX1", header, body)


def page(payload: bytes, title: str) -> str:
    """A self-contained HTML page with the viewer and what it shows: opens from disk, asks nothing of any host."""
    length = int.from_bytes(payload[4:8], "little")
    metadata = json.loads(payload[8 : 8 + length])["provenance"]
    models = "; ".join(
        f"{model['source']}, SHA-256 {model['sha256'][:16]}, a = {model['filter']}"
        + "".join(f" ({change.removesuffix('.')})" for change in model.get("changes", ()))
        for model in metadata["models"]
    )
    parts = {
        "title": html.escape(title),
        "style": _asset("viewer.css"),
        "provenance": html.escape(
            f"Image SHA-256 {metadata['image'][:16]}. Models: {models}. A heatmap is no attribution."
        ),
        "script": script().replace("</script", "<\\/script"),
        "data": base64.b64encode(payload).decode(),
    }
    return re.sub("@(title|style|provenance|script|data)@", lambda match: parts[match[1]], _asset("viewer.html"))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _model(side: ViewerSide, picture: bytes, store: Sections, means: bool) -> dict[str, Any]:
    trace, card = side.trace, side.card
    attention = trace.attention.mean(dim=1, keepdim=True) if means else trace.attention
    codes, scales = quantise(attention)
    squares = _mean_squares(trace.attention) if means else None
    sent_squares = None if squares is None else quantise(squares)
    height, width = card.preprocessing.input_size
    patch = (height // trace.grid[0], width // trace.grid[1])
    distances = attention_measures.distance(trace, patch)
    ratio = residual.magnitudes(trace).ratio.mean(dim=1)
    described: dict[str, Any] = {
        "name": card.title,
        "label": card.operator,
        "counterfactual": card.is_counterfactual,
        "filter": list(trace.filter),
        "layers": trace.depth,
        "heads": attention.shape[1],
        "tokens": attention.shape[-1],
        "prefix": trace.prefix,
        "prefixNames": list(trace.prefix_names),
        "grid": list(trace.grid),
        "input": [height, width],
        "patch": [height / trace.grid[0], width / trace.grid[1]],
        "rest": 0 if trace.has_class_token else -1,
        "restName": "CLS" if trace.has_class_token else "the mean patch",
        "crop": repr(replace(card.preprocessing, input_size=(0, 0), mean=(0, 0, 0), std=(1, 1, 1))),
        "attention": store.add(codes.tobytes()),
        "scales": store.add(scales.tobytes()),
        "each": store.add(_floats(similarity.of_each(trace)).tobytes()),
        "similarity": _floats(similarity.token_similarity(trace)).tolist(),
        "residual": _floats(ratio).tolist(),
        "entropies": _compact(_by_head(_entropies(trace), means), store),
        "distances": _compact(_by_head(distances, means), store),
        "rolloutErrors": store.add(_floats(rollout_errors(trace, (codes, scales), squares, sent_squares)).tobytes()),
        "picture": store.add(picture),
        "top": _top(trace, card),
    }
    if sent_squares is not None:
        square_codes, square_scales = sent_squares
        described["squares"] = store.add(square_codes.tobytes())
        described["square_scales"] = store.add(square_scales.tobytes())
    return described


def _entropies(trace: Trace) -> Float[Tensor, "layer head query"]:
    """Entropy of every row of `A`, then of the mean over the patches' rows."""
    mean = trace.attention[:, :, trace.prefix :].mean(dim=2, keepdim=True)
    return torch.cat([attention_measures.entropies(trace), attention_measures.entropy(mean)], dim=2)


def _by_head(values: Float[Tensor, "layer head token"], means: bool) -> Float[Tensor, "layer sent token"]:
    """Of every head, or of their mean where no other is sent."""
    return values.mean(dim=1, keepdim=True) if means else values


def _compact(values: Float[Tensor, "layer sent token"], store: Sections) -> dict[str, float]:
    """Two bytes a number, `v = s (c / 65535)^2`, `s` the largest: within 1 in 2,000 down to a thousandth of that."""
    largest = float(values.max())
    codes = (values.cpu().double().clamp(min=0) / (largest or 1.0)).sqrt().mul(65535).round()
    return {**store.add(codes.numpy().astype("<u2").tobytes()), "scale": largest}


def _mean_squares(attention: Float[Tensor, "layer head query key"]) -> Float[Tensor, "layer 1 query key"]:
    """`A^2`, the mean over heads."""
    return torch.stack([(layer @ layer).mean(dim=0, keepdim=True) for layer in attention])


def quantise(attention: Float[Tensor, "layer head query key"]) -> Quantised:
    """Codes `c` and row scales `s` with `a = s (c / 255)^2` up to `s (c + 1/4) / 255^2`.

    Layer by layer, so that what is computed on the way stays in the processor's cache.
    """
    scales = attention.amax(dim=-1)
    codes = torch.empty_like(attention, dtype=torch.uint8)
    for layer, rows in enumerate(attention):
        shares = rows / scales[layer].clamp(min=torch.finfo(scales.dtype).tiny).unsqueeze(-1)
        codes[layer] = shares.sqrt_().mul_(255.0).round_()
    return codes.cpu().numpy(), _floats(scales)


def dequantised(
    codes: UInt8[np.ndarray, "head query key"], scales: Float[np.ndarray, "head query"]
) -> Float[Tensor, "head query key"]:
    """What the viewer makes of a layer's codes."""
    return torch.from_numpy(scales).unsqueeze(-1) * (torch.from_numpy(codes) / 255).square()


def rollout_errors(
    trace: Trace, sent: Quantised, squares: Tensor | None = None, sent_squares: Quantised | None = None
) -> Float[Tensor, "layer row"]:
    """Largest error over the keys of every row of the rollout that the viewer makes of what it is sent.

    The last row is the mean over the patches'. `squares` are means over heads of `A^2`, given where they are sent.
    """
    exact = back = torch.eye(trace.attention.shape[-1])
    errors = []
    for layer, a in enumerate(trace.filter):
        attention, received = trace.attention[layer].float().cpu(), dequantised(*(part[layer] for part in sent))
        if squares is None or sent_squares is None:
            steps = [operators.effective(A, a).mean(dim=0) for A in (attention, received)]
        else:
            square, of_codes = squares[layer].float().cpu(), dequantised(*(part[layer] for part in sent_squares))
            steps = [
                (a * A + (1 - a) * AA).mean(dim=0)
                for A, AA in ((attention.mean(dim=0, keepdim=True), square), (received, of_codes))
            ]
        exact, back = ((rows + step @ rows) / 2 for step, rows in zip(steps, (exact, back), strict=True))
        difference = back - exact
        rows = torch.cat([difference, difference[trace.prefix :].mean(dim=0, keepdim=True)])
        errors.append(rows.abs().amax(dim=-1) + ROUNDING * exact.abs().amax())
    return torch.stack(errors)


def _floats(tensor: Tensor) -> Float[np.ndarray, "..."]:
    return np.ascontiguousarray(tensor.float().cpu().numpy(), dtype="<f4")


def jpeg(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """The picture's bytes, quick to send."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _top(trace: Trace, card: ModelCard) -> list[tuple[str, float]]:
    """The likeliest classes by name or number; none of a model without a classifier."""
    if card.outputs != len(trace.logits):
        return []
    best = torch.softmax(trace.logits.float(), dim=0).topk(min(_TOP, card.outputs))
    return [
        (class_name(card, label), share)
        for share, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
