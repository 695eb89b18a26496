"""A table of what corruptions do to two models: answers, and drift by layer, for any number of images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from explorer import files, provenance
from explorer.disturb.corruptions import FINAL_QUALITY, Corruption, Scale, constants_for
from explorer.disturb.effects import Effect, margin
from explorer.jobs.disturbances import CorruptionJob
from explorer.models.classes import class_name
from explorer.pictures import images
from explorer.pictures.photographs import EXAMPLE, photograph
from explorer.runs.partial import (
    ROWS,
    Partial,
    Row,
    Stamp,
    check_out,
    check_size,
    is_same,
    keeping,
    settings_file,
    stamp_of,
    write_table,
)
from explorer.runs.settings import Plan
from explorer.serving.engine import ask
from explorer.serving.pair import ModelPair
from explorer.types import ROLES, ExplorerError, ImageInput, ModelCard

MADE_BY = "python -m explorer corruptions"
TEXTS = ("model", "corruption", "constants", "prediction", "clean_prediction")


@dataclass(frozen=True)
class CorruptionStep:
    """How far a run has come, in images; `problem` says why the last one could not be read."""

    done: int
    total: int
    failed: int
    problem: str = ""


def measure(sources: Sequence[str], pair: ModelPair, out: Path, plan: Plan) -> Generator[CorruptionStep, None, None]:
    """Writes a row for each image, corruption, strength (0 first, clean) and model to `out`, CSV or Parquet.

    Columns, beside `image`, `sha256` and `error`: `model` (baseline or twicing), `corruption`, `constants` (the set
    whose severities they are, and the side it was made for), `severity`, `seed`, `final_jpeg` (its quality, or 0),
    `prediction` and its `probability`, the `clean_prediction` and what its probability is now (`clean_probability`),
    `margin` (see `effects.margin`), `attention_1..L` (Jensen-Shannon drift, nats), `tokens_0..L` (cosine to the clean
    picture) and `similarity_change_0..L` (disturbed minus clean). Beside `out` a JSON holds the settings.

    Runs as the result is iterated. Started again, it goes on after the last image that was whole and is the same, see
    `partial.is_same`.
    Raises `ExplorerError` for another suffix, a model without a classifier, or a file that cannot be written.
    """
    check_out(out, MADE_BY)
    check_size(out, provenance.of_pair(pair.cards))
    settings = _settings(pair, plan)
    identity = json.dumps([settings, *(card.key for card in pair.cards)])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return _run(list(dict.fromkeys(sources)), pair, out, plan, out.with_name(f".{out.name}.{digest}.partial"))


def columns(pair: ModelPair) -> list[str]:
    """Names of the columns behind `error`; of two depths the larger one counts."""
    depth = max(len(card.filter) for card in pair.cards)
    return [
        *("model", "corruption", "constants", "severity", "seed", "final_jpeg", "prediction", "probability"),
        *("clean_prediction", "clean_probability", "margin"),
        *(f"attention_{layer}" for layer in range(1, depth + 1)),
        *(f"{name}_{state}" for name in ("tokens", "similarity_change") for state in range(depth + 1)),
    ]


def rows_of(image: ImageInput, name: str, pair: ModelPair, plan: Plan) -> list[Row]:
    """The rows of one image."""
    depth = max(len(card.filter) for card in pair.cards)
    rows = []
    for kind in plan.kinds:
        job = CorruptionJob(kind, plan.strengths, plan.seed, plan.queries, plan.final_jpeg)
        for side, card in zip(ROLES, pair.cards, strict=True):
            effects = ask(pair.engine, job, [image], card.key)
            clean = effects[0]
            head = (side, kind.label, _constants(kind, card))
            rows += [
                Row(name, 0, 0, image.digest, "", (*head, *_numbers(effect, clean, card, plan, depth)))
                for effect in effects
            ]
    return rows


def _constants(kind: Corruption, card: ModelCard) -> str:
    constants = constants_for(min(card.preprocessing.input_size))
    return "ours" if kind is Corruption.OCCLUSION else f"{constants.name}, {constants.side} px"


def _numbers(effect: Effect, clean: Effect, card: ModelCard, plan: Plan, depth: int) -> tuple[str, ...]:
    now, before = int(effect.logits.argmax()), int(clean.logits.argmax())
    probabilities = effect.logits.softmax(dim=0)
    return (
        *(_text(effect.strength), str(plan.seed), str(_quality(plan))),
        *(class_name(card, now), _text(probabilities[now])),
        *(class_name(card, before), _text(probabilities[before]), _text(margin(effect.logits, before))),
        *_padded(effect.attention, depth),
        *_padded(effect.tokens, depth + 1),
        *_padded(effect.similarity - clean.similarity, depth + 1),
    )


def _quality(plan: Plan) -> int:
    """Of the JPEG at the end, 0 for none."""
    return FINAL_QUALITY if plan.final_jpeg else 0


def _text(number: float | Tensor) -> str:
    return str(np.float32(float(number)))


def _padded(values: Tensor, count: int) -> Iterator[str]:
    yield from map(str, values.numpy())
    yield from [""] * (count - len(values))


def _run(
    sources: list[str], pair: ModelPair, out: Path, plan: Plan, unfinished: Path
) -> Generator[CorruptionStep, None, None]:
    each = len(plan.kinds) * (1 + len(plan.strengths)) * len(ROLES)
    with Partial(unfinished, out, ROWS) as rows:
        done, failed = _kept(rows, sources, each, len(columns(pair)))
        yield CorruptionStep(done, len(sources), failed)
        for source in sources[done:]:
            name, size, mtime_ns = _stamp(source)  # before its bytes: a file that changes meanwhile is measured anew
            read = _read(source)
            if read.image is None:
                of_image = [Row(name, 0, 0, read.sha256, read.problem)]
            else:
                of_image = rows_of(read.image, name, pair, plan)
            with keeping(out, done):
                rows.append(replace(row, size=size, mtime_ns=mtime_ns) for row in of_image)
            done, failed = done + 1, failed + bool(read.problem)
            yield CorruptionStep(done, len(sources), failed, read.problem)
        with keeping(out, done):
            said = _settings(pair, plan) | {"images": done, "errors": failed}
            files.write_atomically(settings_file(out), (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode())
            write_table((row for row, _ in rows.rows()), columns(pair), out, TEXTS)
        rows.remove()


def _kept(rows: Partial[Row], sources: Sequence[str], each: int, width: int) -> tuple[int, int]:
    """Keeps the leading images whose rows are whole and which are the same; how many, and how many errors."""
    done = failed = end = 0
    measured = rows.rows()
    for source in sources:
        first = next(measured, None)
        if first is None:
            break
        is_bad = bool(first[0].error)
        of_image = [first, *islice(measured, 0 if is_bad else each - 1)]
        whole = len(of_image) == (1 if is_bad else each)
        alike = all(replace(row, numbers=()) == replace(first[0], numbers=()) for row, _ in of_image)
        if not (whole and alike and all(len(row.numbers) == (0 if is_bad else width) for row, _ in of_image)):
            break
        if not is_same(first[0], _stamp(source), partial(_bytes, source)):
            break
        done, failed, end = done + 1, failed + is_bad, of_image[-1][1]
    rows.cut(end)
    return done, failed


class _Read(NamedTuple):
    """A file's content and the image it holds, or why it holds none."""

    sha256: str
    """Empty where there is no content."""
    image: ImageInput | None = None
    problem: str = ""


