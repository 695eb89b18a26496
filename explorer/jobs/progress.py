"""How far work is in the parts of a whole."""

from __future__ import annotations

from collections.abc import Callable

from explorer.types import WAITING, Progress


def parts(progress: Progress, count: int) -> Callable[[int], Progress]:
    """The progress of each of `count` equal parts, out of that of the whole, in thousandths."""

    def part(index: int) -> Progress:
        def tell(done: int, total: int) -> None:
            if (done, total) == WAITING:
                progress(*WAITING)
            else:
                share = done / total if total else 0.0
                progress(round(1000 * (index + share)), 1000 * count)

        return tell

    return part
