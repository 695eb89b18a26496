"""Long work as a generator: whoever runs it may draw what there is so far, or stop asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Interim(Generic[Result]):
    """How much of the work is done, and what it has given so far."""

    done: int
    total: int
    doing: str
    """What is being done, for people."""
    result: Result

    @property
    def share(self) -> float:
        return self.done / self.total
