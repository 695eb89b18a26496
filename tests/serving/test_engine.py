"""The engine against direct traces; batches, threads, the cache, and everything that can go wrong."""

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event
from time import monotonic, sleep

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.jobs import passes
from explorer.jobs.passes import DialJob, ProbeJob, SimilarityJob, TraceJob
from explorer.measures.settings import Definition
from explorer.measures.similarity import token_similarity
from explorer.models import LoadedModel
from explorer.models.trace import geometry, trace
from explorer.pictures import preprocess
from explorer.serving import engine as serving
from explorer.serving.engine import LocalEngine, ask, compare
from explorer.traces import Trace
from explorer.types import BusyError, ExplorerError, Filter, ImageInput, ModelCard, Preprocessing
from tests.helpers import CLASSES, TINY, assert_one_sentence, quadratics, trace_digest

CPU = torch.device("cpu")
STANDARD: Filter = quadratics(1.0, 1.0)
TWICING: Filter = quadratics(2.0, 2.0)

MakeEngine = Callable[..., LocalEngine]


def photo(seed: int, size: tuple[int, int] = (40, 48)) -> ImageInput:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return ImageInput(f"image {seed}", pixels)


@pytest.fixture
def loaded(make_model: Callable[..., VisionTransformer], preprocessing: Preprocessing) -> list[LoadedModel]:
    """A standard and a twicing model with weights of their own."""
    return [
        LoadedModel(
            ModelCard(
                name=name,
                architecture=TINY,
                filter=filter,
                trained_filter=filter,
                classes=CLASSES,
                wnids=tuple(f"n{i}" for i in range(len(CLASSES))),
                outputs=len(CLASSES),
                preprocessing=preprocessing,
                recipe="none",
                data="random",
                top1=None,
                git_revision="abc",
                digest=f"weights of {name}",
            ),
            make_model(filter, seed=seed).requires_grad_(False),
        )
        for seed, (name, filter) in enumerate((("Tiny", STANDARD), ("Tiny-Twicing", TWICING)))
    ]


@pytest.fixture
def make_engine(loaded: list[LoadedModel]) -> Iterator[MakeEngine]:
    """Builds engines over both models and ends their workers; with one lane, so that tests can hold it, and batches."""
    made: list[LocalEngine] = []

    def make(**options: int) -> LocalEngine:
        made.append(LocalEngine(loaded, CPU, **{"lanes": 1, "batch_size": 8, **options}))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(make_engine: MakeEngine) -> LocalEngine:
    return make_engine()


@pytest.fixture
def keys(loaded: list[LoadedModel]) -> tuple[str, str]:
    return loaded[0].card.key, loaded[1].card.key


def direct(model: LoadedModel, image: ImageInput) -> Trace:
    """What the engine has to answer, without the engine."""
    view = preprocess.model_view(image.rgb, model.card.preprocessing)
    return trace(model.module, preprocess.batch([view], model.card.preprocessing))[0]


def assert_equal(left: Trace, right: Trace) -> None:
    """Equal up to what batching changes in float32."""
    for name in ("attention", "values", "tokens", "logits"):
        torch.testing.assert_close(getattr(left, name), getattr(right, name), rtol=1e-5, atol=1e-5)
    assert (left.grid, left.prefix, left.filter) == (right.grid, right.prefix, right.filter)


def traces(engine: LocalEngine, images: list[ImageInput], key: str) -> list[Trace]:
    return ask(engine, TraceJob(), images, key)


def curves(engine: LocalEngine, images: list[ImageInput], key: str, definition: Definition) -> list[Tensor]:
    return ask(engine, SimilarityJob(definition), images, key)


class Spy:
    """Stands where the job calls `trace`: remembers batch sizes, can hold the worker, can fail."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.entered, self.gate = Event(), Event()
        self.gate.set()
        self.fail: Callable[[Tensor], None] = lambda images: None

    def __call__(self, model: VisionTransformer, images: Tensor, filter: Filter | None = None) -> list[Trace]:
        self.batches.append(len(images))
        self.entered.set()
        assert self.gate.wait(30)
        self.fail(images)
        return trace(model, images, filter)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spy]:
    spy = Spy()
    monkeypatch.setattr(passes, "trace", spy)
    yield spy
    spy.gate.set()


def until(condition: Callable[[], bool]) -> None:
    end = monotonic() + 10
    while not condition():
        assert monotonic() < end
        sleep(0.002)


@pytest.fixture
def hold(spy: Spy) -> Iterator[Callable[[LocalEngine, str], None]]:
    """Keeps an engine's worker busy with one image, so that what follows waits in the queue until the gate opens."""
    with ThreadPoolExecutor(1) as pool:

        def start(engine: LocalEngine, key: str) -> None:
            spy.gate.clear()
            pool.submit(traces, engine, [photo(999)], key)
            assert spy.entered.wait(10)

        yield start
        spy.gate.set()


