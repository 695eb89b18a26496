"""What a replica says of its health, without a cluster."""

import asyncio
import time
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from explorer.serving.remote.cluster import ray_here
from explorer.serving.remote.settings import Fleet
from tests.studio.helpers import model

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed, which the extra `serve` brings")


@pytest.fixture
def replica() -> Any:
    ray_here()
    from explorer.serving.remote.replica import Replica

    return Replica(Fleet(silent=5))


def check(replica: Any) -> None:
    asyncio.run(replica.check_health())


def test_a_replica_without_models_and_with_a_sound_one_is_well(replica: Any) -> None:
    check(replica)
    replica._engine.add(model())
    check(replica)


def test_a_model_whose_numbers_are_not_finite_makes_it_unwell(replica: Any) -> None:
    broken = model(seed=3)
    with torch.no_grad():
        broken.module.head.weight.fill_(float("nan"))
    replica._engine.add(broken)
    with pytest.raises(RuntimeError, match="not finite"):
        check(replica)


def test_a_pass_that_fails_makes_it_unwell(replica: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = model(seed=4)
    replica._engine.add(broken)
    monkeypatch.setattr(type(broken.module), "forward", lambda *_: 1 / 0)
    with pytest.raises(Exception, match="could not be computed"):
        check(replica)


def test_work_that_says_nothing_makes_it_unwell_until_it_ends(replica: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    with replica._watch.over() as beat:
        monkeypatch.setattr(time, "monotonic", lambda: now + 4)
        check(replica)
        beat()
        monkeypatch.setattr(time, "monotonic", lambda: now + 20)
        with pytest.raises(RuntimeError, match="said nothing for 5 seconds"):
            check(replica)
    check(replica)
