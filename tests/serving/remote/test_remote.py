"""What replicas give is what the engine in this process gives, whatever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from explorer import cli
from explorer.attribution.trust import QUANTITIES
from explorer.jobs import Job
from explorer.jobs.attributions import TrustJob
from explorer.jobs.disturbances import AttackJob, RanksJob, TransferJob
from explorer.jobs.passes import BatchJob, SimilarityJob, TraceJob
from explorer.models import with_packed_layers
from explorer.serving.chosen import engine_of
from explorer.serving.engine import Engine, LocalEngine, ask
from explorer.types import BusyError, ExplorerError, ImageInput
from tests.helpers import assert_one_sentence, write_folder
from tests.jobs.test_jobs import BY_VALUE, FGSM, MAP, PICTURE, assert_same
from tests.running_app import ROOT
from tests.serving.remote.fleet import TOKEN, Served, served
from tests.serving.remote.jobs import FailingJob, SlowJob
from tests.studio.helpers import TWICING, model

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed, which the extra `serve` brings")

CPU = torch.device("cpu")
KEY = model().card.key


@pytest.fixture(scope="module")
def fleet() -> Iterator[Served]:
    """Two replicas."""
    with served("--replicas", "2", "--queue", "32", "--silent", "10") as running:
        yield running


@pytest.fixture(scope="module")
def engine(fleet: Served) -> Iterator[Engine]:
    """This process's way to them."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_ADDRESS", fleet.address)
        environment.setenv("RAY_AUTH_TOKEN", TOKEN)
        environment.setenv("RAY_TMPDIR", fleet.environment["RAY_TMPDIR"])
        engine = engine_of([model()], CPU, name="ray")
        yield engine
        engine.close()
        import ray  # not before the engine has: it reads the environment then

        ray.shutdown()


@pytest.fixture
def local() -> Iterator[LocalEngine]:
    engine = LocalEngine([model()], CPU)
    yield engine
    engine.close()


def photos(count: int, seed: int = 0) -> list[ImageInput]:
    """Pictures that nobody has asked about."""
    draw = np.random.default_rng(seed)
    return [
        ImageInput(f"{seed}: {number}", draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)) for number in range(count)
    ]


@pytest.mark.parametrize("job", BY_VALUE, ids=lambda job: type(job).__name__)
def test_every_job_gives_the_same_bit_for_bit(job: Job[Any], engine: Engine, local: LocalEngine) -> None:
    assert_same(ask(engine, job, [PICTURE], KEY), ask(local, job, [PICTURE], KEY))


def test_what_another_job_came_to_travels_with_a_job(engine: Engine, local: LocalEngine) -> None:
    attacked = ask(local, AttackJob(FGSM, (2,)), [PICTURE], KEY)
    mapped = ask(local, MAP, [PICTURE], KEY)
    adversarial = [torch.rand(1, 3, *model().card.preprocessing.input_size)]
    for job in (TransferJob(attacked), RanksJob(adversarial, (2,)), TrustJob(MAP, QUANTITIES[0], mapped)):
        remote, here = (ask(each, job, [PICTURE], KEY) for each in (engine, local))
        assert repr(remote) == repr(here)


def test_other_operators_sizes_and_packed_layers_are_made_on_replicas(engine: Engine, local: LocalEngine) -> None:
    side = 2 * model().card.preprocessing.input_size[0]
    packed = with_packed_layers(model())
    for each in (engine, local):
        each.add(packed)
    for derive in (
        lambda each: each.swapped(KEY, TWICING).key,
        lambda each: each.resized(KEY, side).key,
        lambda each: each.swapped(each.resized(KEY, side).key, TWICING).key,
        lambda each: packed.card.key,
    ):
        results = [ask(each, TraceJob(), [PICTURE], derive(each)) for each in (engine, local)]
        assert_same(*results)


def test_a_trace_that_arrives_owns_its_memory_and_can_be_computed_with(engine: Engine) -> None:
    (trace,) = ask(engine, TraceJob(), photos(1, 7), KEY)
    assert trace.attention.add(1).isfinite().all()
    assert trace.attention.untyped_storage().nbytes() == trace.attention.nbytes


