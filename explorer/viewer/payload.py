"""What the viewer in the browser is sent at first, and the viewer as a page of its own.

The viewer (`js/`) draws as soon as it has the rows of the query at rest in every layer, which come with the header and
all that is small. Matrices are pieces (`pieces.py`): a page carries those of the layers it is given; on a server the
viewer fetches each when it is looked at. The viewer bounds the error of every value it prints (`js/readings.js`) and
prints the digits that hold. Entropy and distance are sent as numbers.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
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
from explorer.files import asset
from explorer.measures import attention as attention_measures
from explorer.measures import residual, similarity
from explorer.measures.settings import Matrix
from explorer.models import sources
from explorer.models.classes import class_name
from explorer.paper import operators
from explorer.pictures import preprocess
from explorer.traces import Trace
from explorer.types import ExplorerError, ImageInput, ModelCard, Operators
from explorer.viewer import pieces
from explorer.viewer.sections import Sections, framed
from explorer.viewer.source import script

MOST_BYTES = 48_000_000
"""Beyond this, a page carries no more."""
_TOP = 5


class TooLargeError(ExplorerError):
    """More attention than a page carries."""


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
    *,
    layers: Collection[int] | None = None,
) -> bytes:
    """The bytes the viewer reads: `TWX1`, length of the header, header in JSON, sections.

    `link` is what an address needs besides the viewer's own state to show the same again; `None` for uploads.
    `state` is what the viewer shows at first, in the words of its address. `layers`, from 0, are those whose matrices
    are carried, all by default.

    Raises `TooLargeError` for more than `MOST_BYTES`.
    """
    store = Sections()
    pictures = {
        preprocessing: jpeg(preprocess.sharp_view(image.rgb, preprocessing))
        for preprocessing in {side.card.preprocessing for side in sides}
    }
    if (size := sum(carried_bytes(side.trace, layers) for side in sides)) > MOST_BYTES:
        raise TooLargeError(
            f"A page carries up to {MOST_BYTES / 1e6:.0f} MB of attention; these layers have {size / 1e6:.0f} MB."
        )
    header: dict[str, Any] = {
        "models": [_model(side, pictures[side.card.preprocessing], store, layers) for side in sides],
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
    return framed(b"TWX1", header, b"".join(store.parts))


def page(payload: bytes, title: str) -> str:
    """A self-contained HTML page with the viewer and what it shows: opens from disk, asks nothing of any host."""
    length = int.from_bytes(payload[4:8], "little")
    metadata = json.loads(payload[8 : 8 + length])["provenance"]
    models = "; ".join(
        f"{model['source']}, SHA-256 {model['sha256'][:16]}, operators {model['filter']}"
        + "".join(f" ({change.removesuffix('.')})" for change in model.get("changes", ()))
        for model in metadata["models"]
    )
    parts = {
        "title": html.escape(title),
        "style": asset("viewer.css"),
        "provenance": html.escape(
            f"Image SHA-256 {metadata['image'][:16]}. Models: {models}. A heatmap is no attribution."
        ),
        "script": script().replace("</script", "<\\/script"),
        "data": base64.b64encode(payload).decode(),
    }
    return re.sub("@(title|style|provenance|script|data)@", lambda match: parts[match[1]], asset("viewer.html"))


def carried_bytes(trace: Trace, layers: Collection[int] | None = None) -> int:
    """Bytes of the matrices of some layers, or of all, and of their rollouts."""
    _, heads, tokens, _ = trace.attention.shape
    count = trace.depth if layers is None else len(layers)
    return count * tokens * (heads * (tokens + 4) + 2 * tokens + 4)


def _model(side: ViewerSide, picture: bytes, store: Sections, layers: Collection[int] | None) -> dict[str, Any]:
    trace, card = side.trace, side.card
    height, width = card.preprocessing.input_size
    patch = (height // trace.grid[0], width // trace.grid[1])
    is_signed = operators.is_signed(trace.filter)  # then rows are no distributions, and have neither
    entropies, distances = (None, None) if is_signed else (_entropies(trace), attention_measures.distance(trace, patch))
    ratio = residual.magnitudes(trace).ratio.mean(dim=1)
    return {
        "name": card.title,
        "label": card.operator,
        "counterfactual": card.is_counterfactual,
        **_polynomials(trace.filter),
        "hasSigns": is_signed,
        "isSigned": [attention_measures.is_signed(Matrix.ROLLOUT, trace, layer) for layer in range(trace.depth)],
        "layers": trace.depth,
        "heads": trace.heads,
        "tokens": trace.attention.shape[-1],
        "prefix": trace.prefix,
        "prefixNames": list(trace.prefix_names),
        "grid": list(trace.grid),
        "input": [height, width],
        "patch": [height / trace.grid[0], width / trace.grid[1]],
        "rest": 0 if trace.has_class_token else -1,
        "restName": "CLS" if trace.has_class_token else "the mean patch",
        "crop": repr(replace(card.preprocessing, input_size=(0, 0), mean=(0, 0, 0), std=(1, 1, 1))),
        "rows": store.add(pieces.rows(trace, 0 if trace.has_class_token else None)),
        **_matrices(trace, store, layers),
        "each": store.add(_floats(similarity.of_each(trace)).tobytes()),
        "similarity": _floats(similarity.token_similarity(trace)).tolist(),
        "residual": _floats(ratio).tolist(),
        "entropies": _compact(entropies, store),
        "distances": _compact(distances, store),
        "picture": store.add(picture),
        "top": _top(trace, card),
    }


def _matrices(trace: Trace, store: Sections, layers: Collection[int] | None) -> dict[str, list[dict[str, int] | None]]:
    """The layers' pieces, None where one is not carried."""
    carried = range(trace.depth) if layers is None else layers
    matrices: list[dict[str, int] | None] = [None] * trace.depth
    rollouts: list[dict[str, int] | None] = [None] * trace.depth
    for number, product in enumerate(pieces.products(trace)) if carried else ():
        if number in carried:
            matrices[number] = store.add(pieces.layer(trace, number))
            rollouts[number] = store.add(pieces.rollout(product))
    return {"matrices": matrices, "rollouts": rollouts}


def _polynomials(chosen: Operators) -> dict[str, list[list[float]]]:
    """By block `m, c_0, c_1, ...` of the effective matrix `m J + c_0 I + c_1 A + c_2 A^2 + ...`, and of an `E_0`."""
    pairs = [operators.polynomials(operator, layer) for layer, operator in enumerate(chosen)]
    own, first = ([[each.mean, *each.powers] for each in side] for side in zip(*pairs, strict=True))
    return {"effective": own, **({"first": first} if operators.needs_first_values(chosen) else {})}


def _entropies(trace: Trace) -> Float[Tensor, "layer head query"]:
    """Entropy of every row of `A`, then of the mean over the patches' rows."""
    mean = trace.attention[:, :, trace.prefix :].mean(dim=2, keepdim=True)
    return torch.cat([attention_measures.entropies(trace), attention_measures.entropy(mean)], dim=2)


def _compact(values: Float[Tensor, "layer sent token"] | None, store: Sections) -> dict[str, float] | None:
    """Two bytes a number, `v = s (c / 65535)^2`, `s` the largest: within 1 in 2,000 down to a thousandth of that."""
    if values is None:
        return None
    largest = float(values.max())
    codes = (values.cpu().double().clamp(min=0) / (largest or 1.0)).sqrt().mul(65535).round()
    return {**store.add(codes.numpy().astype("<u2").tobytes()), "scale": largest}


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
