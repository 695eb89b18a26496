"""Clean, perturbation, adversarial; a row for each model, which is attacked with its own gradients."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from explorer.arrays import array
from explorer.disturb.attacks import Answers, Attacked
from explorer.disturb.pictures import amplification, around_grey, rgb
from explorer.disturb.settings import Attack, Kind
from explorer.figures.print.cells import Block, Cell, Columns, Grid, GridRow
from explorer.jobs.disturbances import AttackJob
from explorer.models.classes import class_index, class_name
from explorer.serving.engine import ask
from explorer.studio import grids, phrases
from explorer.studio.content import Content, Table
from explorer.studio.latex import escape
from explorer.studio.run import FigureRun
from explorer.studio.spec import Spec
from explorer.studio.template import LABELS, Template
from explorer.types import ROLES, ImageInput, ModelCard

_HEADER = (
    "image", "model", "attacked_class",
    "clean_answer", "clean_probability", "adversarial_answer", "adversarial_probability",
    "attacked_probability_before", "attacked_probability_after", "loss_before_nats", "loss_after_nats",
    "largest_change_255ths",
)  # fmt: skip
_STATES = ("clean", "adversarial")


def settings(spec: Spec) -> Attack:
    """The attack, its sizes in pixels of [0, 1]."""
    step = None if spec.step_size is None else spec.step_size / 255
    return Attack(spec.attack, spec.eps / 255, spec.steps, step, spec.random_start, spec.seed)


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A block for each image, a row for each model."""
    spec = run.spec
    blocks, numbers, classes = [], [], []
    arrays: dict[str, list[np.ndarray]] = {f"{role}, {state}": [] for role in ROLES for state in _STATES}
    for name, title, image in zip(run.files, run.titles, run.images(), strict=True):
        both = [_attacked(run, card, image) for card in run.pair.cards]
        rows = tuple(
            GridRow(_cells(attacked, card), model, colour)
            for attacked, (model, colour, card) in zip(both, run.models, strict=True)
        )
        blocks.append(Block(None, rows, grids.block_label(spec, title)))
        for role, card, attacked in zip(ROLES, run.pair.cards, both, strict=True):
            numbers.append((name, role, *_numbers(attacked, card)))
            for state, pixels in zip(_STATES, (attacked.clean, attacked.adversarial), strict=True):
                arrays[f"{role}, {state}"].append(array(pixels[0]))
        first, second = (class_name(card, int(a.labels[0])) for card, a in zip(run.pair.cards, both, strict=True))
        classes.append((first, second))
    columns = Columns(("Clean", f"Perturbation × {amplification(spec.eps / 255):g}", "Adversarial"))
    return Content(
        Grid(tuple(blocks), (grids.headed(spec, columns),), spec.look, letters=spec.letters),
        tuple(run.digests),
        arrays={"images": np.array(run.files), **{name: np.stack(of_images) for name, of_images in arrays.items()}},
        table=Table(_HEADER, tuple(numbers)),
        classes=tuple(classes),
    )


def _attacked(run: FigureRun, card: ModelCard, image: ImageInput) -> Attacked:
    labels = (class_index(card, run.spec.target),) if run.spec.target else None
    return ask(run.pair.engine, AttackJob(settings(run.spec), labels), [image], card.key)


def _cells(attacked: Attacked, card: ModelCard) -> tuple[Cell, ...]:
    change = 255 * array(attacked.perturbation[0]).transpose(1, 2, 0)
    changed = around_grey(change, amplification(attacked.attack.eps))
    return (
        Cell(rgb(attacked.clean[0]), note=_said(attacked.before, card), is_sharp=True),
        Cell(changed, note=f"at most {np.abs(change).max():.3g}/255", is_sharp=True),
        Cell(rgb(attacked.adversarial[0]), note=_said(attacked.after, card), is_sharp=True),
    )


def _said(answers: Answers, card: ModelCard) -> str:
    name, probability = _first(answers, card)
    return f"{name} ({100 * probability:.0f}%)"


def _first(answers: Answers, card: ModelCard) -> tuple[str, float]:
    """The first choice and its probability."""
    best = int(answers.predictions[0])
    return class_name(card, best), float(answers.logits[0].softmax(dim=0)[best])


def _numbers(attacked: Attacked, card: ModelCard) -> tuple[Any, ...]:
    """What `_HEADER` names after image and model."""
    return (
        class_name(card, int(attacked.labels[0])),
        *_first(attacked.before, card),
        *_first(attacked.after, card),
        *(float(said.probability(attacked.labels)[0]) for said in (attacked.before, attacked.after)),
        *(float(said.loss[0]) for said in (attacked.before, attacked.after)),
        255 * float(attacked.perturbation.abs().max()),
    )


def caption(spec: Spec, content: Content) -> list[str]:
    """Which attack, away from which class."""
    return [
        f"{escape(settings(spec).sentence().removesuffix('.'))} with each model's own gradients, away from "
        f"{phrases.subject_class(spec, content)}; {phrases.images(content)}.",
        f"From left to right: clean, the perturbation times {amplification(spec.eps / 255):g} around grey with its "
        "largest change, adversarial; beneath, each model's first choice and its softmax probability.",
        phrases.PIXELS,
    ]


def idle(values: Mapping[str, Any]) -> Set[str]:
    """The settings of an attack in steps, and the seed of one that starts at the image itself."""
    if values["attack"] is Kind.FGSM:
        return {"step_size", "steps", "random_start", "seed"}
    return set() if values["random_start"] else {"seed"}


TEMPLATE = Template(
    name="attack",
    title="Adversarial images",
    help="clean, perturbation, adversarial; a row for each model",
    settings=("target", "attack", "eps", "step_size", "steps", "random_start", "seed", *LABELS),
    off_page=("labels",),
    gather=gather,
    caption=caption,
    idle=idle,
    is_grid=True,
)
