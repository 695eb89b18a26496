"""Clean picture, perturbation and adversarial picture of both models, each attacked with its own gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.arrays import array
from explorer.disturb.attacks import Answers, Attack, Attacked, Kind
from explorer.disturb.pictures import amplification, around_grey, rgb
from explorer.figures.print.cells import Block, Cell, Columns, Grid, GridRow
from explorer.jobs.disturbances import AttackJob
from explorer.models.classes import class_index, class_name
from explorer.serving.engine import ask
from explorer.studio.content import Content, Table
from explorer.studio.run import Run, Shown
from explorer.studio.spec import Spec
from explorer.types import ROLES, ModelCard

_HEADER = (
    "image", "model", "attacked_class",
    "clean_answer", "clean_probability", "adversarial_answer", "adversarial_probability",
    "attacked_probability_before", "attacked_probability_after", "loss_before_nats", "loss_after_nats",
    "largest_change_255ths",
)  # fmt: skip


def settings(spec: Spec) -> Attack:
    """The attack, its sizes in pixels of [0, 1]."""
    step = None if spec.step_size is None else spec.step_size / 255
    return Attack(Kind(spec.attack.upper()), spec.eps / 255, spec.steps, step, spec.random_start, spec.seed)


def gather(run: Run, layers: tuple[int, ...]) -> Content:
    """A block for each image, a row for each model."""
    blocks, rows, classes = [], [], []
    found: dict[str, list[np.ndarray]] = {f"{role}, {what}": [] for role in ROLES for what in ("clean", "adversarial")}
    for name, shown in zip(run.files, run.images(), strict=True):
        attacked = [_attacked(run, card, shown) for card in run.pair.cards]
        drawn = tuple(
            GridRow(_cells(one, card), model, colour)
            for one, (model, colour, card) in zip(attacked, run.models, strict=True)
        )
        blocks.append(Block(None, drawn, shown.title if run.spec.row_labels or run.spec.labels else ""))
        for role, card, one in zip(ROLES, run.pair.cards, attacked, strict=True):
            rows.append((name, role, *_numbers(one, card)))
            found[f"{role}, clean"].append(array(one.clean[0]))
            found[f"{role}, adversarial"].append(array(one.adversarial[0]))
        first, second = (class_name(card, int(a.labels[0])) for card, a in zip(run.pair.cards, attacked, strict=True))
        classes.append((first, second))
    factor = amplification(run.spec.eps / 255)
    names = ("Clean", f"Perturbation × {factor:g}", "Adversarial")
    columns = Columns(names if run.spec.column_labels else ("",) * len(names))
    return Content(
        Grid(tuple(blocks), (columns,), run.spec.look, letters=run.spec.letters),
        tuple(run.digests),
        arrays={"images": np.array(run.files), **{name: np.stack(of_images) for name, of_images in found.items()}},
        table=Table(_HEADER, tuple(rows)),
        classes=tuple(classes),
    )


def _attacked(run: Run, card: ModelCard, shown: Shown) -> Attacked:
    labels = (class_index(card, run.spec.target),) if run.spec.target else None
    return ask(run.pair.engine, AttackJob(settings(run.spec), labels), [shown.image], card.key)


def _cells(one: Attacked, card: ModelCard) -> tuple[Cell, ...]:
    change = 255 * array(one.perturbation[0]).transpose(1, 2, 0)
    changed = around_grey(change, amplification(one.attack.eps))
    return (
        Cell(rgb(one.clean[0]), note=_said(one.before, card), is_sharp=True),
        Cell(changed, note=f"at most {np.abs(change).max():.3g}/255", is_sharp=True),
        Cell(rgb(one.adversarial[0]), note=_said(one.after, card), is_sharp=True),
    )


def _said(answers: Answers, card: ModelCard) -> str:
    name, probability = _first(answers, card)
    return f"{name} ({100 * probability:.0f}%)"


def _first(answers: Answers, card: ModelCard) -> tuple[str, float]:
    """The first choice and its probability."""
    best = int(answers.predictions[0])
    return class_name(card, best), float(answers.logits[0].softmax(dim=0)[best])


def _numbers(one: Attacked, card: ModelCard) -> tuple[Any, ...]:
    """What `_HEADER` names after image and model."""
    return (
        class_name(card, int(one.labels[0])),
        *_first(one.before, card),
        *_first(one.after, card),
        *(float(said.probability(one.labels)[0]) for said in (one.before, one.after)),
        *(float(said.loss[0]) for said in (one.before, one.after)),
        255 * float(one.perturbation.abs().max()),
    )
