"""The byte-bounded cache: what stays, what goes, and what it counts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from threading import Barrier, Event, Thread
from time import sleep

import pytest

from explorer.serving.cache import ByteLRU
from explorer.types import WAITING


@dataclass(frozen=True)
class Block:
    nbytes: int


def test_an_unknown_key_is_none():
    assert ByteLRU(10).get("a") is None


def test_a_kept_value_is_the_same_object():
    cache, block = ByteLRU(10), Block(3)
    cache.put("a", block)
    assert cache.get("a") is block


def test_bytes_are_counted():
    cache = ByteLRU(10)
    cache.put("a", Block(3))
    cache.put("b", Block(4))
    assert (cache.nbytes, len(cache)) == (7, 2)


def test_a_full_cache_is_not_over_its_bound():
    cache = ByteLRU(10)
    for key in "abc":
        cache.put(key, Block(5))
    assert (cache.nbytes, len(cache)) == (10, 2)


def test_the_oldest_goes_first():
    cache = ByteLRU(10)
    for key in "abc":
        cache.put(key, Block(5))
    assert [cache.get(key) is None for key in "abc"] == [True, False, False]


def test_using_a_value_makes_it_recent():
    cache = ByteLRU(10)
    cache.put("a", Block(5))
    cache.put("b", Block(5))
    cache.get("a")
    cache.put("c", Block(5))
    assert [cache.get(key) is None for key in "abc"] == [False, True, False]


def test_putting_a_value_again_makes_it_recent():
    cache = ByteLRU(10)
    cache.put("a", Block(5))
    cache.put("b", Block(5))
    cache.put("a", Block(5))
    cache.put("c", Block(5))
    assert [cache.get(key) is None for key in "abc"] == [False, True, False]


def test_one_large_value_may_push_out_several():
    cache = ByteLRU(10)
    for key in "abcde":
        cache.put(key, Block(2))
    cache.put("large", Block(7))
    assert [cache.get(key) is None for key in "abcde"] == [True, True, True, True, False]
    assert cache.nbytes == 9


def test_replacing_counts_the_new_value_only():
    cache = ByteLRU(10)
    cache.put("a", Block(8))
    cache.put("a", Block(3))
    assert cache.get("a") == Block(3)
    assert (cache.nbytes, len(cache)) == (3, 1)


def test_a_value_as_large_as_the_cache_is_kept():
    cache = ByteLRU(10)
    cache.put("a", Block(10))
    assert cache.get("a") == Block(10)


def test_a_too_large_value_is_not_kept_and_pushes_nothing_out():
    cache = ByteLRU(10)
    cache.put("a", Block(5))
    cache.put("b", Block(11))
    assert cache.get("b") is None
    assert cache.get("a") == Block(5)
    assert cache.nbytes == 5


def test_a_too_large_value_does_not_leave_the_one_it_replaces():
    cache = ByteLRU(10)
    cache.put("a", Block(5))
    cache.put("a", Block(11))
    assert cache.get("a") is None
    assert (cache.nbytes, len(cache)) == (0, 0)


def test_many_threads_leave_a_consistent_count():
    cache: ByteLRU[int, Block] = ByteLRU(100)
    over = []

    def work(seed: int) -> None:
        random = Random(seed)
        for _ in range(2000):
            key = random.randrange(40)
            if cache.get(key) is None:
                cache.put(key, Block(random.randint(1, 30)))
            if len(cache) > 100:
                over.append(len(cache))

    threads = [Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [value for key in range(40) if (value := cache.get(key)) is not None]
    assert sum(value.nbytes for value in kept) == cache.nbytes <= 100
    assert len(kept) == len(cache)
    assert not over


# --- many who ask at once -----------------------------------------------------------------------------------------


def asked_at_once(ask: Callable[[int], object], count: int = 8) -> list[object]:
    """What so many threads get that ask in the same moment; an exception in place of a value where one was raised."""
    together = Barrier(count)

    def one_thread(number: int) -> object:
        together.wait(5)
        try:
            return ask(number)
        except RuntimeError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one_thread, range(count)))


@pytest.mark.parametrize("capacity", [10, 2])
def test_what_many_ask_for_at_once_is_made_once(capacity: int):
    """Whether or not there is room to keep it."""
    cache, calls, waiting = ByteLRU(capacity), [], []

    def make() -> Block:
        calls.append(1)
        sleep(0.3)
        return Block(3)

    values = asked_at_once(lambda number: cache.get_or_make("a", make, lambda *progress: waiting.append(progress)))
    assert len(calls) == 1
    assert len({id(value) for value in values}) == 1
    assert set(waiting) == {WAITING}
    assert len(cache) == (capacity == 10)


def test_other_keys_do_not_wait():
    cache, entered = ByteLRU(10), Barrier(2)

    def make() -> Block:
        entered.wait(5)  # broken, were one made after the other
        return Block(1)

    assert all(isinstance(value, Block) for value in asked_at_once(lambda number: cache.get_or_make(number, make), 2))


def test_when_one_fails_the_next_makes_it():
    cache, calls = ByteLRU(10), []

    def make() -> Block:
        calls.append(1)
        sleep(0.05)
        if len(calls) == 1:
            raise RuntimeError
        return Block(1)

    values = asked_at_once(lambda number: cache.get_or_make("a", make))
    assert [type(value) for value in values].count(RuntimeError) == 1
    assert len(calls) == 2


def test_who_waits_may_leave():
    cache, begun, done = ByteLRU(10), Event(), Event()

    def make() -> Block:
        begun.set()
        done.wait(5)
        return Block(1)

    def leave(*_: int) -> None:
        raise RuntimeError("left")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get_or_make, "a", make)
        begun.wait(5)
        with pytest.raises(RuntimeError, match="left"):
            cache.get_or_make("a", make, leave)
        done.set()
        assert first.result(5) is cache.get("a")
