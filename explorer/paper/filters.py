"""What an operator makes of `A`: a polynomial `E` for the block's own values, and for some `E_0` for the first block's.

`U = E V + E_0 V^1`. Every filter here is a polynomial in `A` with, in some, a multiple of the mean `J = 11^T / N`; so
one record holds them all, and whoever needs rows, products, matrices or eigenvalues of one takes them from it. Adding a
filter is a row of `FILTERS` and its function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

Matrix = Float[Tensor, "... query key"]
Rows = Float[Tensor, "... row key"]
Values = Float[Tensor, "... token channel"]
Eigenvalues = Complex[Tensor, "... token"] | Float[Tensor, "... token"]
Smooth = Callable[[Values], Values]
"""What makes `A X` of `X`, with or without `A` as a matrix."""


@dataclass(frozen=True)
class Polynomial:
    """`c_0 I + c_1 A + c_2 A^2 + ... + m J`, with `J = 11^T / N`."""

    powers: tuple[float, ...]
    """`c_0, c_1, ...`; the last is not 0, but where there is no other."""
    mean: float = 0.0
    """`m`."""

    def __str__(self) -> str:
        """In symbols, the highest weight of all first: `2A − A²`, `A − 0.6I`."""
        names = ["I", "A", *(f"A{_SUPERSCRIPTS[k]}" for k in range(2, len(self.powers)))]
        terms = [(w, name) for w, name in zip(self.powers[1:], names[1:], strict=False) if w]
        terms += [(w, name) for w, name in ((self.powers[0], "I"), (self.mean, "J")) if w]
        text = ""
        for weight, name in terms:
            sign = "−" if weight < 0 else "+" if text else ""
            amount = "" if abs(weight) == 1 else f"{abs(weight):g}"
            text += f" {sign} {amount}{name}" if text else f"{sign}{amount}{name}"
        return text or "0"

    @property
    def degree(self) -> int:
        """The highest power of `A`, which is how often `A` is applied."""
        return len(self.powers) - 1

    @property
    def is_attention(self) -> bool:
        """Whether it is `A` itself."""
        return self.powers == (0.0, 1.0) and self.mean == 0.0

    @property
    def is_zero(self) -> bool:
        return not any(self.powers) and self.mean == 0.0

    @property
    def is_nonnegative(self) -> bool:
        """Whether it has no negative entries, whatever `A` is, as long as that has none."""
        return min(*self.powers, self.mean) >= 0.0

    def matrix(self, attention: Matrix) -> Matrix:
        """The matrix; rows sum to `sum_k c_k + m` where those of `A` sum to 1."""
        if self.is_attention:
            return attention
        result = torch.zeros_like(attention) + self.mean / attention.shape[-1]
        result.diagonal(dim1=-2, dim2=-1).add_(self.powers[0])
        power = attention
        for exponent, weight in enumerate(self.powers[1:], start=1):
            power = attention if exponent == 1 else power @ attention
            result += weight * power
        return result

    def rows(self, picks: Rows, attention: Matrix, first: Rows | None = None) -> Rows:
        """`r E` for rows `r`, without forming a power of `A`; `first` is `r A` where it is there already."""
        result = self.powers[0] * picks + self.mean * picks.sum(dim=-1, keepdim=True) / picks.shape[-1]
        lead = np.broadcast_shapes(picks.shape[:-2], attention.shape[:-2])  # torch's own imports sympy
        result = result.expand(*lead, *picks.shape[-2:])
        power = picks
        for exponent, weight in enumerate(self.powers[1:], start=1):
            power = first if exponent == 1 and first is not None else power @ attention
            result = result + weight * power
        return result

    def applied(self, smooth: Smooth, values: Values, steps: tuple[Values, Values] | None = None) -> Values:
        """`E V`, with `A` applied `degree` times; `steps` are `A V` and `A (V - A V)` where they are there already.

        The first two powers are taken as the paper writes them, `(c_1 + c_2) A V - c_2 A (V - A V)`.
        """
        if self.degree == 0:
            smoothed = correction = None
        elif steps is None:
            smoothed = smooth(values)
            correction = smooth(values - smoothed) if self.degree > 1 else None
        else:
            smoothed, correction = steps
        result = None
        if smoothed is not None:
            second = self.powers[2] if self.degree > 1 else 0.0
            result = _times(self.powers[1] + second, smoothed)
            if second and correction is not None:
                result = result - second * correction
            power = smoothed - correction if correction is not None and self.degree > 2 else smoothed
            for weight in self.powers[3:]:
                power = smooth(power)
                result = result + weight * power
        if self.powers[0] or result is None:
            own = self.powers[0] * values
            result = own if result is None else result + own
        return result + self.mean * values.mean(dim=-2, keepdim=True) if self.mean else result

    def eigenvalues(self, of_attention: Eigenvalues) -> Eigenvalues:
        """`p(lambda)` of the eigenvalues of an `A` whose rows sum to 1, in their order (Sec. 3.2).

        `J` moves one of them alone, the 1 that belongs to the constant vector: to `p(1) + m` (Brauer 1952, rank-one
        changes along a right eigenvector). It is the one nearest to 1.
        """
        result = torch.zeros_like(of_attention)
        for weight in reversed(self.powers):
            result = result * of_attention + weight
        if not self.mean:
            return result
        nearest = (of_attention - 1).abs().argmin(dim=-1, keepdim=True)
        return result.scatter_add(-1, nearest, torch.full_like(nearest, 0, dtype=result.dtype) + self.mean)


def _times(weight: float, values: Values) -> Values:
    return values if weight == 1.0 else weight * values


_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
ATTENTION = Polynomial((0.0, 1.0))
NOTHING = Polynomial((0.0,))
Pair = tuple[Polynomial, Polynomial]
"""`E` and `E_0`."""


@dataclass(frozen=True)
class Parameter:
    """The number that a filter takes."""

    symbol: str
    low: float
    high: float
    default: float
    is_whole: bool = False
    is_open: bool = False
    """Whether any finite number is taken, and `low` and `high` are where people look."""

    def takes(self, number: float) -> bool:
        if not math.isfinite(number) or (self.is_whole and number != int(number)):
            return False
        return self.is_open or self.low <= number <= self.high

    def __str__(self) -> str:
        """The numbers that are taken, in words."""
        kind = "a whole number" if self.is_whole else "a finite number" if self.is_open else "a number"
        return f"{kind} {self.symbol}" if self.is_open else f"{kind} {self.symbol} from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class FilterKind:
    """A row of the registry."""

    title: str
    equation: str
    """`U`, as people read it."""
    source: str
    polynomials: Callable[[float, bool], Pair]
    """`E` and `E_0` for a parameter, in the first block or in a later one."""
    parameter: Parameter | None = None
    needs_first_values: bool = False
    """Whether later blocks use the first block's values."""


