"""Top-1 against the budget of an attack (paper Fig. 5 and 6), from result files instead of images."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from explorer.figures.print.trials import TrialPanel, Trials
from explorer.figures.records import Trial
from explorer.studio.content import Content, Table
from explorer.studio.latex import escape
from explorer.studio.run import FigureRun
from explorer.studio.spec import Spec
from explorer.studio.sweeps import Sweep, read
from explorer.studio.template import Takes, Template
from explorer.types import ROLES, ExplorerError

_DIGEST = re.compile("[0-9a-f]{64}")


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
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


def _lines(run: FigureRun, sweep: Sweep) -> tuple[Trial, ...]:
    """White-box with bands, then transfer, dotted: four bands would look like one."""
    lines = []
    for (name, colour, card), shares in zip(run.models, sweep.shares, strict=True):
        top1, low, high, _ = np.array(shares).T
        dash = "dash" if card.is_counterfactual else "solid"
        lines.append(Trial(name, np.array(sweep.eps), top1, colour, low, high, dash))
    for (name, colour, _), shares in zip(run.models, sweep.transfer if run.spec.transfer else (), strict=False):
        lines.append(Trial(f"{name}, transfer", np.array(sweep.eps), np.array(shares)[:, 0], colour, dash="dot"))
    return tuple(lines)


def _table(sweeps: Sequence[Sweep], with_transfer: bool) -> Table:
    """A row for each file and budget."""
    measures = ("top1", "low", "high", "top5")
    header = ["attack", "space", "eps_255ths", "images"]
    header += [f"{role}_{measure}" for role in ROLES for measure in measures]
    header += ["difference", "difference_low", "difference_high"]
    if with_transfer:
        header += [f"{role}_transfer_{measure}" for role in ROLES for measure in measures]
    rows = []
    for sweep in sweeps:
        transfer = sweep.transfer if with_transfer else ()
        for place, eps in enumerate(sweep.eps):
            shares = [share for of_model in sweep.shares for share in of_model[place]]
            others = [share for of_model in transfer for share in of_model[place]]
            attack = sweep.attack.kind.label, str(sweep.attack.space)
            rows.append((*attack, eps, sweep.count, *shares, *sweep.differences[place], *others))
    return Table(tuple(header), tuple(rows))


def caption(spec: Spec, content: Content) -> list[str]:
    """Each file's attack, data and paired differences."""
    sentences = [
        "Top-1 accuracy against the budget of an attack, each model attacked with its own gradients at its input; "
        r"bands: 95\% Wilson intervals."
    ]
    if spec.transfer:
        sentences.append(
            "Dotted, in the colour of the model that is shown the images: transfer, where they were made to fool the "
            "other model."
        )
    for sweep in content.sweeps:
        differences = ", ".join(
            f"{_points(mean)} ({_points(low)} to {_points(high)}) " + (f"at {eps:g}/255" if eps else "clean")
            for eps, (mean, low, high) in zip(sweep.eps, sweep.differences, strict=True)
        )
        sentences += [
            f"{_rule(sweep)}: {sweep.count:,} images, {_data(sweep)}.",
            rf"Twicing minus baseline in points, paired over the images, with its 95\% interval: {differences}.",
        ]
    return sentences


def _rule(sweep: Sweep) -> str:
    """The attack without its budget."""
    return re.sub(r"([\d.]+) eps", r"$\1\\epsilon$", sweep.attack.rule())


def _data(sweep: Sweep) -> str:
    if _DIGEST.fullmatch(sweep.data):
        return f"pixels and labels with SHA-256 {sweep.data[:12]}"
    return f"data {escape(sweep.data)}" if sweep.data.strip() else "of data without a name"


def _points(share: float) -> str:
    """A difference of shares in points with its sign."""
    return f"${100 * share:+.1f}$"


TEMPLATE = Template(
    name="robustness",
    title="Accuracy under attack (Fig. 5, 6)",
    settings=("transfer",),
    off_page=("labels",),
    gather=gather,
    caption=caption,
    takes=Takes.RESULTS,
)
