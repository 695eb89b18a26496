"""The run: the same batches for all models, the same end after a kill, and decays that leave the trunk as it was."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from explorer.models import checkpoints
from explorer.models.twicing import get_filter
from explorer.training import plan
from explorer.training import run as run_module
from explorer.training.data import Dataset
from explorer.training.learner import Learner
from explorer.training.recipe import Decay
from explorer.training.run import Process, bf16_pays, evaluate, lock, work
from explorer.training.settings import TrainingRun
from explorer.training.track import Track
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, digest, quadratics, small_dataset
from tests.training.conftest import MakeRun

Train = Callable[..., Process]


def weights(track: Track) -> str:
    learner = track.learner
    moments = [t for state in learner.optimizer.state.values() for t in state.values() if isinstance(t, Tensor)]
    return digest([*learner.model.state_dict().values(), *learner.ema.module.state_dict().values(), *moments])


def states(process: Process) -> dict[str, str]:
    return {name: weights(track) for name, track in process.tracks.items()}


def write_plan(run: TrainingRun, *decays: Decay) -> None:
    (run.folder / "plan.json").write_text(json.dumps([vars(decay) for decay in decays]))


def trained(run: TrainingRun, until: int, names: list[str] | None = None) -> Process:
    """A process that was asked to stop after so many steps of its hindmost model, decays included."""
    process = Process(run, names or list(run.operators))
    steps = 0
    original = process._step

    def counted(tracks: list[Track]) -> None:
        nonlocal steps
        original(tracks)
        steps += 1
        if steps == until:
            process.stop()

    process._step = counted  # type: ignore[method-assign]
    process.train()
    return process


def test_models_in_one_process_and_apart_end_alike(make_run: MakeRun) -> None:
    together = states(trained(make_run("together"), 5))
    run = make_run("apart")
    apart = {name: states(trained(run, 5, [name]))[name] for name in run.operators}
    assert together == apart
    assert len(set(together.values())) == 2


def test_any_number_of_models_meets_the_same_batches(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, list[str]] = {}
    original = Learner.step

    def spy(self: Learner, batch: Any, *rest: Any, **named: Any) -> Tensor:
        seen.setdefault(id(self), []).append(digest([batch.pixels, batch.target]))
        return original(self, batch, *rest, **named)

    monkeypatch.setattr(Learner, "step", spy)
    run = make_run(operators=("standard", "twicing", "twicing-2-2"), mix_probability=0.0)
    trained(run, 5)
    first, *others = seen.values()
    assert len(seen) == 3
    assert all(other == first for other in others)
    assert len(set(first)) == 5


def test_each_has_its_filter(make_run: MakeRun) -> None:
    process = Process(make_run(operators=("standard", "twicing-2-2")), ["standard", "twicing-2-2"])
    assert [get_filter(track.learner.model) for track in process.tracks.values()] == [
        quadratics(1.0, 1.0),
        quadratics(1.0, 2.0),
    ]


def test_a_seed_decides_the_run(make_run: MakeRun) -> None:
    assert states(trained(make_run("a"), 3)) == states(trained(make_run("b"), 3))
    assert states(trained(make_run("c", seed=4), 3)) != states(trained(make_run("d"), 3))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_run_that_was_stopped_ends_the_same(make_run: MakeRun, cut: int) -> None:
    expected = states(trained(make_run("whole"), 4))
    run = make_run("cut")
    trained(run, cut)
    assert states(trained(run, 4 - cut)) == expected


def test_a_run_that_was_killed_ends_the_same(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the steps of its two models, after states that were written at different steps."""
    expected = states(trained(make_run("whole"), 4))
    run = make_run("cut")
    trained(run, 1)
    trained(run, 1, ["standard"])  # now a step ahead
    steps, original = [], Learner.step

    def killed(self: Learner, *rest: Any, **named: Any) -> Tensor:
        steps.append(rest)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return original(self, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(run, 3)
    assert states(trained(run, 3)) == expected


def test_states_are_saved_by_the_clock(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "SAVED_EVERY", 0.0)
    saved: list[int] = []
    original = Track.save

    def spy(self: Track) -> None:
        saved.append(self.step)
        original(self)

    monkeypatch.setattr(Track, "save", spy)
    trained(make_run(operators=("standard",)), 3)
    assert saved == [1, 2, 3, 3]  # after every step, and at the end


def test_sizes_follow_the_epochs(make_run: MakeRun) -> None:
    process = trained(make_run(), 4)
    for track in process.tracks.values():
        track._sums, track._count = torch.zeros(2), 0
    run = make_run()
    sizes = [run.recipe.size(step, process.images) for step in range(4)]
    assert sizes == [16, 16, 32, 32]


# --- decays -------------------------------------------------------------------------------------------------------

DECAY = Decay(at=2, steps=3, size=32)


def test_the_trunk_goes_on_from_before_a_decay(make_run: MakeRun) -> None:
    expected = states(trained(make_run("whole"), 4))
    run = make_run("branched")
    write_plan(run, DECAY)
    process = trained(run, 2 + 3 + 2)
    assert [track.step for track in process.tracks.values()] == [4, 4]
    assert states(process) == expected


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_a_decay_that_was_stopped_writes_the_same_checkpoint(make_run: MakeRun, cut: int) -> None:
    whole, parted = make_run("whole"), make_run("cut")
    for run in (whole, parted):
        write_plan(run, DECAY)
    trained(whole, 6)
    trained(parted, cut)
    trained(parted, 6 - cut)
    for name in whole.operators:
        first, second = (
            checkpoints.load(run.folder / name / "decay-2" / f"tiny-{name}.safetensors") for run in (whole, parted)
        )
        assert digest(first.module.state_dict().values()) == digest(second.module.state_dict().values())
        assert first.card.top1 == second.card.top1


def test_a_decays_weights_are_those_of_a_falling_rate(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[tuple[int, float]] = []
    original = Learner.step

    def spy(self: Learner, batch: Any, step: int, rate: float, *rest: Any) -> Tensor:
        rates.append((step, rate))
        return original(self, batch, step, rate, *rest)

    monkeypatch.setattr(Learner, "step", spy)
    run = make_run(operators=("standard",))
    write_plan(run, DECAY)
    trained(run, 6)
    assert rates == [
        (0, 5e-4),
        (1, 1e-3),
        (2, 1e-3),
        (3, pytest.approx(2e-3 / 3)),
        (4, pytest.approx(1e-3 / 3)),
        (2, 1e-3),
    ]


def test_the_last_decay_ends_the_run(make_run: MakeRun) -> None:
    run = make_run()
    write_plan(run, DECAY, Decay(4, 2, 16, last=True))
    process = Process(run, list(run.operators))
    process.train()  # nobody stops it
    assert {track.step for track in process.tracks.values()} == {4}
    again = Process(run, list(run.operators))
    again.train()  # nothing is left to do
    assert states(again) == states(process)
    assert sorted(path.name for path in (run.folder / "twicing").glob("decay-*/*")) == ["tiny-twicing.safetensors"] * 2


def test_a_model_that_joins_later_meets_the_same_batches_and_decays(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.training.track.EVERY", 1)
    run = make_run()
    write_plan(run, DECAY, Decay(4, 2, 16, last=True))
    Process(run, list(run.operators)).train()
    late = make_run(operators=("twicing-2-2",))
    Process(late, ["twicing-2-2"]).train()
    logs = [plan.log(run.folder / name) for name in ("standard", "twicing", "twicing-2-2")]
    assert [len(rows) for rows in logs] == [len(logs[0])] * 3
    assert plan.check_batches(logs) == 4 + 3 + 2
    assert len(list(run.folder.glob("twicing-2-2/decay-*/*.safetensors"))) == 2


def test_a_decay_behind_the_trunk_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    trained(run, 3)
    write_plan(run, DECAY)
    with pytest.raises(ExplorerError, match="step 2 was planned, but the trunk is at step 3"):
        trained(run, 1)


def test_checkpoints_declare_everything(make_run: MakeRun) -> None:
    run = make_run()
    write_plan(run, DECAY)
    process = trained(run, 6)
    for name, title in (("standard", "Tiny"), ("twicing", "Tiny-Twicing")):
        loaded = checkpoints.load(run.folder / name / "decay-2" / f"tiny-{name}.safetensors")
        card = loaded.card
        assert (card.name, card.classes, card.wnids) == (title, ("name 0", "name 1"), ("n0", "n1"))
        assert (card.data, card.git_revision, card.license) == ("noise", "abc123", "CC0")
        assert card.recipe == "in words; 8 images at a constant rate, then 12 at 32 px while it went to 0"
        assert card.preprocessing == run.preprocessing
        assert card.filter == card.trained_filter == run.operators[name]
        rows = [one for one in process.tracks[name].rows if "validation_top1" in one]
        assert [one["decay"] for one in rows] == [2]
        assert card.top1 == rows[0]["validation_top1"]


# --- logs ---------------------------------------------------------------------------------------------------------


def test_logs_of_all_models_tell_of_the_same_batches(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.training.track.EVERY", 2)
    run = make_run()
    write_plan(run, DECAY)
    trained(run, 2, ["standard"])  # cut in other places, in processes of their own
    trained(run, 6, ["standard"])
    trained(run, 8, ["twicing"])
    logs = [plan.log(run.folder / name) for name in run.operators]
    lines = [[(one["decay"], one["step"], one["size"]) for one in rows if "loss" in one] for rows in logs]
    assert lines[0] == lines[1] == [(None, 2, 16), (2, 4, 32), (2, 5, 32), (None, 4, 32)]
    assert plan.check_batches(logs) == 4
    for rows in logs:
        assert all(one["loss"] > 0 and one["memory_mb"] > 0 for one in rows if "loss" in one)
        spent = [one["core_seconds"] for one in rows]
        assert spent == sorted(spent)


def test_lines_of_lost_steps_go(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.training.track.EVERY", 1)
    run = make_run(operators=("standard",))
    trained(run, 2)
    log = run.folder / "standard" / "log.jsonl"
    kept = log.read_text()
    log.write_text(kept + kept.splitlines()[-1].replace('"step": 2', '"step": 3') + "\n")
    Process(run, ["standard"])
    assert log.read_text() == kept


def test_the_average_is_evaluated_every_so_many_images(make_run: MakeRun) -> None:
    run = make_run(operators=("standard",), settings={"evaluate_every": 8})
    rows = [one for one in trained(run, 5).tracks["standard"].rows if "validation_loss" in one]
    assert [(one["images"], one["size"], one["of"]) for one in rows] == [(8, 16, 6), (16, 32, 6)]


def test_validation_images_are_a_fixed_draw(make_run: MakeRun) -> None:
    run = make_run(settings={"validation_images": 4})
    first, second = (Process(run, ["standard"]).validation for _ in range(2))
    assert len(first) == 4
    assert torch.equal(first.images, second.images)


def test_evaluation_is_mean_cross_entropy_and_share_of_hits(make_run: MakeRun) -> None:
    process = Process(make_run(), ["standard"])
    model = process.tracks["standard"].learner.ema.module
    data = process.validation
    with torch.no_grad():
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (process.run.preprocessing.mean, process.run.preprocessing.std)
        )
        p = model((data.images / 255 - mean) / std).softmax(1)
    loss, top1 = evaluate(model, data, process.run.preprocessing, 32, batch=4)
    assert loss == pytest.approx(float(-p[range(len(data)), data.labels].log().mean()), rel=1e-5)
    assert top1 == pytest.approx(100 * float((p.argmax(1) == data.labels).float().mean()))


# --- what is refused, and how a process ends ----------------------------------------------------------------------


def refusal(run: TrainingRun) -> str:
    with pytest.raises(ExplorerError) as caught:
        Process(run, list(run.operators))
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def test_another_recipe_in_the_same_folder_is_refused(make_run: MakeRun) -> None:
    trained(make_run(), 1)
    assert "another recipe" in refusal(make_run(lr=2e-3))


def test_other_classes_in_the_same_folder_are_refused(make_run: MakeRun) -> None:
    trained(make_run(), 1)
    assert "other data" in refusal(make_run(train=small_dataset(3, 3), validation=small_dataset(3, 3)))


def test_validation_with_other_classes_is_refused(make_run: MakeRun) -> None:
    """Labels index each split's own classes, so splits that differ would be compared wrongly without a word."""
    assert "3 and 2 came" in refusal(make_run(train=small_dataset(3, 3), validation=small_dataset(3, 2)))


def test_a_broken_state_is_refused_in_words(make_run: MakeRun) -> None:
    run = make_run()
    trained(run, 1)
    state = run.folder / "standard" / "state.pt"
    state.write_bytes(state.read_bytes()[:100])
    assert "cannot be read" in refusal(run)


def test_what_a_killed_process_left_is_removed(make_run: MakeRun) -> None:
    """Of the states and logs of the trunk and of a decay, and of the checkpoint."""
    run = make_run(operators=("standard",))
    write_plan(run, Decay(1, 1, 16, last=True))
    branch = run.folder / "standard" / "decay-1"
    branch.mkdir(parents=True)
    left = [branch.parent / ".state.pt.0123abcd", branch.parent / ".log.jsonl.0123abcd"]
    left += [branch / ".state.pt.0123abcd", branch / ".tiny-standard.safetensors.0123abcd"]
    for path in left:
        path.write_bytes(b"half")
    Process(run, ["standard"]).train()
    assert not [path for path in left if path.exists()]
    assert (branch / "tiny-standard.safetensors").exists()


@pytest.mark.parametrize("count", [1, 3, 5])
def test_fewer_images_than_a_batch_train(make_run: MakeRun, count: int) -> None:
    """Epochs follow each other within a batch."""
    data = small_dataset()
    few = Dataset(data.images[:count], data.labels[:count], data.classes)
    assert trained(make_run(train=few), 2).tracks["twicing"].step == 2


def test_a_model_is_trained_by_one_process(make_run: MakeRun) -> None:
    run = make_run()
    (run.folder / "twicing").mkdir()
    with lock(run.folder / "twicing"), pytest.raises(ExplorerError, match="in another process"):
        work(run, ["standard", "twicing"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_after_its_step(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    original = Learner.step

    def signalled(self: Learner, *rest: Any, **named: Any) -> Tensor:
        os.kill(os.getpid(), number)
        return original(self, *rest, **named)

    monkeypatch.setattr(Learner, "step", signalled)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    run = make_run(operators=("standard",))
    try:
        work(run, ["standard"])
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert torch.load(run.folder / "standard" / "state.pt", weights_only=True)["step"] == 1


def test_a_process_ends_with_whoever_started_it(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(make_run(), ["standard"])
    monkeypatch.setattr(os, "getppid", lambda: -1)
    process.train()
    assert process.tracks["standard"].step == 0


@pytest.mark.parametrize("device", ["meta", "mps"])
def test_bfloat16_is_for_devices_that_have_it(device: str) -> None:
    assert not bf16_pays(torch.device(device))


def test_bfloat16_is_tried_on_a_cpu() -> None:
    """Which way it goes is the machine's: what is tested is that it is an answer, and a quick one."""
    assert bf16_pays(torch.device("cpu")) in (True, False)