# --- answers ------------------------------------------------------------------------------------------------------


def test_cards_come_in_the_order_given(engine: LocalEngine, loaded: list[LoadedModel]) -> None:
    assert list(engine.cards) == [model.card for model in loaded]


def test_a_comparison_equals_direct_traces(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    pair = compare(engine, [photo(1)], keys)[0]
    for answer, model in zip(pair, loaded, strict=True):
        assert_equal(answer, direct(model, photo(1)))


def test_many_images_equal_direct_traces_in_order(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    images = [photo(seed) for seed in range(11)]
    for image, pair in zip(images, compare(engine, images, keys), strict=True):
        for answer, model in zip(pair, loaded, strict=True):
            assert_equal(answer, direct(model, image))


def test_an_unknown_model_is_an_error(engine: LocalEngine) -> None:
    with pytest.raises(ExplorerError, match="not loaded any more") as raised:
        traces(engine, [photo(1)], "nobody")
    assert_one_sentence(str(raised.value))


def test_a_model_comes_and_goes(make_engine: MakeEngine, loaded: list[LoadedModel]) -> None:
    engine, first, second = make_engine(), *loaded
    engine.remove(first.card.key)
    assert [card.key for card in engine.cards] == [second.card.key]
    with pytest.raises(ExplorerError, match="not loaded any more"):
        traces(engine, [photo(1)], first.card.key)
    engine.add(first)
    assert [card.key for card in engine.cards] == [second.card.key, first.card.key]
    assert_equal(traces(engine, [photo(1)], first.card.key)[0], direct(first, photo(1)))


def test_the_same_model_added_twice_is_there_once(engine: LocalEngine, loaded: list[LoadedModel]) -> None:
    engine.add(loaded[0])
    assert len(engine.cards) == 2


def test_of_many_swapped_operators_the_last_are_kept(
    make_engine: MakeEngine, loaded: list[LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_MAX_DERIVED", 3)
    engine, key = make_engine(loaded), loaded[0].card.key
    swapped = [engine.swapped(key, quadratics(1.0, a)).key for a in (1.1, 1.2, 1.3)]
    engine.swapped(key, quadratics(1.0, 1.1))  # asked for again
    with engine.held([key]):
        engine.swapped(key, quadratics(1.0, 1.4))
        assert traces(engine, [photo(1)], swapped[1])  # somebody is at work
    last = engine.swapped(key, quadratics(1.0, 1.5)).key
    for there in (key, swapped[0], last, *(card.key for card in engine.cards)):
        assert traces(engine, [photo(1)], there)
    for gone in swapped[1:]:
        with pytest.raises(ExplorerError):
            traces(engine, [photo(1)], gone)


def test_unloading_lets_go_of_the_swapped_weights_too(make_engine: MakeEngine, loaded: list[LoadedModel]) -> None:
    engine, card = make_engine(), loaded[0].card
    swapped = engine.swapped(card.key, TWICING)
    kept = engine.swapped(loaded[1].card.key, STANDARD)
    engine.remove(card.key)
    with pytest.raises(ExplorerError):
        traces(engine, [photo(1)], swapped.key)
    assert traces(engine, [photo(1)], kept.key)


def test_a_model_that_was_unloaded_is_let_go_of(
    make_engine: MakeEngine, loaded: list[LoadedModel], make_model: Callable[..., VisionTransformer]
) -> None:
    engine, card = make_engine(), replace(loaded[0].card, name="another")
    model = make_model(STANDARD, seed=7)
    held = weakref.ref(model)
    engine.add(LoadedModel(card, model))
    del model
    traces(engine, [photo(1)], card.key)
    engine.remove(card.key)
    until(lambda: not gc.collect() and held() is None)


def test_a_model_that_is_held_answers_until_it_is_let_go_of(
    make_engine: MakeEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    engine = make_engine()
    swapped = engine.swapped(keys[0], TWICING)
    with engine.held([swapped.key]):
        engine.remove(keys[0])
        assert [card.key for card in engine.cards] == [keys[1]]  # nobody new can choose it
        assert_equal(traces(engine, [photo(1)], keys[0])[0], direct(loaded[0], photo(1)))
        assert traces(engine, [photo(2)], swapped.key)
        with engine.held(keys):
            pass
        assert engine.swapped(keys[0], STANDARD).key == keys[0]
    for key in (keys[0], swapped.key):
        with pytest.raises(ExplorerError, match="not loaded any more"):
            traces(engine, [photo(1)], key)
    with pytest.raises(ExplorerError, match="not loaded any more"), engine.held([keys[0]]):
        pass


def test_a_model_that_is_added_again_while_it_is_held_stays(
    make_engine: MakeEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    engine = make_engine()
    with engine.held([keys[0]]):
        engine.remove(keys[0])
        engine.add(loaded[0])
    assert traces(engine, [photo(1)], keys[0])


def test_the_last_model_stays(engine: LocalEngine, loaded: list[LoadedModel]) -> None:
    engine.remove(loaded[0].card.key)
    with pytest.raises(ExplorerError, match="At least one"):
        engine.remove(loaded[1].card.key)


def test_models_beyond_the_limit_are_refused(make_engine: MakeEngine, loaded: list[LoadedModel]) -> None:
    engine = make_engine(max_models=2)
    engine.add(loaded[1])  # it is there already
    other = replace(loaded[0].card, name="another")
    with pytest.raises(ExplorerError, match="At most 2 models"):
        engine.add(LoadedModel(other, loaded[0].module))


def test_a_model_that_cannot_be_traced_is_not_taken_in(engine: LocalEngine, loaded: list[LoadedModel]) -> None:
    with pytest.raises(ExplorerError, match="Linear came"):
        engine.add(LoadedModel(replace(loaded[0].card, name="another"), torch.nn.Linear(2, 2)))
    assert len(engine.cards) == 2


@pytest.mark.parametrize("definition", [Definition(), Definition(True, True, True)])
def test_a_similarity_curve_is_that_of_the_trace(
    engine: LocalEngine, loaded: list[LoadedModel], definition: Definition
) -> None:
    images = [photo(seed) for seed in range(11)]  # more than a batch
    for model in loaded:
        for image, curve in zip(images, curves(engine, images, model.card.key, definition), strict=True):
            expected = token_similarity(direct(model, image), definition)
            torch.testing.assert_close(curve, expected, rtol=0, atol=1e-5)


def test_a_folder_of_curves_leaves_no_trace(make_engine: MakeEngine, loaded: list[LoadedModel]) -> None:
    engine = make_engine()
    curves(engine, [photo(seed) for seed in range(20)], loaded[0].card.key, Definition())
    assert engine._worker._cache.nbytes == 20 * 3 * 4  # a float32 for the embedding and each of two blocks


def test_curves_and_traces_of_one_image_do_not_mix(engine: LocalEngine, loaded: list[LoadedModel]) -> None:
    key = loaded[0].card.key
    (curve,) = curves(engine, [photo(1)], key, Definition())
    (other,) = curves(engine, [photo(1)], key, Definition(with_prefix=True))
    (traced,) = traces(engine, [photo(1)], key)
    assert curve.shape == other.shape == (3,)
    assert not torch.equal(curve, other)
    assert_equal(traced, direct(loaded[0], photo(1)))


def test_the_size_counts_parameters_and_multiply_adds(engine: LocalEngine, loaded: list[LoadedModel]) -> None:
    """By hand: 16 patches and CLS, 2 blocks of 2 heads of 16, MLP of 128; twicing multiplies by A once more."""
    tokens, dim, hidden = 17, 32, 128
    patches = 16 * (3 * 8 * 8) * dim
    linear = tokens * (dim * 3 * dim + dim * dim + 2 * dim * hidden)
    product = tokens * tokens * dim
    sizes = [engine.size(model.card.key) for model in loaded]
    for size, products in zip(sizes, (2, 3), strict=True):
        assert size.multiply_adds == patches + 2 * (linear + products * product) + dim * len(CLASSES)
    assert sizes[0].parameters == sum(p.numel() for p in loaded[0].module.parameters())


def test_everything_declared_is_part_of_the_key(loaded: list[LoadedModel]) -> None:
    card = loaded[0].card
    others = [
        replace(card, filter=TWICING),
        replace(card, filter=TWICING, trained_filter=TWICING),
        replace(card, source="x.pth#model_ema"),
        replace(card, preprocessing=replace(card.preprocessing, crop_pct=0.9)),
    ]
    assert len({one.key for one in (card, *others)}) == 5


def test_no_images_need_no_pass(engine: LocalEngine, keys: tuple[str, str], spy: Spy) -> None:
    assert traces(engine, [], keys[0]) == []
    assert spy.batches == []


# --- batches ------------------------------------------------------------------------------------------------------


def test_waiting_images_come_in_full_batches(
    make_engine: MakeEngine, keys: tuple[str, str], spy: Spy, hold: Callable[[LocalEngine, str], None]
) -> None:
    engine = make_engine(batch_size=4)
    hold(engine, keys[0])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(traces, engine, [photo(seed) for seed in range(10)], keys[0])
        until(lambda: len(engine._worker._queue) == 10)
        spy.gate.set()
        assert len(answer.result(30)) == 10
    assert spy.batches == [1, 4, 4, 2]


def test_a_batch_never_mixes_models(
    make_engine: MakeEngine,
    loaded: list[LoadedModel],
    keys: tuple[str, str],
    spy: Spy,
    hold: Callable[[LocalEngine, str], None],
) -> None:
    engine = make_engine(batch_size=8)
    hold(engine, keys[0])
    with ThreadPoolExecutor(3) as pool:
        asked = []
        for seed, key in enumerate((keys[0], keys[1], keys[0])):
            asked.append(pool.submit(traces, engine, [photo(seed)], key))
            until(lambda: len(engine._worker._queue) == len(asked))
        spy.gate.set()
        answers = [future.result(30)[0] for future in asked]
    assert spy.batches == [1, 2, 1]
    for seed, (answer, model) in enumerate(zip(answers, (loaded[0], loaded[1], loaded[0]), strict=True)):
        assert_equal(answer, direct(model, photo(seed)))


# --- threads ------------------------------------------------------------------------------------------------------


def test_ten_threads_with_images_of_their_own(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    with ThreadPoolExecutor(10) as pool:
        pairs = list(pool.map(lambda seed: compare(engine, [photo(seed)], keys)[0], range(10)))
    for seed, pair in enumerate(pairs):
        for answer, model in zip(pair, loaded, strict=True):
            assert_equal(answer, direct(model, photo(seed)))


def test_ten_threads_with_the_same_image_cost_one_pass_per_model(
    engine: LocalEngine, keys: tuple[str, str], spy: Spy
) -> None:
    with ThreadPoolExecutor(10) as pool:
        pairs = list(pool.map(lambda _: compare(engine, [photo(1)], keys)[0], range(10)))
    assert spy.batches == [1, 1]
    assert all(pair.baseline is pairs[0].baseline and pair.twicing is pairs[0].twicing for pair in pairs)


def test_one_image_twice_in_a_request_is_computed_once(engine: LocalEngine, keys: tuple[str, str], spy: Spy) -> None:
    first, second = traces(engine, [photo(1), photo(1)], keys[0])
    assert first is second
    assert sum(spy.batches) == 1


# --- the cache ----------------------------------------------------------------------------------------------------


def test_the_same_request_again_comes_from_the_cache(engine: LocalEngine, keys: tuple[str, str], spy: Spy) -> None:
    assert traces(engine, [photo(1)], keys[0])[0] is traces(engine, [photo(1)], keys[0])[0]
    assert spy.batches == [1]


def test_another_checkpoint_is_another_result(engine: LocalEngine, keys: tuple[str, str]) -> None:
    pair = compare(engine, [photo(1)], keys)[0]
    assert trace_digest(pair.baseline) != trace_digest(pair.twicing)


def test_one_changed_pixel_is_another_result(engine: LocalEngine, keys: tuple[str, str]) -> None:
    original = photo(1)
    rgb = original.rgb.copy()
    rgb[20, 20] = 255 - rgb[20, 20]
    changed = ImageInput("one pixel changed", rgb)
    first, second = (traces(engine, [image], keys[0])[0] for image in (original, changed))
    assert trace_digest(first) != trace_digest(second)


def test_another_filter_on_the_same_weights_is_another_result(engine: LocalEngine, keys: tuple[str, str]) -> None:
    swapped = engine.swapped(keys[0], TWICING)
    pair = compare(engine, [photo(1)], (keys[0], swapped.key))[0]
    assert pair.baseline.filter == STANDARD
    assert pair.twicing.filter == TWICING
    assert not torch.allclose(pair.baseline.logits, pair.twicing.logits, rtol=1e-3)


def test_the_cache_is_bounded_in_bytes(
    make_engine: MakeEngine, loaded: list[LoadedModel], keys: tuple[str, str], spy: Spy
) -> None:
    one = direct(loaded[0], photo(0)).nbytes
    engine = make_engine(cache_bytes=2 * one + one // 2)
    for seed in range(4):
        traces(engine, [photo(seed)], keys[0])
    assert engine._worker._cache.nbytes == 2 * one
    traces(engine, [photo(3)], keys[0])
    assert len(spy.batches) == 4
    traces(engine, [photo(0)], keys[0])
    assert len(spy.batches) == 5


def test_results_are_right_without_room_for_any(
    make_engine: MakeEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    engine = make_engine(cache_bytes=0)
    assert_equal(traces(engine, [photo(1)], keys[0])[0], direct(loaded[0], photo(1)))
    assert engine._worker._cache.nbytes == 0


def test_a_cached_result_is_not_written_again(engine: LocalEngine, keys: tuple[str, str]) -> None:
    first = traces(engine, [photo(0)], keys[0])[0]
    before = trace_digest(first)
    compare(engine, [photo(seed) for seed in range(1, 20)], keys)
    assert trace_digest(first) == before


# --- the queue ----------------------------------------------------------------------------------------------------


def test_a_full_queue_is_one_clear_sentence(
    make_engine: MakeEngine, keys: tuple[str, str], spy: Spy, hold: Callable[[LocalEngine, str], None]
) -> None:
    engine = make_engine(queue_size=3)
    hold(engine, keys[0])
    with pytest.raises(BusyError, match="3 requests are waiting") as raised:
        traces(engine, [photo(seed) for seed in range(4)], keys[0])
    assert_one_sentence(str(raised.value))


def test_after_a_full_queue_the_engine_still_answers(
    make_engine: MakeEngine,
    loaded: list[LoadedModel],
    keys: tuple[str, str],
    spy: Spy,
    hold: Callable[[LocalEngine, str], None],
) -> None:
    engine = make_engine(queue_size=2)
    hold(engine, keys[0])
    with pytest.raises(ExplorerError):
        traces(engine, [photo(seed) for seed in range(4)], keys[0])
    spy.gate.set()
    until(lambda: not engine._worker._pending)
    assert_equal(traces(engine, [photo(3)], keys[0])[0], direct(loaded[0], photo(3)))


def test_a_full_queue_still_answers_from_the_cache(
    make_engine: MakeEngine, keys: tuple[str, str], spy: Spy, hold: Callable[[LocalEngine, str], None]
) -> None:
    engine = make_engine(queue_size=1)
    known = traces(engine, [photo(1)], keys[0])[0]
    spy.entered.clear()
    hold(engine, keys[0])
    with pytest.raises(ExplorerError):
        traces(engine, [photo(2), photo(3)], keys[0])
    assert traces(engine, [photo(1)], keys[0])[0] is known


def test_a_probe_is_a_pass_whenever_it_is_asked_for(make_engine: MakeEngine, loaded: list[LoadedModel]) -> None:
    engine, key, passes = make_engine(), loaded[0].card.key, []
    hook = loaded[0].module.register_forward_hook(lambda *_: passes.append(1))
    for _ in range(2):
        (finite,) = ask(engine, ProbeJob(), [photo(1)], key)
        assert bool(finite)
    hook.remove()
    assert len(passes) == 2
    assert engine._worker._cache.nbytes == 0
    with torch.no_grad():
        loaded[0].module.head.bias[1] = float("nan")
    (finite,) = ask(engine, ProbeJob(), [photo(1)], key)
    assert not bool(finite)


# --- failures -----------------------------------------------------------------------------------------------------


def no_room_above(largest: int) -> Callable[[Tensor], None]:
    def fail(images: Tensor) -> None:
        if len(images) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    return fail


def ask_together(
    engine: LocalEngine, key: str, images: list[ImageInput], spy: Spy, hold: Callable[[LocalEngine, str], None]
) -> list[Trace]:
    """Asks for images that reach the worker in one batch."""
    hold(engine, key)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(traces, engine, images, key)
        until(lambda: len(engine._worker._queue) == len(images))
        spy.gate.set()
        return answer.result(30)


def test_on_a_cpu_each_picture_has_a_pass_of_its_own(
    loaded: list[LoadedModel], keys: tuple[str, str], spy: Spy
) -> None:
    """Several share one only where they are asked for as one batch."""
    engine = LocalEngine(loaded, CPU, lanes=1)
    traces(engine, [photo(seed) for seed in range(3)], keys[0])
    engine.close()
    assert spy.batches == [1, 1, 1]


def test_out_of_memory_halves_the_batch(
    engine: LocalEngine,
    loaded: list[LoadedModel],
    keys: tuple[str, str],
    spy: Spy,
    hold: Callable[[LocalEngine, str], None],
) -> None:
    spy.fail = no_room_above(2)
    images = [photo(seed) for seed in range(7)]
    answers = ask_together(engine, keys[0], images, spy, hold)
    assert spy.batches == [1, 7, 3, 1, 2, 4, 2, 2]
    for image, answer in zip(images, answers, strict=True):
        assert_equal(answer, direct(loaded[0], image))


def test_the_halves_run_after_the_failed_batch_let_go_of_its_memory(
    engine: LocalEngine, keys: tuple[str, str], spy: Spy, hold: Callable[[LocalEngine, str], None]
) -> None:
    """A device that is full stays full while the error's traceback holds the tensors of the pass that failed."""
    held: list[weakref.ref[Tensor]] = []
    alive_at_retry: list[bool] = []

    def fail(images: Tensor) -> None:
        alive_at_retry.extend(reference() is not None for reference in held)
        if len(images) > 2:
            partial = torch.zeros(8)
            held.append(weakref.ref(partial))
            raise torch.OutOfMemoryError("CUDA out of memory.")

    spy.fail = fail
    ask_together(engine, keys[0], [photo(seed) for seed in range(4)], spy, hold)
    assert alive_at_retry == [False, False]


def test_no_room_for_one_image_is_one_sentence(engine: LocalEngine, keys: tuple[str, str], spy: Spy) -> None:
    spy.fail = no_room_above(0)
    with pytest.raises(ExplorerError, match=r"Tiny needs at least .* MiB for one image") as raised:
        traces(engine, [photo(1)], keys[0])
    assert_one_sentence(str(raised.value))


def test_after_out_of_memory_the_engine_still_works(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str], spy: Spy
) -> None:
    spy.fail = no_room_above(0)
    for key in keys:
        with pytest.raises(ExplorerError):
            traces(engine, [photo(1)], key)
    spy.fail = no_room_above(8)
    assert_equal(compare(engine, [photo(1)], keys)[0].twicing, direct(loaded[1], photo(1)))


def test_an_exception_reaches_who_asked_and_the_worker_lives_on(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str], spy: Spy
) -> None:
    def fail(images: Tensor) -> None:
        raise RuntimeError("something broke")

    spy.fail = fail
    with pytest.raises(ExplorerError, match="could not be computed") as raised:
        traces(engine, [photo(1)], keys[0])
    assert "something broke" in str(raised.value.__cause__)
    spy.fail = no_room_above(8)
    assert_equal(traces(engine, [photo(1)], keys[0])[0], direct(loaded[0], photo(1)))


def test_a_failure_is_not_cached(engine: LocalEngine, keys: tuple[str, str], spy: Spy) -> None:
    spy.fail = no_room_above(0)
    with pytest.raises(ExplorerError):
        traces(engine, [photo(1)], keys[0])
    assert (len(engine._worker._cache), len(engine._worker._pending)) == (0, 0)


# --- swapped operators --------------------------------------------------------------------------------------------


def test_a_swapped_model_is_a_declared_counterfactual(engine: LocalEngine, keys: tuple[str, str]) -> None:
    card = engine.swapped(keys[0], TWICING)
    assert card.is_counterfactual
    assert (card.filter, card.trained_filter) == (TWICING, STANDARD)


def test_a_swapped_model_shares_its_weights_memory(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    swapped = engine._models[engine.swapped(keys[0], TWICING).key].module
    original = dict(loaded[0].module.named_parameters())
    assert all(original[name].data_ptr() == p.data_ptr() for name, p in swapped.named_parameters())


def test_swapping_leaves_the_trained_model_alone(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    before = trace_digest(direct(loaded[0], photo(1)))
    traces(engine, [photo(1)], engine.swapped(keys[0], TWICING).key)
    assert trace_digest(direct(loaded[0], photo(1))) == before


def test_swapping_back_gives_the_trained_card(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str]
) -> None:
    swapped = engine.swapped(keys[0], TWICING)
    back = engine.swapped(swapped.key, STANDARD)
    assert back == loaded[0].card
    assert not back.is_counterfactual


def test_a_trace_under_another_filter_is_that_of_the_swapped_model(engine: LocalEngine, keys: tuple[str, str]) -> None:
    passing = ask(engine, DialJob(TWICING), [photo(1)], keys[0])[0]
    assert not any(model.card.is_counterfactual for model in engine._models.values())
    (kept,) = traces(engine, [photo(1)], engine.swapped(keys[0], TWICING).key)
    assert passing is kept  # remembered under the same key
    assert trace_digest(passing) != trace_digest(traces(engine, [photo(1)], keys[0])[0])


def test_swapped_models_are_not_among_the_cards(engine: LocalEngine, keys: tuple[str, str]) -> None:
    engine.swapped(keys[0], TWICING)
    assert [card.key for card in engine.cards] == list(keys)


def test_a_filter_of_the_wrong_length_is_one_sentence(engine: LocalEngine, keys: tuple[str, str]) -> None:
    with pytest.raises(ExplorerError, match="each of the 2 blocks; 3 came") as raised:
        engine.swapped(keys[0], quadratics(2.0, 2.0, 2.0))
    assert_one_sentence(str(raised.value))


# --- two lanes ----------------------------------------------------------------------------------------------------


def test_both_models_are_computed_at_once_on_half_of_the_threads_each(
    make_engine: MakeEngine, keys: tuple[str, str], spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    both = Barrier(2, timeout=30)  # breaks unless both models' passes are under way at the same time
    spy.fail = lambda images: both.wait()
    compare(make_engine(lanes=2), [photo(0)], keys)
    assert spy.batches == [1, 1]
    until(lambda: len(given) == 4)
    assert given == [8, 4, 8, 8]


def test_a_number_of_threads_that_was_set_stays(make_engine: MakeEngine, keys: tuple[str, str]) -> None:
    """A lane that once ran on more threads does not bring them back."""
    engine = make_engine()
    try:
        torch.set_num_threads(2)
        traces(engine, [photo(0)], keys[0])
        torch.set_num_threads(1)
        traces(engine, [photo(1)], keys[0])
        assert threads_to_come() == 1
    finally:
        torch.set_num_threads(1)


def test_a_number_of_threads_that_is_set_during_a_pass_stays(
    make_engine: MakeEngine, keys: tuple[str, str], spy: Spy, hold: Callable[[LocalEngine, str], None]
) -> None:
    """As where models that are being loaded have one thread, and give the others back while a pass runs."""
    engine = make_engine()
    try:
        hold(engine, keys[0])
        torch.set_num_threads(2)
        spy.gate.set()
        traces(engine, [photo(1)], keys[0])
        assert threads_to_come() == 2
    finally:
        torch.set_num_threads(1)


def threads_to_come() -> int:
    """Torch's number for a thread that begins now."""
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(torch.get_num_threads).result()


def test_two_lanes_give_what_one_gives(make_engine: MakeEngine, keys: tuple[str, str]) -> None:
    pictures = [photo(number) for number in range(12)]
    one, two = (compare(make_engine(lanes=lanes, batch_size=4), pictures, keys) for lanes in (1, 2))
    for left, right in zip(one, two, strict=True):
        assert_equal(left.baseline, right.baseline)
        assert_equal(left.twicing, right.twicing)


# --- the end ------------------------------------------------------------------------------------------------------


def test_close_ends_the_worker(loaded: list[LoadedModel]) -> None:
    engine = LocalEngine(loaded, CPU)
    lanes = engine._worker._lanes
    assert len(lanes) == 2
    assert all(lane.is_alive() for lane in lanes)
    engine.close()
    assert not any(lane.is_alive() for lane in lanes)


def test_close_answers_what_was_queued(
    make_engine: MakeEngine, keys: tuple[str, str], spy: Spy, hold: Callable[[LocalEngine, str], None]
) -> None:
    engine = make_engine()
    hold(engine, keys[0])
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(traces, engine, [photo(seed) for seed in range(3)], keys[0])
        until(lambda: len(engine._worker._queue) == 3)
        closing = pool.submit(engine.close)
        until(lambda: engine._worker._closed)
        spy.gate.set()
        closing.result(30)
        assert len(asked.result(30)) == 3


def test_a_closed_engine_refuses_at_once(
    make_engine: MakeEngine, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to answer: waiting for the time limit would help no one."""
    monkeypatch.setattr(serving, "_WAIT_SECONDS", 0.2)
    engine = make_engine()
    engine.close()
    with pytest.raises(ExplorerError):
        traces(engine, [photo(1)], keys[0])


def test_an_answer_that_takes_too_long_is_one_sentence(
    engine: LocalEngine,
    keys: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    hold: Callable[[LocalEngine, str], None],
) -> None:
    monkeypatch.setattr(serving, "_WAIT_SECONDS", 0.05)
    hold(engine, keys[0])
    with pytest.raises(ExplorerError) as raised:
        traces(engine, [photo(1)], keys[0])
    assert_one_sentence(str(raised.value))


@pytest.mark.parametrize("lanes", [1, 2])
def test_what_ends_threads_ends_no_lane_and_who_waits_hears_of_it(
    make_engine: MakeEngine, loaded: list[LoadedModel], keys: tuple[str, str], spy: Spy, lanes: int
) -> None:
    engine = make_engine(lanes=lanes)

    def end(images: Tensor) -> None:
        raise SystemExit

    spy.fail = end
    for seed in range(2 * lanes):
        started = monotonic()
        with pytest.raises(ExplorerError, match="log says why") as raised:
            traces(engine, [photo(seed)], keys[0])
        assert monotonic() - started < 10
        assert_one_sentence(str(raised.value))
    spy.fail = lambda images: None
    assert_equal(traces(engine, [photo(0)], keys[0])[0], direct(loaded[0], photo(0)))


def test_an_error_between_two_batches_ends_no_lane(
    engine: LocalEngine, loaded: list[LoadedModel], keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, real, errors = engine._worker, engine._worker._next_batch, []

    def breaks() -> object:
        batch = real()
        if not errors:
            errors.append(1)
            worker._queue.extend(batch)
            raise RuntimeError("a queue that breaks")
        return batch

    traces(engine, [photo(1)], keys[0])
    monkeypatch.setattr(worker, "_next_batch", breaks)
    for seed in (2, 3):  # the lane already waits in the real one
        assert_equal(traces(engine, [photo(seed)], keys[0])[0], direct(loaded[0], photo(seed)))
    assert errors


def test_an_answer_of_the_wrong_length_is_told(
    engine: LocalEngine, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "trace", lambda *_: [])
    with pytest.raises(ExplorerError, match="log says why"):
        traces(engine, [photo(1)], keys[0])
    monkeypatch.undo()
    assert traces(engine, [photo(1)], keys[0])


# --- other sizes of the input ----------------------------------------------------------------------------------------


def test_another_size_shares_an_engine_and_goes_with_its_model(
    loaded: list[LoadedModel], make_engine: MakeEngine
) -> None:
    engine = make_engine()
    key, other = (model.card.key for model in loaded)
    larger = engine.resized(key, 48)
    assert engine.resized(key, 48) is larger
    assert engine.resized(engine.swapped(key, TWICING).key, 48).is_counterfactual
    assert engine.resized(key, 32) == loaded[0].card
    assert (engine.grid(key, 48), engine.grid(larger.key, 32)) == ((6, 6), (4, 4))
    assert [card.key for card in engine.cards] == [key, other]
    small, large = (ask(engine, TraceJob(), [photo(1)], each)[0] for each in (key, larger.key))
    assert (small.grid, large.grid) == ((4, 4), (6, 6))
    with engine.held([larger.key]):
        engine.remove(key)
        assert ask(engine, TraceJob(), [photo(2)], larger.key)[0].grid == (6, 6)
    with pytest.raises(ExplorerError, match="not loaded any more"):
        engine.size(larger.key)


def test_a_size_that_a_model_cannot_take_is_refused_and_nothing_stays(
    loaded: list[LoadedModel], make_engine: MakeEngine
) -> None:
    engine = make_engine()
    with pytest.raises(ExplorerError, match="whole patches"):
        engine.resized(loaded[0].card.key, 33)
    assert list(engine._models) == [model.card.key for model in loaded]


def test_the_last_two_results_that_fill_the_cache_are_kept_beside_it(
    loaded: list[LoadedModel], make_engine: MakeEngine
) -> None:
    """A pair at a fine grid: a page asks for both traces at every click."""
    key, size = loaded[0].card.key, geometry(loaded[0].module).nbytes

    def traced(engine: LocalEngine, seed: int) -> Trace:
        return ask(engine, TraceJob(), [photo(seed)], key)[0]

    engine = make_engine(cache_bytes=size * 3 // 4)
    first, second, third = (traced(engine, seed) for seed in (1, 2, 3))
    assert traced(engine, 2) is second
    assert traced(engine, 3) is third
    assert traced(engine, 1) is not first
    engine = make_engine(cache_bytes=size // 3)  # larger still: not kept
    assert traced(engine, 1) is not traced(engine, 1)
