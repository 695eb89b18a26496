"""Damaged and swollen image files, through the processes that decode for visitors."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench.common import Row
from bench.soak import case
from explorer.pictures.images import ImageError
from explorer.pictures.isolated import BROKEN, IsolatedDecoder
from tests.pictures.test_images_mutated import mutated
from tests.pictures.test_layout import MILLIONS

MUTATED = 2000


@case("pictures")
def damaged_and_swollen() -> list[Row]:
    """Thousands of damaged files, then files of millions of parts."""
    longest, broken = _decoded(mutated(number)[1] for number in range(MUTATED))
    swollen, more = _decoded(make() for make, _ in MILLIONS.values())
    return [
        Row(f"{MUTATED:,} damaged images: longest", round(longest, 2), "s", 5.0),
        Row(f"{len(MILLIONS)} images of a million parts or more: longest", round(swollen, 2), "s", 5.0),
        Row("damaged and swollen images: decoders that broke", broken + more, "", 0),
    ]


def _decoded(files: Iterable[bytes]) -> tuple[float, int]:
    """Seconds of the slowest, and how many broke the decoder."""
    decoder, longest, broken = IsolatedDecoder(1), 0.0, 0
    decoder.start()
    for data in files:
        begun = time.perf_counter()
        try:
            decoder.decode(data)
        except ImageError as error:
            broken += str(error) == BROKEN
        longest = max(longest, time.perf_counter() - begun)
    return longest, broken
