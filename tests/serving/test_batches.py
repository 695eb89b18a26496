"""A job over batches: in order, each batch by itself, whatever else the engine does."""

from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.jobs import PassJob, passes
from explorer.jobs.passes import BatchJob, SimilarityJob, TraceJob
from explorer.models.trace import states
from explorer.serving.batches import map_batches
from explorer.serving.engine import LocalEngine, ask
from explorer.types import ExplorerError, ImageInput
from tests.fake_engine import FakeEngine
from tests.helpers import assert_one_sentence
from tests.studio.helpers import TWICING, model

BASE, OTHER = model(), model("Tiny-Twicing", TWICING, seed=1)
KEYS = BASE.card.key, OTHER.card.key


def photo(seed: int) -> ImageInput:
    return ImageInput(f"image {seed}", np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8))


BATCHES = [[photo(0), photo(1), photo(2)], [photo(3)], [photo(4), photo(5)], [photo(0)]]


def both(batch: list[ImageInput]) -> tuple[list[str], dict[str, list[ImageInput]]]:
    return [picture.digest for picture in batch], dict.fromkeys(KEYS, batch)


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine([BASE, OTHER], torch.device("cpu"))
    yield engine
    engine.close()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each pass was of."""
    seen: list[int] = []

    def counted(module: Any, images: Tensor) -> Iterator[Tensor]:
        seen.append(len(images))
        return states(module, images)

    monkeypatch.setattr(passes, "states", counted)
    return seen


def test_every_batch_is_one_run_and_the_answers_are_in_order(engine: LocalEngine, sizes: list[int]) -> None:
    answers = list(map_batches(engine, SimilarityJob(), BATCHES, both))
    assert sorted(sizes) == [1, 1, 1, 1, 2, 2, 3, 3]
    assert [kept for kept, _ in answers] == [[picture.digest for picture in batch] for batch in BATCHES]
    for batch, (_, by_key) in zip(BATCHES, answers, strict=True):
        for loaded in (BASE, OTHER):
            expected = SimilarityJob().run(loaded, batch, lambda done, total: None)
            assert all(map(torch.equal, by_key[loaded.card.key], expected))
            assert len(by_key[loaded.card.key]) == len(batch)


def test_no_visitor_shares_a_pass_or_a_memory(engine: LocalEngine, sizes: list[int]) -> None:
    """What was asked for before is in the engine's memory: batches neither use it nor leave anything there."""
    ask(engine, SimilarityJob(), BATCHES[0][:2], KEYS[0])
    kept = engine._worker._cache.nbytes
    sizes.clear()
    list(map_batches(engine, SimilarityJob(), BATCHES[:1], both))
    assert sizes == [3, 3]
    assert engine._worker._cache.nbytes == kept


def test_any_engine_serves_them(engine: LocalEngine) -> None:
    fake = FakeEngine([BASE, OTHER])
    pairs = [list(map_batches(each, SimilarityJob(), BATCHES, both)) for each in (engine, fake)]
    for (kept, left), (also, right) in zip(*pairs, strict=True):
        assert kept == also
        assert all(torch.equal(a, b) for key in KEYS for a, b in zip(left[key], right[key], strict=True))
    assert {job for job, _, _ in fake.submitted} == {BatchJob(SimilarityJob())}


def test_a_batch_waits_for_no_turn(engine: LocalEngine) -> None:
    """On a CPU batches go side by side, and beside the long job of a visitor."""
    with engine._turns.taken():
        assert len(list(map_batches(engine, SimilarityJob(), BATCHES, both))) == len(BATCHES)


def test_only_a_few_batches_are_read_ahead(engine: LocalEngine) -> None:
    read = []

    def reading(batch: list[ImageInput]) -> tuple[None, dict[str, list[ImageInput]]]:
        read.append(batch)
        return None, {KEYS[0]: batch}

    answers = map_batches(engine, SimilarityJob(), iter([[photo(0)]] * 50), reading)
    for _ in range(3):
        next(answers)
    answers.close()
    assert 3 <= len(read) <= 3 + 2 * torch.get_num_threads() + 1


def test_a_batch_is_read_while_another_is_computed(monkeypatch: pytest.MonkeyPatch, engine: LocalEngine) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    following = Event()

    class Waiting(PassJob[None]):
        def run(self, *_: object) -> list[None]:
            assert following.wait(30)
            return [None]

    def reading(number: int) -> tuple[int, dict[str, list[ImageInput]]]:
        if number:
            following.set()
        return number, {KEYS[0]: [photo(number)]}

    assert [kept for kept, _ in map_batches(engine, Waiting(), range(2), reading)] == [0, 1]


def test_a_model_without_pictures_has_no_result(engine: LocalEngine, sizes: list[int]) -> None:
    answers = map_batches(engine, SimilarityJob(), [0], lambda batch: (batch, {KEYS[0]: [], KEYS[1]: [photo(1)]}))
    ((kept, by_key),) = answers
    assert (kept, list(by_key), sizes) == (0, [KEYS[1]], [1])


def test_threads_are_as_they_were(engine: LocalEngine) -> None:
    before = torch.get_num_threads()
    list(map_batches(engine, SimilarityJob(), BATCHES, both))
    assert torch.get_num_threads() == before


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_batch_without_room_is_not_halved(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def full(module: object, images: Tensor) -> Iterator[Tensor]:
        sizes.append(len(images))
        raise RuntimeError("CUDA out of memory. Tried to allocate 3 GiB")

    monkeypatch.setattr(passes, "states", full)
    with pytest.raises(ExplorerError, match="no room for 3 images in Tiny") as caught:
        list(map_batches(engine, SimilarityJob(), BATCHES[:1], both))
    assert_one_sentence(str(caught.value))
    assert sizes == [3]


def test_other_errors_come_out_as_they_are(engine: LocalEngine) -> None:
    class Wrong(PassJob[None]):
        def run(self, *_: object) -> list[None]:
            raise ValueError("a mistake")

    def unreadable(batch: list[ImageInput]) -> tuple[None, dict[str, Sequence[ImageInput]]]:
        raise OSError("gone")

    with pytest.raises(ValueError, match="a mistake"):
        list(map_batches(engine, Wrong(), BATCHES, both))
    with pytest.raises(OSError, match="gone"):
        list(map_batches(engine, TraceJob(), BATCHES, unreadable))
    with pytest.raises(ExplorerError, match="not loaded any more"):
        list(map_batches(engine, TraceJob(), BATCHES, lambda batch: (None, {"nobody": batch})))
