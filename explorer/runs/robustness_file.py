"""The file of a sweep: a header that fixes the settings, then for each image the ranks of its label, a line each.

`{"format", "attack", "eps", "models", "batch_size", "data"}` and, where models were also shown each other's images,
`"transfer": true`. The attack's `step_share`, `space` and `label` are written where they are not the defaults of
`Attack`, which is what files of earlier versions mean; with `space` comes each model's `std`, so that budgets convert.
A row is `{"id", "label", "ranks"}`; `ranks` has a list over budgets for each of `trials`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from explorer import files, provenance
from explorer.disturb.settings import Attack, Kind, Label, Space
from explorer.measures.accuracy import Accuracy, paired_difference
from explorer.runs.partial import Lines, Partial
from explorer.types import ExplorerError, ModelCard

FORMAT = 1

_MODEL = ("name", "sha256", "filter", "input_size", "packed")
"""What a header holds of a model; its file may have another name when the run goes on."""
_LINES: Lines[dict[str, Any]] = Lines(json.dumps, json.loads)

Ranks = tuple[tuple[int, ...], ...]
"""The rank of a label, 1 the best, by trial and budget."""


def trials(models: int, transfer: bool) -> list[tuple[int, int]]:
    """Who made the images and who is shown them, as places in the list of models: white-box first, then transfer."""
    pairs = [(source, target) for source in range(models) for target in range(models) if source != target]
    return [(model, model) for model in range(models)] + (pairs if transfer else [])


@dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy of one model at every budget, with the intervals of `Accuracy.interval` (Wilson, 95%)."""

    name: str
    """The model's; of transfer also the one that the images were made to fool."""
    eps: tuple[float, ...]
    accuracy: tuple[Accuracy, ...]
    source: int = 0
    """Place of the model whose gradients made the images."""
    target: int = 0
    """Place of the model that was shown them."""

    @property
    def is_transfer(self) -> bool:
        return self.source != self.target


