"""`serve` and `--engine`: what is refused is one sentence, and Ray is imported by nobody who does not ask for it."""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from explorer import cli
from explorer.serving.chosen import engine_of
from explorer.serving.engine import LocalEngine
from explorer.serving.names import VARIABLE
from explorer.serving.remote import cluster
from explorer.serving.remote.cluster import check
from explorer.serving.remote.settings import Fleet
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence
from tests.studio.helpers import model

ROOT = Path(__file__).parents[2]
needs_ray = pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed, which the extra `serve` brings")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    message = capsys.readouterr().err.removeprefix("explorer: ").strip()
    assert_one_sentence(message)
    return message


@pytest.mark.parametrize("command", [["serve"], ["similarity", ".", "--out", "x.csv", "--engine", "ray"]])
def test_without_the_extra_it_is_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(command) == 2
    assert "pip install twicing-explorer[serve]" in said(capsys)


@needs_ray
def test_an_address_where_nobody_answers() -> None:
    """In a process of its own: Ray reads tokens once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_TOKEN": "a" * 64}
    command = [sys.executable, "-m", "explorer", "serve"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "nobody answers there" in done.stderr
    assert_one_sentence(done.stderr.removeprefix("explorer: ").strip())


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "somewhere", "127.0.0.1:port"])
def test_an_address_that_is_none_of_a_cluster(address: str) -> None:
    with pytest.raises(ExplorerError, match="host:port") as error:
        check(address)
    assert_one_sentence(str(error.value))


def test_nothing_imports_ray_without_being_asked() -> None:
    code = (
        "import sys, explorer.ui.shell.resources, explorer.notebook, explorer.runs.similarity, explorer.serving.chosen;"
        "import explorer.cli.serve, explorer.cli.engine, explorer.serving.remote.settings;"
        "import explorer.serving.remote.parcel;"
        "assert not {'ray', 'grpc'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_an_engine_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "dask")
    with pytest.raises(ExplorerError, match="local, ray"):
        engine_of([model()], torch.device("cpu"))


def test_the_engine_inside_this_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    engine = engine_of([model()], torch.device("cpu"))
    assert isinstance(engine, LocalEngine)
    engine.close()


def test_a_fleet_has_a_replica_for_each_core_it_may_use() -> None:
    assert Fleet(replicas=3, threads=2).processors >= 6
    assert Fleet(threads=512).count == 1
    with pytest.raises(ExplorerError, match="most-replicas"):
        Fleet(replicas=3, most=2)


def test_what_ray_writes_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads its token can run anything on the cluster."""

    class Ray:
        def init(self, **_: object) -> None:
            (tmp_path / "auth_token").write_text("secret", encoding="utf-8")

    monkeypatch.setenv("PYTHONPATH", "")
    before = os.umask(0o022)
    try:
        cluster._start(Ray(), Fleet())
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert (tmp_path / "auth_token").stat().st_mode & 0o077 == 0
