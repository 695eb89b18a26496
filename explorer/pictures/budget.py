"""How many pixels a process decodes at once: a file of 34 bytes may stand for 40 megapixels, up to 17 bytes each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PIXELS = 48_000_000
"""The largest picture that is decoded, and two photographs of a phone beside it: at most 800 MiB while it lasts."""
PICTURES = 4


class PixelBudget:
    """Pictures wait until they fit; one that is larger than the whole budget has it alone."""

    def __init__(self, pixels: int, pictures: int) -> None:
        self._limits = pixels, pictures
        self._pixels = self._pictures = 0
        self._turn = threading.Lock()
        """Held by whoever waits next, so that small pictures do not overtake a large one for ever."""
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """So many pixels of the budget while the block runs."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._fits(pixels))
            self._add(pixels, 1)
        try:
            yield
        finally:
            with self._changed:
                self._add(-pixels, -1)
                self._changed.notify_all()

    def _fits(self, pixels: int) -> bool:
        most, pictures = self._limits
        return not self._pictures or (self._pictures < pictures and self._pixels + pixels <= most)

    def _add(self, pixels: int, pictures: int) -> None:
        self._pixels += pixels
        self._pictures += pictures


BUDGET = PixelBudget(PIXELS, PICTURES)
"""Of this process."""
