"""Top-1 against the budget of an attack, from files that `python -m explorer robustness` wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.figures.print.trials import TrialPanel, Trials
from explorer.figures.records import Trial
from explorer.pictures.photographs import Photograph, photograph
from explorer.runs import measured
from explorer.serving.pair import ModelPair
from explorer.studio.content import Content, Table
from explorer.studio.run import Run
from explorer.studio.sweeps import Sweep, read
from explorer.types import ROLES, ExplorerError


def inputs(given: Sequence[Any], pair: ModelPair) -> list[Photograph]:
    """The files; where none are given, those of this pair that lie beside the one that opens.

    Raises `ExplorerError` when there are none.
    """
    beside = measured.files()
    names = list(given) or list(measured.of_pair(measured.results(), pair.cards))
    if not names:
        raise ExplorerError(
            "At least one result file of `explorer robustness` was expected for robustness; none came, and none of "
            f"{pair.baseline.title} and {pair.twicing.title} lies beside the pair that opens."
        )
    return [_file(name, beside.get(name) if isinstance(name, str) else None) for name in names]


def _file(given: Any, beside: Path | None) -> Photograph:
    """A file under its name, one beside the pair under its label, unless another file has that name here."""
    if beside is None or (Path(given).exists() and not Path(given).samefile(beside)):
        return photograph(given)
    return replace(photograph(beside), name=given)


def gather(run: Run, layers: tuple[int, ...]) -> Content:
    """A panel for each file. Raises `ExplorerError` where transfer is asked for and a file holds none."""
    sweeps, panels, digests = [], [], []
    for number, file in enumerate(run.photographs):
        run.tell(number)
        data = file.read()
        digests.append(hashlib.sha256(data).hexdigest())
        sweeps.append(read(file.name, data, run.pair.cards))
        if run.spec.transfer and not sweeps[-1].transfer:
            raise ExplorerError(
                f"Results of `explorer robustness --transfer` were expected for transfer; {file.name} holds white-box "
                "ones only."
            )
        title = run.spec.labels[number] if run.spec.labels else sweeps[-1].title
        panels.append(TrialPanel(_lines(run, sweeps[-1]), "Top-1 accuracy", title, is_share=True))
    chart = Trials(tuple(panels), r"$\epsilon$, 255ths", is_shared=True, letters=run.spec.letters)
    return Content(chart, tuple(digests), table=_table(sweeps, run.spec.transfer), sweeps=tuple(sweeps))


def _lines(run: Run, one: Sweep) -> tuple[Trial, ...]:
    """White-box with bands, then transfer, dotted: four bands would look like one."""
    lines = []
    for (name, colour, card), shares in zip(run.models, one.shares, strict=True):
        top1, low, high, _ = np.array(shares).T
        dash = "dash" if card.is_counterfactual else "solid"
        lines.append(Trial(name, np.array(one.eps), top1, colour, low, high, dash))
    for (name, colour, _), shares in zip(run.models, one.transfer if run.spec.transfer else (), strict=False):
        lines.append(Trial(f"{name}, transfer", np.array(one.eps), np.array(shares)[:, 0], colour, dash="dot"))
    return tuple(lines)


def _table(sweeps: Sequence[Sweep], with_transfer: bool) -> Table:
    """A row for each file and budget."""
    measures = ("top1", "low", "high", "top5")
    header = ["attack", "eps_255ths", "images", *(f"{role}_{one}" for role in ROLES for one in measures)]
    header += ["difference", "difference_low", "difference_high"]
    if with_transfer:
        header += [f"{role}_transfer_{one}" for role in ROLES for one in measures]
    rows = []
    for one in sweeps:
        transfer = one.transfer if with_transfer else ()
        for place, eps in enumerate(one.eps):
            shown = [share for of_model in one.shares for share in of_model[place]]
            others = [share for of_model in transfer for share in of_model[place]]
            rows.append((str(one.attack.kind), eps, one.count, *shown, *one.differences[place], *others))
    return Table(tuple(header), tuple(rows))
