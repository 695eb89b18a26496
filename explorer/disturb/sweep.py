"""Top-1 and top-5 accuracy against the budget of an attack, over labelled images, as in the paper's Fig. 5 and 6.

Every model is attacked with its own gradients. What is found is appended to a JSON-lines file image by image: a header
that fixes the settings, then for each image the rank of its label under every model and budget. A run that was killed
goes on where the file ends; the numbers are those of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from explorer.disturb.attacks import Attack, Kind, perturb
from explorer.models.checkpoints import LoadedModel
from explorer.models.pixels import FromPixels, View, as_batch, from_pixels
from explorer.training.data import Dataset
from explorer.training.evaluate import Accuracy, resized
from explorer.types import ExplorerError, ModelCard, Size

FORMAT = 1
PAPER_EPS = tuple(budget / 255 for budget in range(7))
"""No attack and six budgets; the paper's figures show six without naming them in the text."""

Labelled = tuple[str, View, int]
"""An image's id, the view the models see, and the index of its class."""


@dataclass(frozen=True)
class Curve:
    """Accuracy of one model at every budget, with the intervals of `Accuracy.interval` (Wilson, 95%)."""

    name: str
    eps: tuple[float, ...]
    accuracy: tuple[Accuracy, ...]


@dataclass(frozen=True)
class Result:
    """What a file holds."""

    settings: dict[str, Any]
    """Of the attack, the models (digest and filter), the budgets, the batch size."""
    ranks: dict[str, tuple[tuple[int, ...], ...]]
    """By image: the rank of its label, 1 the best, by model and budget."""

    @property
    def curves(self) -> tuple[Curve, ...]:
        """A curve for each model; none before the first image."""
        eps, count = tuple(self.settings["eps"]), len(self.ranks)
        if not count:
            return ()
        table = torch.tensor(list(self.ranks.values()))  # (image, model, eps)
        first, among = ((table <= k).double().mean(dim=0).tolist() for k in (1, 5))
        return tuple(
            Curve(
                model["name"],
                eps,
                tuple(Accuracy(top1, top5, count) for top1, top5 in zip(first[i], among[i], strict=True)),
            )
            for i, model in enumerate(self.settings["models"])
        )

    def difference(self, place: int) -> tuple[float, float, float]:
        """Top-1 of the second model minus the first's at one budget, and its 95% interval over the shared images.

        Paired: mean and normal interval of each image's difference, which is narrower than two intervals beside each
        other when the models fail on the same images.
        """
        hits = torch.tensor([[of_model[place] == 1 for of_model in ranks] for ranks in self.ranks.values()]).double()
        differences = hits[:, 1] - hits[:, 0]
        mean = float(differences.mean())
        half = (
            1.959964 * float(differences.std(correction=1)) / len(differences) ** 0.5 if len(differences) > 1 else 1.0
        )
        return mean, mean - half, mean + half


@dataclass(frozen=True)
class Step:
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
) -> Iterator[Step]:
    """Attacks every image that `path` does not have yet and says after each batch how far it is; closing it cancels.

    The attack's own `eps` does not count. `data_name` is what the file remembers of images that come one by one; of a
    `Dataset` it remembers a digest. Images are taken in batches of fixed positions, and noise comes from the seed
    and the id, so that a run that goes on gives what one without a break gives; in batches of one, the order of the
    images does not matter either. Raises `ExplorerError` for a file with other settings, one that another run is
    writing, an id that comes twice, and images or labels that do not fit.
    """
    if not models or not eps or batch_size < 1:
        raise ExplorerError("At least one model, one eps and a batch of one image were expected.")
    settings = _settings([model.card for model in models], attack, eps, batch_size)
    settings["data"] = _digest(data) if isinstance(data, Dataset) else data_name
    budgets = [replace(attack, eps=one) for one in eps]
    total = len(data) if isinstance(data, Sized) else None
    images = _labelled(data, models[0].card.preprocessing.input_size) if isinstance(data, Dataset) else iter(data)
    with _opened(path, settings) as (file, ranks):
        behind = [from_pixels(model) for model in models]
        yield Step(len(ranks), total, Result(settings, dict(ranks)))
        seen: set[str] = set()
        while batch := list(itertools.islice(images, batch_size)):
            _check(batch, seen, models)
            if all(name in ranks for name, _, _ in batch):
                continue
            for (name, _, label), found in zip(batch, _ranks(models, behind, batch, budgets), strict=True):
                if name not in ranks:
                    ranks[name] = found
                    _append(file, {"id": name, "label": label, "ranks": found})
            os.fsync(file.fileno())
            yield Step(len(ranks), total, Result(settings, dict(ranks)))


