"""An operator in a run of blocks, as people write it and as sliders turn it: `neutreno=0.4@2-12`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from explorer.paper import operators
from explorer.types import Operator, Operators


@dataclass(frozen=True)
class Placed:
    """An operator in blocks `first` to `last` of `depth`, from 1; in the others stands the standard one."""

    operator: Operator
    """`quadratic` keeps its name where its number makes it standard or twicing."""
    first: int
    last: int
    depth: int

    def __str__(self) -> str:
        everywhere = self.last - self.first + 1 == self.depth
        return str(self.operator) if everywhere else f"{self.operator}@{self.first}-{self.last}"

    @property
    def operators(self) -> Operators:
        return operators.in_blocks(str(self), self.depth)


def placed(text: str, depth: int) -> Placed | None:
    """What a text such as `operators.in_blocks` reads says; None where it names one for each block.

    Raises `ExplorerError` as that does.
    """
    filter = operators.in_blocks(text, depth)
    word, _, blocks = text.strip().partition("@")
    if "," in word:
        return None
    ends = [int(end) for end in blocks.split("-")] if blocks else [1, depth]
    operator = filter[ends[0] - 1]
    if "quadratic" in word:
        numbers = {"standard": 1.0, "twicing": 2.0}
        operator = replace(operator, filter="quadratic", parameter=numbers.get(operator.filter, operator.parameter))
    return Placed(operator, ends[0], ends[-1], depth)
