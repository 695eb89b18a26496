"""Pictures wait for each other, so that what is decoded at once stays within a number of pixels."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from explorer.pictures import budget, images
from explorer.pictures.budget import PixelBudget


class InFlight:
    """Counts what is inside a block at once, and remembers the most."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def pass_through(self, amount: int = 1) -> None:
        with self._lock:
            self.now += amount
            self.most = max(self.most, self.now)
        time.sleep(0.03)
        with self._lock:
            self.now -= amount


@pytest.mark.parametrize(
    ("pixels", "pictures", "each", "most"),
    [(100, 8, 40, 2), (100, 3, 1, 3), (100, 8, 100, 1), (100, 8, 500, 1)],
)
def test_as_many_at_once_as_fit(pixels: int, pictures: int, each: int, most: int) -> None:
    shared, inside = PixelBudget(pixels, pictures), InFlight()

    def take(_: int) -> None:
        with shared.taken(each):
            inside.pass_through()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert inside.most == most
    assert inside.now == 0


def test_small_pictures_do_not_overtake_a_large_one_for_ever() -> None:
    shared, order, began = PixelBudget(100, 8), [], threading.Event()

    def take(name: str, pixels: int, seconds: float) -> None:
        with shared.taken(pixels):
            order.append(name)
            began.set()
            time.sleep(seconds)

    threads = [threading.Thread(target=take, args=("first", 50, 0.2))]
    threads[0].start()
    began.wait()
    for name, pixels in (("large", 90), ("small", 20)):
        threads.append(threading.Thread(target=take, args=(name, pixels, 0.0)))
        threads[-1].start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert order == ["first", "large", "small"]


def test_what_fails_gives_its_pixels_back() -> None:
    shared = PixelBudget(10, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), shared.taken(10):
            _ = 1 // 0
    with shared.taken(10):
        pass


def test_the_largest_pictures_are_decoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six visitors with a WebP of a few bytes for 40 megapixels each took 4 GB at once."""
    out = io.BytesIO()
    Image.new("1", (8000, 5000)).save(out, "TIFF", compression="group4")
    inside = InFlight()

    def decoded(image: Image.Image) -> Any:
        inside.pass_through(image.width * image.height)
        return np.zeros((4, 4, 3), np.uint8), ()

    monkeypatch.setattr(images, "_decoded", decoded)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(images.decode, [out.getvalue()] * 6))
    assert 0 < inside.most <= budget.PIXELS
    assert images.MAX_PIXELS <= budget.PIXELS
