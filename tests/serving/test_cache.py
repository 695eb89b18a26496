"""The byte-bounded cache: what stays, what goes, and what it counts."""

from dataclasses import dataclass
from random import Random
from threading import Thread

from explorer.serving.cache import ByteLRU


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
