"""Jobs: what each comes to, that it survives another process, and that every engine gives the same."""

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from explorer import jobs
from explorer.attribution import trust
from explorer.attribution.methods import attribute
from explorer.attribution.settings import AttributionSettings, Method
from explorer.disturb import effects
from explorer.disturb.attacks import attack, transfer
from explorer.disturb.corruptions import Corruption, corrupt
from explorer.disturb.effects import Choice
from explorer.disturb.ranks import adversaries, label_ranks, ranks_of
from explorer.disturb.settings import Attack, Kind
from explorer.jobs import Job, PassJob
from explorer.jobs.attributions import AttributionJob, TrustJob
from explorer.jobs.disturbances import (
    AdversariesJob,
    AttackJob,
    CorruptedTraceJob,
    CorruptionJob,
    RanksJob,
    TransferJob,
)
from explorer.jobs.passes import BatchJob, DialReadingJob, OperatorsJob, ProbeJob, SimilarityJob, TraceJob, reading_of
from explorer.jobs.progress import parts
from explorer.measures.settings import Definition, Queries
from explorer.measures.similarity import token_similarity
from explorer.models import LoadedModel, with_filter
from explorer.models.trace import trace
from explorer.pictures import preprocess
from explorer.serving.engine import Engine, LocalEngine, ask, compare
from explorer.types import WAITING, ExplorerError, ImageInput
from tests.fake_engine import FakeEngine
from tests.helpers import assert_one_sentence
from tests.studio.helpers import STANDARD, TWICING, model

PICTURE = ImageInput("a picture", np.random.default_rng(5).integers(0, 256, (40, 48, 3), dtype=np.uint8))
FGSM = Attack(Kind.FGSM, eps=4 / 255)
PGD = Attack(Kind.PGD, eps=4 / 255, steps=2, step_size=0.01, random_start=True, seed=3)
MAP = AttributionJob(Method.SALIENCY, 1, AttributionSettings())

BY_VALUE: list[Job[Any]] = [
    TraceJob(),
    OperatorsJob(TWICING),
    SimilarityJob(Definition(with_prefix=True)),
    MAP,
    CorruptionJob(Corruption.OCCLUSION, (1.0, 3.5), 2, Queries.FIRST),
    CorruptedTraceJob(Corruption.OCCLUSION, 3.0, 2, final_jpeg=True),
    AttackJob(FGSM, (2,)),
    AdversariesJob((FGSM, PGD), (2,), ("a name",)),
    BatchJob(SimilarityJob()),
    ProbeJob(),
    DialReadingJob(TWICING),
]


def view_of(loaded: LoadedModel) -> np.ndarray:
    return preprocess.model_view(PICTURE.rgb, loaded.card.preprocessing)


def quiet(done: int, total: int) -> None:
    pass