def _quadratic(a: float, is_first: bool) -> Pair:
    return Polynomial((0.0, a, 1.0 - a) if a != 1.0 else (0.0, 1.0)), NOTHING


def _boosting(rounds: float, is_first: bool) -> Pair:
    """`I - (I - A)^k`, by the binomial theorem."""
    k = int(rounds)
    return Polynomial((0.0, *(float(-math.comb(k, j) * (-1) ** j) for j in range(1, k + 1)))), NOTHING


def _neutreno(alpha: float, is_first: bool) -> Pair:
    return (ATTENTION, NOTHING) if is_first else (Polynomial((-alpha, 1.0)), Polynomial((alpha,)))


def _resformer(_: float, is_first: bool) -> Pair:
    half = Polynomial((0.0, 0.5))
    return (ATTENTION, NOTHING) if is_first else (half, half)


def _svformer(_: float, is_first: bool) -> Pair:
    return (ATTENTION, NOTHING) if is_first else (NOTHING, ATTENTION)


def _centred(_: float, is_first: bool) -> Pair:
    return Polynomial((0.0, 1.0), mean=-1.0), NOTHING


def _attnscale(scale: float, is_first: bool) -> Pair:
    """`J + (1 + lambda)(A - J)`."""
    return Polynomial((0.0, 1.0 + scale), mean=-scale), NOTHING


FILTERS: Mapping[str, FilterKind] = MappingProxyType(
    {
        "standard": FilterKind("Standard", "AV", "Vaswani et al. 2017", lambda _, first: (ATTENTION, NOTHING)),
        "twicing": FilterKind(
            "Twicing", "(2A − A²)V", "Twicing Attention, Def. 2", lambda _, first: _quadratic(2.0, first)
        ),
        "quadratic": FilterKind(
            "Quadratic",
            "(aA + (1 − a)A²)V",
            "Twicing Attention, Eqn 14",
            _quadratic,
            Parameter("a", 0.0, 3.0, 2.0, is_open=True),
        ),
        "boosting": FilterKind(
            "L2 boosting",
            "(I − (I − A)ᵏ)V",
            "Bühlmann & Yu 2003",
            _boosting,
            Parameter("k", 1, 8, 3, is_whole=True),
        ),
        "neutreno": FilterKind(
            "NeuTRENO",
            "AV + α(V¹ − V) from the second block on",
            "Nguyen et al. 2023",
            _neutreno,
            Parameter("α", 0.0, 1.0, 0.6),
            needs_first_values=True,
        ),
        "resformer": FilterKind(
            "ResFormer",
            "A(V + V¹)/2 from the second block on",
            "Zhou et al. 2024",
            _resformer,
            needs_first_values=True,
        ),
        "svformer": FilterKind(
            "SVFormer", "AV¹ from the second block on", "Zhou et al. 2024", _svformer, needs_first_values=True
        ),
        "centred": FilterKind("Centred", "(A − J)V", "Ali et al. 2023", _centred),
        "attnscale": FilterKind(
            "AttnScale",
            "(J + (1 + λ)(A − J))V",
            "Wang et al. 2022",
            _attnscale,
            Parameter("λ", -1.0, 4.0, 0.5),
        ),
    }
)
"""The filters by the names that settings, files and links use."""
