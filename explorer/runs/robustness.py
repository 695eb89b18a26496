"""Top-1 and top-5 accuracy against the budget of an attack, over labelled images, as in the paper's Fig. 5 and 6.

Every model is attacked with its own gradients and, for transfer, shown what was made with the others'. What is found is
appended to a JSON-lines file image by image, see `sweep_file`. A run that was killed goes on where the file ends; the
numbers are those of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from explorer.disturb.attacks import are_alike
from explorer.disturb.ranks import adversaries, ranks_of
from explorer.disturb.settings import Attack
from explorer.models.checkpoints import LoadedModel
from explorer.models.pixels import resized
from explorer.runs.robustness_file import Ranks, Result, header, opened, trials
from explorer.training.data import Dataset
from explorer.types import ExplorerError

PAPER_EPS = tuple(budget / 255 for budget in range(7))
"""No attack and six budgets; the paper's figures show six without naming them in the text."""

Labelled = tuple[str, Sequence[UInt8[np.ndarray, "_ _ 3"] | Float[Tensor, "3 _ _"]], Sequence[int]]
"""An image's id, then for each model what it sees, a `View` of its size, and the index of the class."""


@dataclass(frozen=True)
class SweepStep:
    """How far a sweep is."""

    done: int
    total: int | None
    """Unknown for images that come one by one."""
    result: Result


def sweep(
    models: Sequence[LoadedModel],
    data: Dataset | Iterable[Labelled],
    attack: Attack,
    path: Path,
    *,
    eps: Sequence[float] = PAPER_EPS,
    batch_size: int = 1,
    data_name: str = "",
    transfer: bool = False,
) -> Iterator[SweepStep]:
    """Attacks every image that `path` does not have yet and says after each batch how far it is; closing it cancels.

    The attack's own `eps` does not count. `data_name` is what the file remembers of images that come one by one; of a
    `Dataset` it remembers a digest. Images are taken in batches of fixed positions, and noise comes from the seed
    and the id, so that a run that goes on gives what one without a break gives; in batches of one, the order of the
    images does not matter either. With `transfer`, each model is also shown what was made with the others' gradients;
    white-box numbers stay the same. Raises `ExplorerError` for a file with other settings, one that another run is
    writing, an id that comes twice, and images or labels that do not fit.
    """
    if not models or not eps or batch_size < 1:
        raise ExplorerError("At least one model, one eps and a batch of one image were expected.")
    alike = are_alike([model.card for model in models])
    if (transfer or isinstance(data, Dataset)) and not alike:
        why = "For transfer" if transfer else "For images of one size"
        raise ExplorerError(f"{why}, models with the same classes and input size were expected; others came.")
    digest = _digest(data) if isinstance(data, Dataset) else data_name
    settings = header([model.card for model in models], attack, eps, batch_size, digest, transfer)
    budgets = [replace(attack, eps=bound) for bound in eps]
    total = len(data) if isinstance(data, Sized) else None
    images = _labelled(data, models) if isinstance(data, Dataset) else iter(data)
    with opened(path, settings) as (file, ranks):
        yield SweepStep(len(ranks), total, Result(settings, dict(ranks)))
        seen: set[str] = set()
        while batch := list(itertools.islice(images, batch_size)):
            _check(batch, seen, models)
            if all(name in ranks for name, _, _ in batch):
                continue
            for (name, _, labels), by_trial in zip(batch, _ranks(models, batch, budgets, transfer), strict=True):
                if name not in ranks:
                    ranks[name] = by_trial
                    file.append([{"id": name, "label": labels[0], "ranks": by_trial}])
            file.sync()
            yield SweepStep(len(ranks), total, Result(settings, dict(ranks)))


def _digest(data: Dataset) -> str:
    """SHA-256 of pixels and labels."""
    sha = hashlib.sha256(str(tuple(data.images.shape)).encode())
    for tensor in (data.images, data.labels):
        sha.update(tensor.cpu().contiguous().numpy().data)
    return sha.hexdigest()


def _labelled(data: Dataset, models: Sequence[LoadedModel]) -> Iterator[Labelled]:
    for position in range(len(data)):
        view = resized(data.images[position, None], models[0].card.preprocessing.input_size)[0]
        yield str(position), [view] * len(models), [int(data.labels[position])] * len(models)


def _check(batch: Sequence[Labelled], seen: set[str], models: Sequence[LoadedModel]) -> None:
    for name, _, labels in batch:
        if name in seen:
            raise ExplorerError(f"An id of its own for every image was expected; {name[:80]!r} came twice.")
        for model, label in zip(models, labels, strict=True):
            if not 0 <= label < (classes := model.module.num_classes):
                raise ExplorerError(f"Labels from 0 to {classes - 1} were expected; {name[:80]!r} has {label}.")
        seen.add(name)


def _ranks(
    models: Sequence[LoadedModel], batch: Sequence[Labelled], budgets: Sequence[Attack], transfer: bool
) -> list[Ranks]:
    """For each image the ranks of its label, by trial and budget."""
    names, of_views, of_labels = zip(*batch, strict=True)
    views, labels = (list(zip(*of_images, strict=True)) for of_images in (of_views, of_labels))  # by model
    by_trial: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    pairs = trials(len(models), transfer)
    for source, model in enumerate(models):
        adversarial = adversaries(model, views[source], labels[source], budgets, names)
        by_trial |= {
            pair: ranks_of(models[pair[1]], adversarial, labels[pair[1]]) for pair in pairs if pair[0] == source
        }
    return list(zip(*(by_trial[pair] for pair in pairs), strict=True))