@dataclass(frozen=True)
class Result:
    """What a file holds."""

    settings: dict[str, Any]
    """Of the attack, the models (SHA-256 and filter), the budgets, the batch size."""
    ranks: dict[str, Ranks]
    """By image."""

    @property
    def attack(self) -> Attack:
        """The settings of the attack but for its budgets. Raises `ValueError` for what no sweep writes."""
        written: Any = self.settings.get("attack")
        try:
            return Attack(
                Kind(str(written["kind"])),
                eps=0.0,
                steps=int(written.get("steps", 1)),
                step_size=_length(written.get("step_size")),
                random_start=bool(written.get("random_start")),
                seed=int(written["seed"]),
                step_share=_length(written.get("step_share")),
                space=Space(str(written.get("space", Space.PIXELS))),
                label=Label(str(written.get("label", Label.GIVEN))),
            )
        except (ExplorerError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError("attack") from error

    @property
    def trials(self) -> list[tuple[int, int]]:
        """Source and target of each list of ranks."""
        return trials(len(self.settings["models"]), bool(self.settings.get("transfer")))

    @property
    def curves(self) -> tuple[AccuracyCurve, ...]:
        """White-box, a curve for each model; then transfer, where it was measured; none before the first image."""
        eps, count = tuple(self.settings["eps"]), len(self.ranks)
        if not count:
            return ()
        table = torch.tensor(list(self.ranks.values()))  # (image, trial, eps)
        first, among = ((table <= k).double().mean(dim=0).tolist() for k in (1, 5))
        return tuple(
            AccuracyCurve(
                self._name(source, target),
                eps,
                tuple(Accuracy(top1, top5, count) for top1, top5 in zip(first[i], among[i], strict=True)),
                source,
                target,
            )
            for i, (source, target) in enumerate(self.trials)
        )

    @property
    def white_box(self) -> tuple[AccuracyCurve, ...]:
        """Every model against its own gradients."""
        return tuple(curve for curve in self.curves if not curve.is_transfer)

    def difference(self, place: int) -> tuple[float, float, float]:
        """Top-1 of the second model minus the first's at one budget, white-box: `accuracy.paired_difference`."""
        hits = torch.tensor([[of_model[place] == 1 for of_model in ranks] for ranks in self.ranks.values()])
        return paired_difference(hits[:, 0], hits[:, 1])

    def _name(self, source: int, target: int) -> str:
        models = self.settings["models"]
        name = str(models[target]["name"])
        return name if source == target else f"{name}, shown images made to fool {models[source]['name']}"


def read(path: Path) -> Result:
    """What a file holds so far; a last line that was cut short is left out. Raises `ExplorerError` for other files."""
    try:
        data = files.read(path)
    except OSError as error:
        raise ExplorerError(f"{path.name} was expected to hold a sweep; it cannot be read.") from error
    return parse(path.name, data)


def parse(name: str, data: bytes) -> Result:
    """What the bytes of a file of this name hold. Raises `ExplorerError` for those of other files."""
    settings, ranks, _ = _parse(name, data)
    return Result(settings, ranks)


def header(
    cards: Sequence[ModelCard], attack: Attack, eps: Sequence[float], batch_size: int, data: str, transfer: bool
) -> dict[str, Any]:
    """What fixes the numbers, in the words of the file; `data` names the images."""
    of_attack = {key: value for key, value in asdict(attack).items() if key != "eps"} | {"kind": attack.kind.label}
    if attack.kind is Kind.FGSM:
        of_attack = {key: of_attack[key] for key in ("kind", "seed", "space", "label")}
    later = {"step_share": None, "space": Space.PIXELS, "label": Label.GIVEN}
    of_attack = {key: value for key, value in of_attack.items() if key not in later or value != later[key]}
    models = [{key: value for key, value in provenance.of_model(card).items() if key in _MODEL} for card in cards]
    if attack.space is Space.NORMALISED:
        models = [model | {"std": list(card.preprocessing.std)} for model, card in zip(models, cards, strict=True)]
    settings = {"format": FORMAT, "attack": of_attack, "eps": list(eps), "models": models, "batch_size": batch_size}
    return settings | ({"transfer": True} if transfer else {}) | {"data": data}


def dumps(result: Result, labels: Mapping[str, int]) -> bytes:
    """The file that holds the result; the class of each image by its id."""
    rows = ({"id": name, "label": labels[name], "ranks": ranks} for name, ranks in result.ranks.items())
    return _line(result.settings) + b"".join(map(_line, rows))


@contextmanager
def opened(path: Path, settings: dict[str, Any]) -> Iterator[tuple[Partial[dict[str, Any]], dict[str, Any]]]:
    """The file, locked and ready to be appended to, and the ranks it holds; half a last line is cut off.

    Rows have no stamps: the settings' `data`, a digest of all images, says that they are the same.
    """
    files.make_folder(path.parent)
    files.check_file(path, files.MAX_BYTES)
    with Partial(path, path, _LINES) as file:
        data = file.read()
        first = _line(settings)
        if len(data) < len(first) and first.startswith(data):  # nothing, or a header that was cut short
            file.cut(0)
            file.append([settings])
            data = b""
        ranks: dict[str, Any] = {}
        if data:
            before, ranks, sound = _parse(path.name, data)
            if before != json.loads(json.dumps(settings)):
                raise ExplorerError(f"{path.name} holds a sweep of other settings: {_difference(before, settings)}.")
            file.cut(sound)
        yield file, ranks


def _length(value: Any) -> float | None:
    return None if value is None else float(value)


def _line(row: dict[str, Any]) -> bytes:
    return _LINES.dumps(row).encode() + b"\n"


def _parse(name: str, data: bytes) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The header, the ranks by image, and the length of the part that is sound."""
    lines = data.split(b"\n")[:-1]  # what follows the last end of line was cut short
    ranks: dict[str, Any] = {}
    try:
        settings = json.loads(lines[0])
        settings["models"] = [_model(model) for model in settings["models"]]
        if settings["format"] != FORMAT:
            raise ValueError("another format")
        shape = len(trials(len(settings["models"]), bool(settings.get("transfer")))), len(settings["eps"])
        for line in lines[1:]:
            row = json.loads(line)
            by_trial = tuple(tuple(int(rank) for rank in by_eps) for by_eps in row["ranks"])
            if len(by_trial) != shape[0] or any(len(by_eps) != shape[1] for by_eps in by_trial) or row["id"] in ranks:
                raise ValueError("another shape")
            ranks[row["id"]] = by_trial
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ExplorerError(
            f"{name} was expected to hold a sweep: settings, then a line for each image; line {len(ranks) + 2} "
            "of it is something else."
        ) from error
    return settings, ranks, sum(len(line) + 1 for line in lines)


def _model(model: dict[str, Any]) -> dict[str, Any]:
    """In the words of today."""
    return {key: model[key] for key in model if key != "digest"} | {"sha256": provenance.sha256_of(model)}


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    changed = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    return ", ".join(key.replace("_", " ") for key in changed) or "more of them"