def _stamp(source: str) -> Stamp:
    """Of a file; an example is none that a person keeps, and has none."""
    return (source, 0, 0) if source.startswith(EXAMPLE) else stamp_of(source, Path(source))


def _bytes(source: str) -> bytes:
    return photograph(source).read()


def _read(source: str) -> _Read:
    try:
        photo = photograph(source)
        data = photo.read()
    except ExplorerError as error:
        return _Read("", problem=str(error))
    try:
        image = images.decode(data)
    except ExplorerError as error:
        return _Read(hashlib.sha256(data).hexdigest(), problem=f"{photo.name}: {error}")
    return _Read(image.digest, image)


def _settings(pair: ModelPair, plan: Plan) -> dict[str, Any]:
    """What fixes the numbers, beyond the images."""
    return {
        "made_by": MADE_BY,
        "corruptions": {
            f"{constants.name}, {constants.side} px": {
                kind.label: _scale(constants.scales[kind]) for kind in plan.kinds
            }
            for constants in (constants_for(min(card.preprocessing.input_size)) for card in pair.cards)
        },
        "strengths": list(plan.strengths),
        "seed": plan.seed,
        "final_jpeg": _quality(plan),
        "attention_rows": str(plan.queries),
        "models": provenance.of_pair(pair.cards),
        "device": pair.engine.device.type,
        "versions": provenance.versions(),
    }


def _scale(scale: Scale) -> list[Any]:
    softness = [["softness", *scale.softness, "px"]] if any(scale.softness) else []
    return [scale.meaning, *scale.values, scale.unit.strip(), *softness]
