"""Where models begin: at a start with a probed head, or at what was kept of a run in 8 bits."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from explorer.models import weights
from explorer.training import kept, plan
from explorer.training.run import Process
from explorer.training.settings import TrainingRun
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, small_dataset
from tests.training.conftest import MakeRun
from tests.training.test_run import trained


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 40), st.floats(1e-6, 1e6))
def test_a_row_is_kept_within_half_a_step_of_its_scale(seed: int, rows: int, columns: int, size: float) -> None:
    weight = size * torch.randn(rows, columns, 2, generator=torch.Generator().manual_seed(seed))
    weight[0] = 0.0  # a row of nothing stays one
    packed = kept.pack({"w": weight})
    assert packed["w"].dtype == torch.int8
    error = (kept.unpack(packed)["w"] - weight).abs().flatten(1).max(dim=1).values
    assert torch.all(error <= weight.abs().flatten(1).max(dim=1).values / 127 * 0.501)
    assert not kept.unpack(packed)["w"][0].any()


def test_vectors_are_kept_as_they_are() -> None:
    state = {"bias": torch.randn(5), "scale": torch.tensor(2.0)}
    assert all(torch.equal(value, state[key]) for key, value in kept.unpack(kept.pack(state)).items())


def test_a_kept_model_weighs_a_quarter(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    trained(run, 1)
    paths = kept.keep(run.folder, tmp_path / "kept")
    assert [path.name for path in paths] == ["standard.int8.safetensors", "twicing.int8.safetensors"]
    state = Process(run, ["standard"]).tracks["standard"].average()
    matrices = sum(value.numel() for value in state.values() if value.ndim > 1)
    vectors = sum(value.numel() for value in state.values() if value.ndim < 2)
    rows = sum(value.shape[0] for value in state.values() if value.ndim > 1)
    assert sum(value.nbytes for value in load_file(paths[0]).values()) == matrices + 4 * (vectors + rows)


def resumed(make_run: MakeRun, tmp_path: Path) -> tuple[TrainingRun, TrainingRun]:
    """A run that was kept after models had taken 4 and 3 steps, and one that begins with it in another folder."""
    run = make_run("lost")
    trained(run, 3)
    trained(run, 1, ["standard"])
    kept.keep(run.folder, tmp_path / "kept")
    return run, make_run("found", settings={"resumed": tmp_path / "kept"})


def test_a_run_goes_on_from_what_was_kept(make_run: MakeRun, tmp_path: Path) -> None:
    lost, run = resumed(make_run, tmp_path)
    before, process = Process(lost, list(lost.operators)), Process(run, list(run.operators))
    for name, track in process.tracks.items():
        assert (track.step, track.since, track.rise) == (4, 4, kept.RISE)  # all from the step of the farthest
        assert track.core_seconds == before.tracks[name].core_seconds
        expected = before.tracks[name].average()
        for key, value in track.learner.model.state_dict().items():
            assert float((value - expected[key]).abs().max()) <= float(expected[key].abs().max()) / 254 + 1e-7
        assert not track.learner.optimizer.state  # new moments
    assert trained(run, 2).tracks["twicing"].step == 6


def test_what_goes_on_is_resumable_in_its_turn(make_run: MakeRun, tmp_path: Path) -> None:
    _, run = resumed(make_run, tmp_path)
    trained(run, 1)
    again = Process(run, list(run.operators)).tracks["twicing"]
    assert (again.step, again.since, again.rise) == (5, 4, kept.RISE)


def test_models_that_go_on_meet_the_same_batches(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.training.track.EVERY", 1)
    _, run = resumed(make_run, tmp_path)
    trained(run, 2)
    logs = [plan.log(run.folder / name) for name in run.operators]
    assert plan.check_batches(logs) == 2


def test_what_was_kept_of_another_run_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    resumed(make_run, tmp_path)
    run = make_run("other", settings={"resumed": tmp_path / "kept"}, lr=5e-4)
    with pytest.raises(ExplorerError) as caught:
        Process(run, ["standard"])
    assert_one_sentence(str(caught.value))
    assert "another recipe" in str(caught.value)


def test_a_folder_where_nothing_was_kept_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="standard"):
        Process(make_run(settings={"resumed": tmp_path / "empty"}), ["standard"])


def test_a_run_without_a_state_has_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="there is none"):
        kept.keep(tmp_path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_models_begin_at_the_start_with_the_probed_head(make_run: MakeRun) -> None:
    run = make_run(start="abc")
    start = {key: value for key, value in _state(run).items() if not key.startswith("head.")}
    start = {key: value + 0.1 for key, value in start.items()}
    kept.begin(run, start)
    written = run.start.read_bytes()
    kept.begin(run, {})  # a second time nothing is done
    assert run.start.read_bytes() == written
    process = Process(run, list(run.operators))
    for track in process.tracks.values():
        state = track.learner.model.state_dict()
        assert all(torch.equal(state[key], value) for key, value in start.items())
        assert state["head.weight"].any()
        assert (track.step, track.rise) == (0, None)
    heads = [track.learner.model.head.weight for track in process.tracks.values()]
    assert torch.equal(*heads)


def _state(run: TrainingRun) -> dict[str, torch.Tensor]:
    return dict(Process(run, ["standard"]).tracks["standard"].learner.model.state_dict())


def test_kept_files_say_what_they_are_of(make_run: MakeRun, tmp_path: Path) -> None:
    _, run = resumed(make_run, tmp_path)
    declared = weights.read(tmp_path / "kept" / "twicing.int8.safetensors").declared
    assert declared is not None
    assert declared["step"] == 3
    assert declared["identity"]["operator"] == [2.0, 2.0]
    assert json.dumps(declared["identity"]["recipe"]["lr"]) == str(run.recipe.lr)


def test_probing_needs_no_more_classes_than_the_data_has(make_run: MakeRun) -> None:
    data = small_dataset(each=5, classes=4)
    run = make_run(train=data, validation=small_dataset(2, 4), start="abc", probe=2)
    kept.begin(run, {})
    assert load_file(run.start)["head.weight"].shape == (4, 32)