def run(job: Job[Any], loaded: LoadedModel) -> Any:
    return job.run(loaded, [PICTURE], quiet)


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors of a result, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from tensors(getattr(value, one.name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors(one)


def assert_same(left: Any, right: Any) -> None:
    """Bit for bit."""
    pairs = list(zip(tensors(left), tensors(right), strict=True))
    assert pairs
    assert all(torch.equal(a, b) for a, b in pairs)


def all_jobs() -> list[type[Job[Any]]]:
    found = set()
    for module in pkgutil.iter_modules(jobs.__path__):
        for _, kind in inspect.getmembers(importlib.import_module(f"explorer.jobs.{module.name}"), inspect.isclass):
            if issubclass(kind, Job) and not inspect.isabstract(kind):
                found.add(kind)
    return sorted(found, key=lambda kind: kind.__name__)


def test_every_job_is_among_those_tested() -> None:
    identical = {TrustJob, TransferJob, RanksJob}  # carry what another job came to
    assert set(all_jobs()) == {type(job) for job in BY_VALUE} | identical


@pytest.mark.parametrize("kind", all_jobs(), ids=lambda kind: kind.__name__)
def test_a_job_is_a_frozen_record_that_says_what_it_comes_to(kind: type[Job[Any]]) -> None:
    assert is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert (kind.__doc__ or "").strip().endswith(".")


@pytest.mark.parametrize("job", BY_VALUE, ids=lambda job: type(job).__name__)
def test_a_job_from_another_process_is_the_same_job_and_comes_to_the_same(job: Job[Any]) -> None:
    copy = pickle.loads(pickle.dumps(job))
    assert copy == job
    assert hash(copy) == hash(job)
    assert_same(run(copy, model()), run(job, model()))
    for one in fields(job):  # type: ignore[arg-type]
        with pytest.raises(FrozenInstanceError):
            setattr(job, one.name, None)


@pytest.mark.parametrize("job", BY_VALUE, ids=lambda job: type(job).__name__)
def test_the_engine_and_the_fake_one_give_the_same_bit_for_bit(job: Job[Any]) -> None:
    local, fake = LocalEngine([model()], torch.device("cpu")), FakeEngine([model()])
    key = model().card.key
    try:
        assert_same(ask(local, job, [PICTURE], key), ask(fake, job, [PICTURE], key))
    finally:
        local.close()
    assert fake.submitted == [(job, ("a picture",), key)]
    assert isinstance(fake, Engine)
    assert isinstance(local, Engine)


def test_a_comparison_is_asked_of_both_models_before_either_is_waited_for() -> None:
    class Waiting(FakeEngine):
        def submit(self, *asked: Any) -> Future[Any]:
            future = super().submit(*asked)
            future.result = lambda timeout=None: (order.append("waited"), Future.result(future))[1]  # type: ignore[method-assign,func-returns-value]
            order.append("submitted")
            return future

    order: list[str] = []
    other = model("Tiny-Twicing", TWICING, seed=1)
    engine = Waiting([model(), other])
    (comparison,) = compare(engine, [PICTURE], (model().card.key, other.card.key))
    assert order == ["submitted", "submitted", "waited", "waited"]
    for side, loaded in zip(comparison, (model(), other), strict=True):
        assert_same(side, run(TraceJob(), loaded)[0])


# --- what each comes to -------------------------------------------------------------------------------------------


def test_traces_and_curves() -> None:
    pixels = preprocess.batch([view_of(model())], model().card.preprocessing)
    (expected,) = trace(model().module, pixels)
    assert_same(run(TraceJob(), model())[0], expected)
    (dialled,) = run(OperatorsJob(TWICING), model())
    assert_same(dialled, run(TraceJob(), with_filter(model(), TWICING))[0])
    assert dialled.filter == TWICING
    assert model().card.filter == STANDARD
    (reading,) = run(DialReadingJob(TWICING), model())
    assert_same(reading, reading_of(dialled))
    assert reading.nbytes < dialled.nbytes / 10
    for definition in (Definition(), Definition(True, True, True)):
        (curve,) = run(SimilarityJob(definition), model())
        torch.testing.assert_close(curve, token_similarity(expected, definition), rtol=0, atol=1e-5)


def test_a_view_gives_what_its_picture_gives() -> None:
    pre = model().card.preprocessing
    view = ImageInput(PICTURE.digest, view_of(model()), view_of=pre)
    for job in (TraceJob(), SimilarityJob()):
        (of_view,) = job.run(model(), [view], quiet)
        assert_same(of_view, run(job, model())[0])
    with pytest.raises(ExplorerError, match="A view for") as caught:
        TraceJob().run(model(), [replace(view, view_of=replace(pre, crop_pct=0.5))], quiet)
    assert_one_sentence(str(caught.value))


def test_passes_are_remembered_by_what_they_compute() -> None:
    card = model().card
    swapped = card.with_filter(TWICING)
    assert OperatorsJob(TWICING).identity(card) == TraceJob().identity(swapped) != TraceJob().identity(card)
    assert SimilarityJob(Definition()).identity(card) != SimilarityJob(Definition(with_prefix=True)).identity(card)
    assert issubclass(TraceJob, PassJob)
    assert not issubclass(AttributionJob, PassJob)


def test_maps_and_what_they_are_worth() -> None:
    found = run(MAP, model())
    assert_same(found, attribute(model(), view_of(model()), Method.SALIENCY, 1, AttributionSettings()))
    worth = trust.Trust(*(run(TrustJob(MAP, quantity, found), model()) for quantity in trust.QUANTITIES))
    expected = trust.Trust(*(trust.measure(one, model(), view_of(model()), found) for one in trust.QUANTITIES))
    assert_same((worth.curves, worth.at_random), (expected.curves, expected.at_random))
    assert (worth.infidelity, worth.sensitivity) == (expected.infidelity, expected.sensitivity)
    # What is known of the map by the job that made it does not count twice.
    assert TrustJob(MAP, "curves", found) == TrustJob(MAP, "curves", replace(found, delta=1.0))


def test_corruptions() -> None:
    view, job = view_of(model()), BY_VALUE[4]
    choice = Choice(Corruption.OCCLUSION, 0.0, 2, Queries.FIRST)
    assert_same(run(job, model()), effects.effects(model(), view, choice, (1.0, 3.5)))
    disturbed = corrupt(view, Corruption.OCCLUSION, 3.0, 2, final_jpeg=True).rgb
    assert_same(run(BY_VALUE[5], model()), effects.traced(model(), disturbed))


def test_attacks_start_where_the_picture_s_digest_says() -> None:
    attacked = run(AttackJob(PGD, (2,)), model())
    assert_same(attacked, attack(model(), [view_of(model())], [2], PGD, ids=["a picture"]))
    other = model("Tiny-Twicing", TWICING, seed=1)
    assert_same(run(TransferJob(attacked), other), transfer(other, attacked))


def test_ranks_under_attack_and_of_the_other_model() -> None:
    batches, ranks = run(BY_VALUE[7], model())
    expected = adversaries(model(), [view_of(model())], [2], (FGSM, PGD), ["a name"])
    assert_same(batches, expected)
    assert ranks == ranks_of(model(), expected, [2])
    other = model("Tiny-Twicing", TWICING, seed=1)
    (of_other,) = run(RanksJob(batches, (2,)), other)
    answers = transfer(other, attack(model(), [view_of(model())], [2], PGD, ids=["a name"]))
    assert of_other[1] == int(label_ranks(answers[1].logits, torch.tensor([2])))


# --- progress -----------------------------------------------------------------------------------------------------


def test_parts_add_up_and_waiting_stays_waiting() -> None:
    heard: list[tuple[int, int]] = []
    part = parts(lambda done, total: heard.append((done, total)), 4)
    for number in range(4):
        part(number)(0, 7)
        part(number)(7, 7)
    part(2)(*WAITING)
    assert heard == [
        *((0, 4000), (1000, 4000), (1000, 4000), (2000, 4000)),
        *((2000, 4000), (3000, 4000), (3000, 4000), (4000, 4000)),
        WAITING,
    ]  # fmt: skip
