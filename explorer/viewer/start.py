"""The start page as bytes for the browser: five pictures of what twicing does, two maps by layer, words and numbers.

All layers are sent at once, about 150 kB, and nothing is asked of the server afterwards. Whatever is said of the two
models is computed here, from their traces.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from explorer import provenance
from explorer.figures.style import PALETTES, lookup_table
from explorer.measures import attention, contrast, similarity, steps
from explorer.measures.attention import Heads
from explorer.measures.contrast import Parting
from explorer.measures.settings import Matrix
from explorer.models import sources
from explorer.models.classes import class_name
from explorer.pictures import preprocess
from explorer.traces import Comparison, Trace
from explorer.types import ImageInput, ModelCard
from explorer.viewer.payload import jpeg
from explorer.viewer.sections import Sections, framed

LETTERS = b"TWS1"
PARTINGS = 8
"""So many places where the models part are sent."""
_TABLES = ("cividis", "cold")


def pack(
    image: ImageInput, comparison: Comparison, cards: Sequence[ModelCard], link: Mapping[str, str] | None
) -> bytes:
    """The bytes that `js/start.js` reads.

    `link` is what an address of the attention page needs to show the same image and models; `None` for uploads.
    """
    store = Sections()
    depth = comparison.depth
    baseline = comparison.baseline
    pictures = steps.of_trace(baseline, depth)
    alike = similarity.operator_alone(baseline)[:, :depth]
    sides = zip(cards, comparison, strict=True)
    parted = contrast.partings(comparison, PARTINGS)
    header: dict[str, Any] = {
        "models": [_model(image, card, trace, depth, store) for card, trace in sides],
        "layers": depth,
        "layer": min(sources.opening_layer(card.source for card in cards) or depth, depth) - 1,
        "steps": store.add(pictures.rgb.numpy().tobytes()),
        "share": _rounded(pictures.share),
        "alike": [_rounded(curve) for curve in alike],
        "said": [similarity_words(*(float(value) for value in values)) for values in alike.mT],
        "looks": looks(cards, comparison),
        "partings": [_parting(each, cards, comparison, store) for each in parted],
        "link": None if link is None else dict(link),
        "palettes": {theme: list(palette.models) for theme, palette in PALETTES.items()},
        "colours": {name: base64.b64encode(lookup_table(name).tobytes()).decode() for name in _TABLES},
        "provenance": {"image": image.digest, "models": [_of_model(card) for card in cards]},
    }
    return framed(LETTERS, header, b"".join(store.parts))


def similarity_words(values: float, smoothed: float, twiced: float) -> str:
    """What smoothing and twicing do to the mean similarity of a block's patches, in one or two sentences."""
    change = _change(values, smoothed)
    if change == 0:
        return f"Here smoothing leaves patches as alike as they were: {smoothed:.2f}. With twicing: {twiced:.2f}."
    effect = "makes patches more alike" if change > 0 else "makes patches less alike"
    outcome = f"{_outcome(change, _change(smoothed, twiced), _change(values, twiced))}: {twiced:.2f}"
    return (
        f"Smoothing {effect}: mean similarity {values:.2f} → {smoothed:.2f}. With what it lost, smoothed and added, "
        f"{outcome}."
    )


def _outcome(smoothing: int, twicing: int, both: int) -> str:
    """What twicing does to a change that is not 0, from the signs of all three."""
    if twicing == 0:
        return "twicing leaves it there"
    if twicing == smoothing:
        return "twicing goes further"
    return "twicing takes part of it back" if both == smoothing else "twicing takes all of it back"


def _change(before: float, after: float) -> int:
    """Up, down, or level to the two digits that are read."""
    difference = after - before
    return 0 if abs(difference) < similarity.LEVEL else 1 if difference > 0 else -1


def looks(cards: Sequence[ModelCard], comparison: Comparison) -> list[str]:
    """How concentrated the two maps are, by layer: what the tenth of patches with most holds of the row of `A`.

    The mean over heads of the query at rest, CLS or the mean over the patches, counted over the patches alone.
    """
    shares = [concentration(trace)[: comparison.depth].tolist() for trace in comparison]
    first, second = (card.title for card in cards)
    return [
        f"A tenth of the patches draws {baseline:.0%} of the attention in {first}, {twicing:.0%} in {second}."
        for baseline, twicing in zip(*shares, strict=True)
    ]


def concentration(trace: Trace) -> Float[Tensor, " layer"]:
    """Of what the query at rest gives to patches, the share of the tenth of them that get most; mean over heads."""
    row = attention.maps(trace, _rest(trace), Matrix.ATTENTION, Heads.MEAN)[:, trace.prefix :]
    tenth = max(1, round(row.shape[1] / 10))
    return row.topk(tenth, dim=1).values.sum(dim=1) / row.sum(dim=1)


def _rest(trace: Trace) -> int | None:
    return 0 if trace.has_class_token else None


def _model(image: ImageInput, card: ModelCard, trace: Trace, depth: int, store: Sections) -> dict[str, Any]:
    rows = attention.maps(trace, _rest(trace), Matrix.EFFECTIVE, Heads.MEAN)[:depth, trace.prefix :]
    return {
        "name": card.title,
        "grid": list(trace.grid),
        "input": list(card.preprocessing.input_size),
        "rest": "CLS" if trace.has_class_token else "the mean patch",
        "maps": store.add(_floats(rows)),
        "picture": store.add(jpeg(preprocess.sharp_view(image.rgb, card.preprocessing))),
        "signed": [attention.is_signed(Matrix.EFFECTIVE, trace, layer) for layer in range(depth)],
        "answer": _answer(trace, card),
    }


def _of_model(card: ModelCard) -> dict[str, Any]:
    """Without whether linear layers computed on packed weights: the same bytes stand for both."""
    return {key: value for key, value in provenance.of_model(card).items() if key != "packed"}


def _answer(trace: Trace, card: ModelCard) -> str:
    """The likeliest class and its probability; nothing of a model whose classes nobody names."""
    if card.outputs != len(trace.logits) or not card.classes:
        return ""
    share, label = torch.softmax(trace.logits.float(), dim=0).max(dim=0)
    return f"{class_name(card, int(label))} ({float(share):.0%})"


def _parting(each: Parting, cards: Sequence[ModelCard], comparison: Comparison, store: Sections) -> dict[str, Any]:
    prefix = comparison.baseline.prefix
    row, column = divmod(each.patch, comparison.baseline.grid[1])
    rows = [trace.attention[each.layer, each.head, prefix + each.patch, prefix:] for trace in comparison]
    return {
        "layer": each.layer,
        "head": each.head,
        "row": row,
        "column": column,
        "maps": [store.add(_floats(values)) for values in rows],
        "said": f"Layer {each.layer + 1}, head {each.head + 1}, the patch in row {row + 1}, column {column + 1}: "
        f"{cards[1].title} looks {each.distance:.1f} patches away from where {cards[0].title} looks.",
    }


def _floats(values: Tensor) -> bytes:
    return np.ascontiguousarray(values.float().cpu().numpy(), dtype="<f4").tobytes()


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
