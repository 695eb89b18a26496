"""The sweep: counted right, and after a kill the same as without one."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from explorer.disturb import ranks as module
from explorer.disturb.attacks import attack
from explorer.disturb.attacks import transfer as transferred
from explorer.disturb.ranks import label_ranks
from explorer.disturb.settings import FGSM_HAN, FGSM_PIXELS, PGD_HAN, PGD_PIXELS, Attack, Kind, Label, Space
from explorer.measures.accuracy import Accuracy
from explorer.models import LoadedModel
from explorer.runs.robustness import Labelled, SweepStep, sweep
from explorer.runs.robustness_file import Result, dumps, read
from explorer.training.data import Dataset
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, small_dataset

EPS = (0.0, 4 / 255)
PGD = Attack(Kind.PGD, steps=1, random_start=True)


def labelled_images(data: Dataset) -> list[Labelled]:
    return [(f"image {i}", [data.images[i].float() / 255] * 2, [int(data.labels[i])] * 2) for i in range(len(data))]


def run(pair: list[LoadedModel], data: object, path: Path, **options: object) -> Result:
    return list(sweep(pair, data, PGD, path, **{"eps": EPS, **options}))[-1].result


@pytest.fixture
def whole(pair: list[LoadedModel], labelled: Dataset, tmp_path: Path) -> bytes:
    """The file of an uninterrupted run."""
    run(pair, labelled, tmp_path / "whole.jsonl")
    return (tmp_path / "whole.jsonl").read_bytes()


def test_ranks_and_curves_written_out(pair: list[LoadedModel], labelled: Dataset, tmp_path: Path) -> None:
    result = run(pair, labelled, tmp_path / "sweep.jsonl")
    for i, (model, curve) in enumerate(zip(pair, result.curves, strict=True)):
        assert curve.name == model.card.title
        for j, eps in enumerate(EPS):
            ranks = []
            for image in range(len(labelled)):
                pixels, label = labelled.images[image] / 255.0, int(labelled.labels[image])
                found = attack(model, [pixels], [label], replace(PGD, eps=eps), ids=[str(image)])
                ranks.append(1 + int((found.after.logits[0] > found.after.logits[0, label]).sum()))
            assert [result.ranks[str(n)][i][j] for n in range(len(labelled))] == ranks
            top1 = sum(rank == 1 for rank in ranks) / len(ranks)
            assert curve.accuracy[j] == Accuracy(top1, 1.0, len(labelled))
            low, high = curve.accuracy[j].interval(top1)
            assert low <= top1 <= high


def test_the_fifth_rank_counts_for_top5_and_the_sixth_does_not() -> None:
    """The models of the other tests have five classes, whose every rank is among the first five."""
    ranks = {"a": ((1, 5), (6, 6)), "b": ((2, 6), (5, 1)), "c": ((5, 7), (1, 8)), "d": ((6, 9), (2, 5))}
    settings = {"models": [{"name": "A"}, {"name": "B"}], "eps": [0.0, EPS[1]]}
    accuracy = [curve.accuracy for curve in Result(settings, ranks).curves]
    assert accuracy[0] == (Accuracy(0.25, 0.75, 4), Accuracy(0.0, 0.25, 4))
    assert accuracy[1] == (Accuracy(0.25, 0.75, 4), Accuracy(0.25, 0.5, 4))


def test_steps_say_how_far_it_is(pair: list[LoadedModel], labelled: Dataset, tmp_path: Path) -> None:
    steps = list(sweep(pair, labelled, PGD, tmp_path / "a.jsonl", eps=EPS, batch_size=2))
    assert [(step.done, step.total) for step in steps] == [(0, 5), (2, 5), (4, 5), (5, 5)]
    assert steps[0].result.curves == ()
    assert steps[1].result.curves[0].accuracy[0].count == 2
    one_by_one = sweep(pair, iter(labelled_images(labelled)), PGD, tmp_path / "b.jsonl", eps=EPS)
    assert next(one_by_one).total is None
    one_by_one.close()


@pytest.mark.parametrize("batch_size", [1, 2])
def test_goes_on_after_every_way_to_be_cut_short(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, batch_size: int
) -> None:
    path = tmp_path / "sweep.jsonl"
    expected = run(pair, labelled, path, batch_size=batch_size)
    whole = path.read_bytes()
    ends = list(itertools.accumulate(len(line) for line in whole.splitlines(keepends=True)))
    for cut in (0, ends[0] - 1, ends[0] + 5, ends[1] - 1, ends[3], ends[-1] - 1):
        path.write_bytes(whole[:cut])
        assert run(pair, labelled, path, batch_size=batch_size) == expected
        assert path.read_bytes() == whole


def test_goes_on_after_an_error_in_the_middle(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, calls = tmp_path / "sweep.jsonl", module.perturb, itertools.count()

    def fails(*options: object) -> torch.Tensor:
        if next(calls) == 10:
            raise MemoryError
        return real(*options)

    monkeypatch.setattr(module, "perturb", fails)
    with pytest.raises(MemoryError):
        run(pair, labelled, path)
    assert len(read(path).ranks) == 2
    run(pair, labelled, path)
    assert path.read_bytes() == whole


def test_closing_cancels_and_the_next_run_goes_on(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, whole: bytes
) -> None:
    path = tmp_path / "sweep.jsonl"
    for target in (1, 4, 5):
        steps: Iterator[SweepStep] = sweep(pair, labelled, PGD, path, eps=EPS)
        assert next(step for step in steps if step.done == target).done == target
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        steps.close()
        assert len(read(path).ranks) == target
    assert path.read_bytes() == whole


def test_order_and_breaks_do_not_matter(pair: list[LoadedModel], labelled: Dataset, tmp_path: Path) -> None:
    images = labelled_images(labelled)
    forward = run(pair, images, tmp_path / "forward.jsonl")
    run(pair, images[2:], tmp_path / "backward.jsonl")
    backward = run(pair, list(reversed(images)), tmp_path / "backward.jsonl")
    assert forward.ranks == backward.ranks
    assert forward.curves == backward.curves


def test_fgsm_and_images_as_bytes(pair: list[LoadedModel], labelled: Dataset, tmp_path: Path) -> None:
    views = [(f"{i}", [labelled.images[i].permute(1, 2, 0).numpy()] * 2, [0, 0]) for i in range(2)]
    steps = list(sweep(pair, views, Attack(), tmp_path / "new" / "f.jsonl", eps=EPS, data_name="two"))
    assert steps[-1].done == 2
    settings = read(tmp_path / "new" / "f.jsonl").settings
    assert settings["attack"] == {"kind": "FGSM", "seed": 0}
    assert settings["data"] == "two"
    assert [model["filter"] for model in settings["models"]] == [[1.0, 1.0], [1.0, 2.0]]


@pytest.mark.parametrize("changed", ["eps", "seed", "models", "batch size", "data"])
def test_a_file_of_other_settings_is_refused_and_kept(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, whole: bytes, changed: str
) -> None:
    path = tmp_path / "whole.jsonl"
    attack = replace(PGD, seed=9) if changed == "seed" else PGD
    data = small_dataset(each=1, classes=5, seed=3) if changed == "data" else labelled
    models = pair[::-1] if changed == "models" else pair
    options = {"eps": (0.0,) if changed == "eps" else EPS, "batch_size": 2 if changed == "batch size" else 1}
    with pytest.raises(ExplorerError, match="other settings: " + changed.replace("seed", "attack")) as caught:
        list(sweep(models, data, attack, path, **options))
    assert_one_sentence(str(caught.value))
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"notes", b"{}\n", b"notes\nmore\n", b'{"format": 1}\n', b"\xff\n"])
def test_files_of_another_kind_are_refused_and_kept(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    for call in (lambda: run(pair, labelled, path), lambda: read(path)):
        with pytest.raises(ExplorerError, match=r"notes\.txt") as caught:
            call()
        assert_one_sentence(str(caught.value).replace("notes.txt", "file"))
    assert path.read_bytes() == content


def test_a_damaged_or_doubled_line_is_refused(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, whole: bytes
) -> None:
    path, lines = tmp_path / "damaged.jsonl", whole.splitlines(keepends=True)
    row = json.loads(lines[1])
    short = json.dumps({**row, "ranks": row["ranks"][:1]}).encode() + b"\n"
    for damaged in (lines[1][:9] + b"\n", lines[1], short):
        path.write_bytes(b"".join([*lines[:3], damaged, *lines[3:]]))
        with pytest.raises(ExplorerError, match="line 4"):
            run(pair, labelled, path)


def test_two_runs_cannot_write_one_file(pair: list[LoadedModel], labelled: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "sweep.jsonl"
    first = sweep(pair, labelled, PGD, path, eps=EPS)
    next(first)
    with pytest.raises(ExplorerError, match="another run"):
        next(sweep(pair, labelled, PGD, path, eps=EPS))
    first.close()
    assert next(sweep(pair, labelled, PGD, path, eps=EPS)).done == 0


def test_images_that_do_not_fit_are_refused(pair: list[LoadedModel], labelled: Dataset, tmp_path: Path) -> None:
    images = labelled_images(labelled)
    view = images[0][1][0]
    wrong = ([images[0], images[0]], [("a", [view] * 2, [0, 5])], [("a", [view, view[:, :8]], [0, 0])])
    for number, data in enumerate(wrong):
        with pytest.raises(ExplorerError) as caught:
            run(pair, data, tmp_path / f"{number}.jsonl")
        assert_one_sentence(str(caught.value))
    for options in ({"eps": ()}, {"batch_size": 0}):
        with pytest.raises(ExplorerError):
            run(pair, images, tmp_path / "none.jsonl", **options)
    with pytest.raises(ExplorerError):
        read(tmp_path / "missing.jsonl")


def test_a_logit_that_is_no_number_is_no_hit() -> None:
    nan = float("nan")
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [nan, 2.0, 3.0], [5.0, nan, 1.0]])
    assert label_ranks(logits, torch.tensor([0, 1, 0, 0])).tolist() == [1, 2, 3, 2]


# --- what a budget is in, and which class is left ------------------------------------------------------------------


def test_a_sweep_on_the_normalised_input_away_from_predictions(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path
) -> None:
    """Led away from each model's own prediction; right or wrong is by the image's class all the same."""
    settings = replace(PGD_HAN, steps=3)
    steps = list(sweep(pair, labelled, settings, tmp_path / "han.jsonl", eps=EPS, batch_size=5, transfer=True))
    result = steps[-1].result
    images, names = [image / 255.0 for image in labelled.images], [str(i) for i in range(len(labelled))]
    labels = labelled.labels.tolist()
    for trial, (source, target) in enumerate(result.trials):
        found = attack(pair[source], images, labels, settings, ids=names)
        assert torch.equal(found.labels, found.before.predictions)
        assert found.labels.tolist() != labels
        logits = found.after.logits if source == target else transferred(pair[target], found)[1].logits
        ranks = label_ranks(logits, labelled.labels)
        assert [result.ranks[name][trial][1] for name in names] == ranks.tolist()
    header = read(tmp_path / "han.jsonl").settings
    assert (header["attack"]["space"], header["attack"]["label"]) == ("normalised", "predicted")
    assert header["attack"]["step_share"] == 0.15
    assert [tuple(model["std"]) for model in header["models"]] == [m.card.preprocessing.std for m in pair]


@pytest.mark.parametrize("settings", [FGSM_PIXELS, PGD_PIXELS, FGSM_HAN, PGD_HAN, PGD], ids=str)
def test_the_file_says_which_attack_it_was(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, settings: Attack
) -> None:
    path, settings = tmp_path / "sweep.jsonl", replace(settings, steps=1 if settings.kind is Kind.FGSM else 2)
    run = next(sweep(pair, labelled, settings, path, eps=EPS))
    assert read(path).attack == replace(settings, eps=0.0)
    assert run.result.attack.rule() == settings.rule()
    for other in (replace(settings, space=Space.NORMALISED), replace(settings, label=Label.PREDICTED)):
        if other != settings:
            with pytest.raises(ExplorerError, match="other settings: attack"):
                next(sweep(pair, labelled, other, path, eps=EPS))


def test_files_of_earlier_versions_are_in_pixels_and_by_label() -> None:
    """Which had no word for either, nor for a step that is a share of the budget."""
    folder = Path(__file__).parents[2] / "docs" / "pairs" / "deit-tiny-patch8-64-20c"
    assert read(folder / "pgd.jsonl").attack == Attack(Kind.PGD, eps=0.0, step_size=0.15 / 255)
    assert read(folder / "fgsm.jsonl").attack == Attack(Kind.FGSM, eps=0.0, steps=1)


@pytest.mark.parametrize("written", [None, [], {}, {"kind": "PGD"}, {"kind": "PGD", "seed": 0, "space": "colours"}])
def test_an_attack_that_no_sweep_writes_is_none(written: object) -> None:
    with pytest.raises(ValueError, match=r"attack|colours"):
        _ = Result({"attack": written}, {}).attack


# --- transfer -----------------------------------------------------------------------------------------------------


def test_transfer_is_the_other_models_answer_to_the_same_pixels(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path
) -> None:
    result = run(pair, labelled, tmp_path / "sweep.jsonl", transfer=True, batch_size=2)
    assert [(curve.source, curve.target) for curve in result.curves] == [(0, 0), (1, 1), (0, 1), (1, 0)]
    assert [curve.is_transfer for curve in result.curves] == [False, False, True, True]
    assert pair[0].card.title in result.curves[2].name
    for trial, (source, target) in enumerate(((0, 1), (1, 0)), start=2):
        for image in range(len(labelled)):
            pixels, label = labelled.images[image] / 255.0, int(labelled.labels[image])
            found = attack(pair[source], [pixels], [label], replace(PGD, eps=EPS[1]), ids=[str(image)])
            logits = transferred(pair[target], found)[1].logits[0]
            assert result.ranks[str(image)][trial][1] == 1 + int((logits > logits[label]).sum())


def test_white_box_numbers_are_the_same_with_and_without_transfer(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path
) -> None:
    without = run(pair, labelled, tmp_path / "without.jsonl")
    result = run(pair, labelled, tmp_path / "with.jsonl", transfer=True)
    assert {name: ranks[:2] for name, ranks in result.ranks.items()} == without.ranks
    assert result.white_box == result.curves[:2] == without.curves
    assert result.difference(1) == without.difference(1)
    for curve in result.curves[2:]:  # no budget: every model on the clean images
        assert curve.accuracy[0] == result.curves[curve.target].accuracy[0]


def test_the_same_model_twice_transfers_as_it_is_attacked(
    loaded: LoadedModel, labelled: Dataset, tmp_path: Path
) -> None:
    for ranks in run([loaded, loaded], labelled, tmp_path / "sweep.jsonl", transfer=True).ranks.values():
        assert ranks[0] == ranks[1] == ranks[2] == ranks[3]


def test_transfer_goes_on_after_every_way_to_be_cut_short(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.jsonl"
    expected = run(pair, labelled, path, transfer=True)
    whole = path.read_bytes()
    assert dumps(expected, {str(i): int(label) for i, label in enumerate(labelled.labels)}) == whole
    ends = list(itertools.accumulate(len(line) for line in whole.splitlines(keepends=True)))
    for cut in (0, ends[0] - 1, ends[0] + 5, ends[3], ends[-1] - 1):
        path.write_bytes(whole[:cut])
        assert run(pair, labelled, path, transfer=True) == expected
        assert path.read_bytes() == whole


@pytest.mark.parametrize("before", [True, False])
def test_a_file_with_transfer_and_one_without_are_not_mixed(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, before: bool
) -> None:
    path = tmp_path / "sweep.jsonl"
    run(pair, labelled, path, transfer=before)
    written = path.read_bytes()
    with pytest.raises(ExplorerError, match="other settings: transfer") as caught:
        run(pair, labelled, path, transfer=not before)
    assert_one_sentence(str(caught.value))
    assert path.read_bytes() == written


def test_transfer_between_models_of_other_classes_is_refused(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path
) -> None:
    other = replace(pair[1], card=replace(pair[1].card, wnids=("m0",)))
    with pytest.raises(ExplorerError, match="same classes and input size") as caught:
        run([pair[0], other], labelled, tmp_path / "sweep.jsonl", transfer=True)
    assert_one_sentence(str(caught.value))
    assert not (tmp_path / "sweep.jsonl").exists()


def test_each_model_has_views_and_labels_of_its_own(pair: list[LoadedModel], labelled: Dataset, tmp_path: Path) -> None:
    """As on the page: what is made from one model's view is shown to the other, under its own label."""
    images = [one[1][0] for one in labelled_images(labelled)]
    crossed = [(str(i), [images[i], images[i - 1]], [i, (i + 1) % 5]) for i in range(5)]
    result = run(pair, crossed, tmp_path / "sweep.jsonl", transfer=True)
    for name, views, labels in crossed:
        for trial, (source, target) in enumerate(result.trials):
            budget = replace(PGD, eps=EPS[1])
            found = attack(pair[source], [views[source]], [labels[source]], budget, ids=[name])
            logits = found.after.logits if source == target else transferred(pair[target], found)[1].logits
            rank = 1 + int((logits[0] > logits[0, labels[target]]).sum())
            assert result.ranks[name][trial][1] == rank
    other = replace(pair[1], card=replace(pair[1].card, wnids=("m0",)))
    with pytest.raises(ExplorerError, match="same classes and input size"):
        run([pair[0], other], labelled, tmp_path / "one-size.jsonl")


def test_files_from_before_transfer_are_read() -> None:
    for path in sorted((Path(__file__).parents[2] / "checkpoints").glob("*.jsonl")):
        curves = read(path).curves
        assert [(curve.source, curve.target) for curve in curves] == [(0, 0), (1, 1)]


def test_a_file_of_an_earlier_version_goes_on(
    pair: list[LoadedModel], labelled: Dataset, tmp_path: Path, whole: bytes
) -> None:
    """Which called the models' SHA-256 a digest."""
    path = tmp_path / "old.jsonl"
    lines = whole.splitlines(keepends=True)
    settings = json.loads(lines[0])
    settings["models"] = [{"name": m["name"], "digest": m["sha256"], "filter": m["filter"]} for m in settings["models"]]
    path.write_bytes(json.dumps(settings).encode() + b"\n" + b"".join(lines[1:3]))
    steps = list(sweep(pair, labelled, PGD, path, eps=EPS))
    assert steps[0].done == 2
    assert steps[-1].result == read(tmp_path / "whole.jsonl")
    assert path.read_bytes().splitlines()[1:] == whole.splitlines()[1:]