def test_progress_is_heard_in_the_callers_thread(engine: Engine) -> None:
    heard: list[tuple[int, int]] = []
    assert ask(engine, SlowJob(1.0), [PICTURE], KEY, lambda done, total: heard.append((done, total))) >= 1.0
    assert heard == sorted(heard)
    assert len({done for done, _ in heard}) >= 3


class Leave(BaseException):
    """As Streamlit ends a script whose tab was closed."""


def test_who_leaves_cancels(engine: Engine) -> None:
    def leave(done: int, total: int) -> None:
        if done:
            raise Leave

    began = time.monotonic()
    with pytest.raises(Leave):
        ask(engine, SlowJob(60.0), [PICTURE], KEY, leave)
    # Each of two replicas gives one job its turn: three more begin only where the first is gone.
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: ask(engine, SlowJob(0.5), [PICTURE], KEY), range(3)))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("sentence", ["A job of two was expected; one came.", ""])
def test_a_job_that_fails_is_one_sentence(engine: Engine, sentence: str) -> None:
    with pytest.raises(ExplorerError) as error:
        ask(engine, FailingJob(sentence), [PICTURE], KEY)
    assert str(error.value) == sentence if sentence else assert_one_sentence(str(error.value)) is None


def test_a_full_queue_says_for_how_long(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve.exceptions import BackPressureError

    def full(request: object) -> None:
        raise BackPressureError(num_queued_requests=32, max_queued_requests=32)

    monkeypatch.setattr(engine, "_to", full)
    for job in (BatchJob(SimilarityJob()), SlowJob(1.0)):
        with pytest.raises(BusyError, match=r"again in about \d+ s") as error:
            ask(engine, job, [PICTURE], KEY)
        assert_one_sentence(str(error.value))


def test_another_token_is_refused_in_one_sentence(fleet: Served) -> None:
    environment = {**fleet.environment, "RAY_ADDRESS": fleet.address, "RAY_AUTH_TOKEN": "f" * 64}
    command = [sys.executable, "-m", "explorer", "serve"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "another token" in done.stderr
    assert_one_sentence(done.stderr.removeprefix("explorer: ").strip())


def test_a_folder_gives_the_same_table(engine: Engine, tmp_path: Path) -> None:
    """One of its files is no picture."""
    folder = write_folder(tmp_path / "pictures", each=5)
    (folder / "n0" / "broken.png").write_bytes(b"none")
    for name in ("local", "ray"):
        assert cli.main(["similarity", str(folder), "--out", str(tmp_path / f"{name}.csv"), "--engine", name]) == 1
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()


def test_all_that_listens_is_the_loopback_or_asks_for_the_token(fleet: Served, engine: Engine) -> None:
    import grpc

    open_to_others = [
        (" ".join(process.cmdline()), connection.laddr.port)
        for process in fleet.processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and "127.0.0.1" not in connection.laddr.ip
    ]
    # Ray Serve's own way between deployments, for which it has no address to choose.
    assert all("Replica" in name or "REPLICA" in name for name, _ in open_to_others), open_to_others
    for _, port in open_to_others:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
            with pytest.raises(grpc.RpcError) as error:
                call(b"", timeout=10)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("killed", ["ServeReplica", "ServeController"])
def test_killed_under_load_nothing_is_lost_and_numbers_are_the_same(
    engine: Engine, local: LocalEngine, fleet: Served, killed: str
) -> None:
    pictures = photos(240, len(killed))
    expected = torch.stack(ask(local, SimilarityJob(), pictures, KEY))
    with ThreadPoolExecutor(20) as clients:
        answers = [clients.submit(ask, engine, BatchJob(SimilarityJob()), [picture], KEY) for picture in pictures]
        slow = clients.submit(ask, engine, SlowJob(2.0), [PICTURE], KEY)
        answers[20].result()
        victim = next(iter([*fleet.processes(killed), *fleet.processes(killed.replace("Serve", "SERVE_").upper())]))
        os.kill(victim.pid, signal.SIGKILL)
        assert torch.equal(torch.stack([answer.result()[0] for answer in answers]), expected)
        assert slow.result() >= 2.0