def read(path: Path) -> Result:
    """What a file holds so far; a last line that was cut short is left out. Raises `ExplorerError` for other files."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExplorerError(f"{path.name} was expected to hold a sweep; it cannot be read.") from error
    return parse(path.name, data)


def parse(name: str, data: bytes) -> Result:
    """What the bytes of a file of this name hold. Raises `ExplorerError` for those of other files."""
    settings, ranks, _ = _parse(Path(name), data)
    return Result(settings, ranks)


def _settings(cards: Sequence[ModelCard], attack: Attack, eps: Sequence[float], batch_size: int) -> dict[str, Any]:
    """What fixes the numbers, in the words of the header."""
    told = {key: value for key, value in asdict(attack).items() if key != "eps"}
    if attack.kind is Kind.FGSM:
        told = {"kind": told["kind"], "seed": told["seed"]}
    models = [{"name": card.title, "digest": card.digest, "filter": list(card.filter)} for card in cards]
    return {"format": FORMAT, "attack": told, "eps": list(eps), "models": models, "batch_size": batch_size}


def _digest(data: Dataset) -> str:
    """SHA-256 of pixels and labels."""
    sha = hashlib.sha256(str(tuple(data.images.shape)).encode())
    for tensor in (data.images, data.labels):
        sha.update(tensor.cpu().contiguous().numpy().data)
    return sha.hexdigest()


def _labelled(data: Dataset, size: Size) -> Iterator[Labelled]:
    for position in range(len(data)):
        yield str(position), resized(data.images[position, None], size)[0], int(data.labels[position])


def _check(batch: Sequence[Labelled], seen: set[str], models: Sequence[LoadedModel]) -> None:
    classes = min(model.module.num_classes for model in models)
    for name, _, label in batch:
        if name in seen:
            raise ExplorerError(f"An id of its own for every image was expected; {name[:80]!r} came twice.")
        if not 0 <= label < classes:
            raise ExplorerError(f"Labels from 0 to {classes - 1} were expected; {name[:80]!r} has {label}.")
        seen.add(name)


@torch.no_grad()
@torch.inference_mode(False)
def _ranks(
    models: Sequence[LoadedModel], behind: Sequence[FromPixels], batch: Sequence[Labelled], budgets: Sequence[Attack]
) -> list[tuple[tuple[int, ...], ...]]:
    """For each image the ranks of its label, by model and budget."""
    found = []
    for model, taking in zip(models, behind, strict=True):
        pixels = torch.cat([as_batch(view, model) for _, view, _ in batch])
        labels = torch.tensor([label for _, _, label in batch], device=pixels.device)
        names = [name for name, _, _ in batch]
        adversarial = (perturb(taking, pixels, labels, budget, names) for budget in budgets)
        found.append(torch.stack([label_ranks(taking(x), labels) for x in adversarial], dim=1).tolist())
    return [tuple(tuple(by_eps) for by_eps in by_model) for by_model in zip(*found, strict=True)]


def label_ranks(logits: Float[Tensor, "image class"], labels: Int64[Tensor, " image"]) -> Int64[Tensor, " image"]:
    """1 for the label with the largest logit; a logit that is not a number never counts as a hit."""
    own = logits.gather(1, labels[:, None])
    others = ~(logits <= own)
    others.scatter_(1, labels[:, None], False)
    # An image whose own logit is NaN is behind every other class.
    return 1 + others.sum(dim=1)


@contextmanager
def _opened(path: Path, settings: dict[str, Any]) -> Iterator[tuple[IO[bytes], dict[str, Any]]]:
    """The file, locked and ready to be appended to, and the ranks it holds; half a last line is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        _lock(file, path)
        file.seek(0)
        data = file.read()
        header = _line(settings)
        if len(data) < len(header) and header.startswith(data):  # nothing, or a header that was cut short
            file.truncate(0)
            _append(file, settings)
            data = b""
        ranks: dict[str, Any] = {}
        if data:
            before, ranks, sound = _parse(path, data)
            if before != json.loads(json.dumps(settings)):
                raise ExplorerError(f"{path.name} holds a sweep of other settings: {_difference(before, settings)}.")
            file.truncate(sound)
        yield file, ranks


def _append(file: IO[bytes], row: dict[str, Any]) -> None:
    """One line in one write, so that a kill leaves at most half of it."""
    file.write(_line(row))
    file.flush()


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _parse(path: Path, data: bytes) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The header, the ranks by image, and the length of the part that is sound."""
    lines = data.split(b"\n")[:-1]  # what follows the last end of line was cut short
    ranks: dict[str, Any] = {}
    try:
        settings = json.loads(lines[0])
        if settings["format"] != FORMAT:
            raise ValueError("another format")
        shape = len(settings["models"]), len(settings["eps"])
        for line in lines[1:]:
            row = json.loads(line)
            found = tuple(tuple(int(rank) for rank in by_eps) for by_eps in row["ranks"])
            if len(found) != shape[0] or any(len(by_eps) != shape[1] for by_eps in found) or row["id"] in ranks:
                raise ValueError("another shape")
            ranks[row["id"]] = found
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ExplorerError(
            f"{path.name} was expected to hold a sweep: settings, then a line for each image; line {len(ranks) + 2} "
            "of it is something else."
        ) from error
    return settings, ranks, sum(len(line) + 1 for line in lines)


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    changed = [key for key in now if before.get(key) != now[key]]
    return ", ".join(key.replace("_", " ") for key in changed) or "more of them"


def _lock(file: IO[bytes], path: Path) -> None:
    """Held until the file is closed, by a kill as well; where there is no such lock, nothing is locked."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ExplorerError(f"{path.name} is being written by another run.") from error
