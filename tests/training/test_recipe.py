"""The schedule as numbers, and operators by their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.training.recipe import Augmentation, Decay, Recipe, operators
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence, quadratics

RECIPE = Recipe("any", sizes=((0.0, 112), (1.5, 160), (3.0, 224)), batch_size=10, lr=1.0, warmup_steps=4)


@pytest.mark.parametrize(("step", "size"), [(0, 112), (14, 112), (15, 160), (29, 160), (30, 224), (1000, 224)])
def test_sizes_begin_at_fractions_of_an_epoch(step: int, size: int) -> None:
    assert RECIPE.size(step, 100) == size


@pytest.mark.parametrize("sizes", [(), ((1.0, 112),), ((0.0, 112), (0.0, 160)), ((0.0, 112), (2.0, 160), (1.0, 224))])
def test_sizes_out_of_order_are_refused(sizes: tuple[tuple[float, int], ...]) -> None:
    with pytest.raises(ExplorerError) as caught:
        Recipe("any", sizes=sizes)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": ((0.0, 100_000),)},
        {"sizes": ((0.0, 112), (1.0, -5))},
        {"warmup_steps": 10**9},
        {"operator_warmup": -1},
        {"probe": 0},
        {"seed": -1},
        {"lr": float("nan")},
        {"layer_decay": 1.5},
        {"ema_decay": 2.0},
        {"drop_path": -0.1},
    ],
)
def test_numbers_beyond_any_run_are_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(ExplorerError) as caught:
        Recipe("any", **changes)  # type: ignore[arg-type]
    assert_one_sentence(str(caught.value))
    assert str(caught.value).startswith(f"{next(iter(changes))}: ")


@pytest.mark.parametrize(("steps", "size"), [(10**9, 224), (0, 224), (10, 100_000), (10, -5)])
def test_a_decay_beyond_any_run_is_refused(steps: int, size: int) -> None:
    with pytest.raises(ExplorerError) as caught:
        Decay(0, steps, size)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("changes", [{"scale": (0.0, 1.0)}, {"scale": (1.5, 1.0)}, {"erase": 2.0}, {"rotation": 1e9}])
def test_an_augmentation_that_is_none_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ExplorerError) as caught:
        Augmentation(**changes)  # type: ignore[arg-type]
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("batch_size", [0, 1, 3, 10**9])
def test_batches_that_cannot_be_paired_are_refused(batch_size: int) -> None:
    with pytest.raises(ExplorerError, match="even batch"):
        Recipe("any", batch_size=batch_size)


def test_the_rate_rises_stays_and_falls_to_nearly_nothing() -> None:
    assert [RECIPE.rate(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    decay = Decay(at=10, steps=5, size=224)
    assert [RECIPE.rate(step, decay) for step in range(10, 15)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_the_rate_rises_again_from_where_weights_were_kept() -> None:
    assert [RECIPE.rate(step, since=100, warmup=2) for step in (100, 101, 102)] == [0.5, 1.0, 1.0]


@given(st.integers(0, 10**6), st.integers(1, 10**4))
def test_a_decay_begins_at_the_constant_rate(at: int, steps: int) -> None:
    recipe = Recipe("any", warmup_steps=0)
    decay = Decay(at, steps, 224)
    rates = [recipe.rate(step, decay) for step in (at, decay.end - 1)]
    assert rates == pytest.approx([recipe.lr, recipe.lr / steps])


def test_the_operator_goes_from_standard_to_the_declared_one() -> None:
    recipe = Recipe("any", operator_warmup=4)
    filters = [recipe.operator(quadratics(1.0, 2.0, 1.5), step) for step in (0, 1, 2, 4, 400)]
    assert filters == [
        quadratics(1.0, 1.0, 1.0),
        quadratics(1.0, 1.25, 1.125),
        quadratics(1.0, 1.5, 1.25),
        quadratics(1.0, 2.0, 1.5),
        quadratics(1.0, 2.0, 1.5),
    ]


def test_without_a_warm_up_the_operator_is_the_declared_one() -> None:
    assert Recipe("any").operator(quadratics(1.0, 2.0), 0) == quadratics(1.0, 2.0)


def test_the_average_forgets_within_a_fifth_of_a_decay() -> None:
    assert RECIPE.average() == 0.995
    assert RECIPE.average(Decay(0, 50, 224)) == 0.9
    assert RECIPE.average(Decay(0, 10_000, 224)) == 0.995
    assert RECIPE.average(Decay(0, 2, 224)) == 0.0


def test_operators_by_name() -> None:
    assert operators("standard,twicing,twicing@2-3", 3) == {
        "standard": quadratics(1.0, 1.0, 1.0),
        "twicing": quadratics(2.0, 2.0, 2.0),
        "twicing-2-3": quadratics(1.0, 2.0, 2.0),
    }


@pytest.mark.parametrize(
    "text", ["", "twice", "standard@1-2", "twicing@3", "twicing@1-4", "twicing@0-1", "twicing,twicing", "standard,"]
)
def test_other_operators_are_refused(text: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        operators(text, 3)
    assert_one_sentence(str(caught.value))
