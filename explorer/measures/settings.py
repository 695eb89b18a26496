"""What may be chosen of a measure; without torch, for the commands whose options these are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from explorer.settings import Option, setting


class Matrix(Option):
    """The matrix whose row is shown."""

    EFFECTIVE = "effective"
    """`p_a(A)`: what this block really applies to `V`."""
    ATTENTION = "a", "A"
    CORRECTION = "a-a2", "A − A²"
    """What twicing adds, or would add, to `A`."""
    TWICING = "2a-a2", "2A − A²"
    ROLLOUT = "rollout"


ROUNDING = 1e-5
"""A modulus counts as outside the unit disc beyond this: eigenvalues are computed in float64, but the rows of a traced
`A` sum to 1 in float32 only, which moves the eigenvalue 1 by about 1e-6."""
TOKEN = re.compile(r"cls|distillation|register-[1-9][0-9]{0,2}")
"""What settings and links call a prefix token."""


class Quantity(Option):
    """What is measured of the smoothed residual."""

    SMOOTHED_RESIDUAL = "smoothed-residual", "‖A(V − AV)‖"
    SMOOTHED = "smoothed", "‖AV‖"
    RATIO = "ratio"
    """The one over the other."""


@dataclass(frozen=True)
class Definition:
    """Which of the definitions in use is meant; the paper's Fig. 2 and 8 leave it open."""

    with_prefix: bool = setting(False, "count CLS and other prefix tokens too", flag="with-cls")
    absolute: bool = setting(False, "mean of |cos| instead of the signed cosine")
    with_diagonal: bool = setting(False, "count each token's cosine with itself, which is 1")

    def pairs(self) -> str:
        """What is averaged over what, in words."""
        value = "absolute cosine" if self.absolute else "cosine"
        tokens = "all tokens" if self.with_prefix else "patch tokens"
        pairs = "all pairs, i = j included" if self.with_diagonal else "pairs i ≠ j"
        return f"mean {value} of {tokens} over {pairs}"

    def sentence(self) -> str:
        """The definition in words, for beside the curve of the tokens."""
        words = self.pairs()
        return f"{words[0].upper()}{words[1:]}, after each block (0 is the embedding)."


class Queries(Option):
    """Whose rows of attention count."""

    ALL = "all tokens", "all"
    FIRST = "the first token", "first token"
    """CLS, where the model has one."""
