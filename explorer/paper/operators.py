"""The equations of Twicing Attention on tensors, once each, and every other operator by its name.

Paper: "Transformer Meets Twicing: Harnessing Unattended Residual Information" (Def. 2, Eqn 14, Eqn 19).
Nothing here knows of a model: `A` is any row-stochastic matrix and `V` whatever it is applied to. Leading
axes (batch, layer, head) broadcast. `kernels` and `filters` are the registries of the two parts of an operator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from explorer.paper import kernels
from explorer.paper.filters import FILTERS, EffectivePair, Smooth
from explorer.paper.kernels import KERNELS
from explorer.types import STANDARD, ExplorerError, Operator, Operators

Attention = Float[Tensor, "... query key"]
Values = Float[Tensor, "... key channel"]
HeadQueries = Float[Tensor, "... token channel"]


def attention(
    q: Float[Tensor, "... query channel"],
    k: Float[Tensor, "... key channel"],
    scale: float,
    bias: Tensor | None = None,
    scores: Tensor | None = None,
    out: Tensor | None = None,
) -> Attention:
    """`A = softmax(scale * Q K^T + bias)`; rows sum to 1 (paper Eqn 2, where `scale = 1/sqrt(d)`).

    `bias` is what a mask adds to the scores, `-inf` where it hides a key. `scores` is memory for `scale * Q K^T`, which
    stays there, `out` for the result.
    """
    scores = torch.matmul(q * scale, k.transpose(-2, -1), out=scores)  # (..., N, d) @ (..., d, N) -> (..., N, N)
    return torch.softmax(scores if bias is None else scores + bias, dim=-1, out=out)


def residual(a: Attention, v: Values) -> Values:
    """`R = V - A V`: what smoothing by `A` takes away, the method noise (Sec. 3.3)."""
    return v - a @ v


def smoothing_steps(a: Attention, v: Values) -> tuple[Values, Values]:
    """`A V` and `A (V - A V)`: the smoothed values, and the smoothed residual that twicing gives back (Sec. 3.3)."""
    smoothed = a @ v  # (..., N, N) @ (..., N, d) -> (..., N, d)
    return smoothed, a @ (v - smoothed)


def smoothed_residual(a: Attention, v: Values) -> Values:
    """`A (V - A V)`: the part of the residual that twicing gives back (Sec. 3.3)."""
    return smoothing_steps(a, v)[1]


def twicing(a: Attention, v: Values) -> Values:
    """`U = A V + A (V - A V) = (2A - A^2) V` (Def. 2)."""
    smoothed, correction = smoothing_steps(a, v)
    return smoothed + correction


# --- by name ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def polynomials(operator: Operator, layer: int) -> EffectivePair:
    """`E` and `E_0` of a block, 0-based: `U = E V + E_0 V^1`.

    Raises `ExplorerError` for a filter, a kernel or a parameter that is not known.
    """
    check(operator)
    kind = FILTERS[operator.filter]
    return kind.polynomials(0.0 if operator.parameter is None else operator.parameter, layer == 0)


def effective(a: Attention, operator: Operator, layer: int = 1) -> Attention:
    """`E`, the matrix that is applied to the block's own values (Eqn 14); entries may be negative: signed data."""
    return polynomials(operator, layer)[0].matrix(a)


def output(
    operator: Operator,
    layer: int,
    smooth: Smooth,
    values: Values,
    first: Values | None,
    steps: tuple[Values, Values] | None = None,
) -> Values:
    """`U = E V + E_0 V^1`; `smooth` makes `A X` of `X`, `first` are the first block's values where it needs them.

    `steps` are those of `smoothing_steps` where they are there already.
    """
    own, of_first = polynomials(operator, layer)
    u = own.applied(smooth, values, steps)
    if of_first.is_zero:
        return u
    if first is None:
        raise ValueError(f"{operator} needs the values of the first block.")
    from_first = of_first.applied(smooth, first)
    return from_first if own.is_zero else u + from_first


def matrix_of(
    operator: Operator,
    q: HeadQueries,
    k: HeadQueries,
    scale: float,
    values: Float[Tensor, "... key _"],
    before: Float[Tensor, "... key _"] | None,
    bias: Tensor | None = None,
    scores: Tensor | None = None,
    out: Tensor | None = None,
    weight: Tensor | None = None,
) -> Attention:
    """`A` as the operator's kernel makes it; `before` are the values of the block before, None in the first.

    `bias`, `scores` and `out` as in `attention`; linear attention takes no bias. `weight` is `lambda` of differential
    attention, whose queries and keys have two heads for each of the values.
    """
    if operator.kernel == "differential":
        if weight is None:
            raise ValueError("Differential attention needs its weight.")
        a = kernels.differential(attention(q, k, scale, bias).unflatten(-3, (-1, 2)), weight)
        return a if out is None else out.copy_(a)
    if operator.kernel == "linear":
        if bias is not None:
            raise ValueError("Linear attention takes no mask.")
        a = kernels.linear(q, k, scale)
        return a if out is None else out.copy_(a)
    if operator.kernel == "elliptical":
        q = kernels.stretched(q, values, before)
    return attention(q, k, scale, bias, scores, out)


def check(operator: Operator) -> None:
    """Raises `ExplorerError` for what no row of the registries is, and for a parameter that is not in its range."""
    if operator.kernel not in KERNELS or operator.filter not in FILTERS:
        came = re.sub(r"[^-\w=.@]", "?", str(operator)[:80])
        raise ExplorerError(
            f"An operator was expected, a filter ({', '.join(FILTERS)}) or one on another kernel, as linear-twicing; "
            f"{came!r} came."
        )
    _check_parameter(operator)
    own, _ = FILTERS[operator.filter].polynomials(operator.parameter or 0.0, False)
    if own.mean and KERNELS[operator.kernel].is_signed:  # the mean J stands for rows that sum to 1
        raise ExplorerError(
            f"{operator.filter} is for attention whose rows sum to 1; those of {operator.kernel} attention do not."
        )


def _check_parameter(operator: Operator) -> None:
    parameter, value = FILTERS[operator.filter].parameter, operator.parameter
    if parameter is None:
        if value is not None:
            raise ExplorerError(f"{operator.filter} takes no number; {value:g} came.")
        return
    if value is None or not parameter.takes(value):
        came = "none" if value is None else f"{value:g}"
        raise ExplorerError(f"{operator.filter} takes {parameter}; {came} came.")


def quadratic(a: float, kernel: str = STANDARD.kernel) -> Operator:
    """`a A + (1 - a) A^2` by its shortest name: 1 is standard, 2 twicing."""
    if a in (1.0, 2.0):
        return Operator("standard" if a == 1.0 else "twicing", kernel=kernel)
    return Operator("quadratic", float(a), kernel)


def words() -> list[str]:
    """Every filter on every kernel that goes with any weights, as `named` takes them."""
    kernels_of_all = [name for name, kind in KERNELS.items() if not kind.has_own_weights]
    return [str(Operator(name, kernel=kernel)) for kernel in kernels_of_all for name in FILTERS]


_WORD = re.compile(r"(?:(linear|elliptical|differential)(?:-(?=[a-z])|$))?([a-z]*)(?:=([-+\d.e]+))?")


def named(text: str) -> Operator:
    """The operator of a word such as `twicing`, `neutreno=0.4`, `linear`, `linear-twicing`, `quadratic=1.5`.

    A parameter that is not given has its default. Raises `ExplorerError` for any other word.
    """
    match = _WORD.fullmatch(text.strip())
    kernel, filter = (match[1] or "softmax", match[2] or "standard") if match and text.strip() else ("softmax", text)
    operator = Operator(filter, _number(match[3]) if match and match[3] else None, kernel)
    if filter in FILTERS and (parameter := FILTERS[filter].parameter) and operator.parameter is None:
        operator = replace(operator, parameter=float(parameter.default))
    check(operator)
    if operator.filter == "quadratic" and operator.parameter is not None:
        return quadratic(operator.parameter, kernel)
    return operator


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ExplorerError(f"A number was expected after =; {text[:40]!r} came.") from None


Declared = Operator | float | str | Mapping[str, float]
"""An operator as people and files name it."""


def read(declared: Any, depth: int) -> Operators:
    """The operator of every block as files declare it: one for all, a list of one for each, or as `in_blocks` reads it.

    A word, `{"neutreno": 0.6}`, or a number, which is `a` of the quadratic filter as earlier versions wrote it. Raises
    `ExplorerError` for anything else.
    """
    if isinstance(declared, str):
        return in_blocks(declared, depth)
    each = list(declared) if isinstance(declared, list | tuple) else [declared] * depth
    if len(each) != depth:
        raise ExplorerError(f"One operator for all or one for each of {depth} blocks was expected; {len(each)} came.")
    return tuple(map(_read, each))


def _read(declared: Any) -> Operator:
    if isinstance(declared, Operator):
        check(declared)
        return declared
    if isinstance(declared, bool):
        raise ExplorerError(f"An operator was expected; {declared} came.")
    if isinstance(declared, int | float):
        operator = quadratic(float(declared))
        check(operator)
        return operator
    if isinstance(declared, Mapping) and len(declared) == 1:
        ((name, value),) = declared.items()
        return named(f"{name}={value}")
    if isinstance(declared, str):
        return named(declared)
    raise ExplorerError(f'An operator such as twicing or {{"neutreno": 0.6}} was expected; {declared!r:.80} came.')


_BLOCKS = re.compile(r"(.*)@(\d+)-(\d+)")


def in_blocks(text: str, depth: int) -> Operators:
    """Operators as people write them: `twicing`, `twicing@10-12` (standard elsewhere), or one for each block.

    Words as `named` takes them, or numbers as `read` does. Raises `ExplorerError` for anything else.
    """
    if match := _BLOCKS.fullmatch(text):
        first, last = int(match[2]), int(match[3])
        if not 1 <= first <= last <= depth:
            raise ExplorerError(f"Expected 1 <= first <= last <= {depth} blocks; [{first}-{last}] came.")
        operator = _word(match[1])
        return tuple(operator if first <= block <= last else STANDARD for block in range(1, depth + 1))
    words = [_word(part) for part in text.split(",")]
    return read(words[0] if len(words) == 1 else words, depth)


def _word(text: str) -> Operator:
    try:
        return _read(float(text))
    except ValueError:
        return named(text)


def as_text(operators: Operators) -> str:
    """What `in_blocks` reads, as short as can be: one word, one in some blocks, or one for each."""
    words = list(map(str, operators))
    if len(set(words)) == 1:
        return words[0]
    others = [block for block, operator in enumerate(operators, start=1) if operator != STANDARD]
    first, last = others[0], others[-1]
    if len(set(operators[first - 1 : last])) == 1:
        return f"{operators[first - 1]}@{first}-{last}"
    return ",".join(words)


def written(operators: Operators) -> list[float | str | dict[str, float]]:
    """What `read` reads; what earlier versions could say is written as they did, a number a block."""
    return [_written(operator) for operator in operators]


def _written(operator: Operator) -> float | str | dict[str, float]:
    numbers = {"standard": 1.0, "twicing": 2.0, "quadratic": operator.parameter}
    if operator.kernel == "softmax" and (number := numbers.get(operator.filter)) is not None:
        return number
    if operator.parameter is None:
        return str(operator)
    return {str(replace(operator, parameter=None)): operator.parameter}


def towards(operator: Operator, share: float) -> Operator:
    """The operator at a share of the way from the standard one, where its parameter leads there; else itself."""
    kernel = operator.kernel
    if operator.filter == "twicing":
        return quadratic(1.0 + share, kernel)
    if operator.filter == "quadratic" and operator.parameter is not None:
        return quadratic(1.0 + (operator.parameter - 1.0) * share, kernel)
    if operator.filter in ("neutreno", "attnscale") and operator.parameter is not None:
        return replace(operator, parameter=operator.parameter * share)
    return operator


def are_same(operators: Operators, others: Operators) -> bool:
    """Whether both do the same in every block, by whatever names: `boosting=2` is twicing, `neutreno=0` standard."""
    return len(operators) == len(others) and all(
        operator.kernel == other.kernel and polynomials(operator, layer) == polynomials(other, layer)
        for layer, (operator, other) in enumerate(zip(operators, others, strict=True))
    )


def applications(operators: Operators) -> int:
    """How often `A` is applied in all blocks together: each time is `N^2 d` multiply-adds a head."""
    return sum(part.degree for layer, each in enumerate(operators) for part in polynomials(each, layer))


def is_signed(operators: Iterable[Operator]) -> bool:
    """Whether `A` itself may have negative entries in any block, so that its rows are no distributions."""
    return any(KERNELS[operator.kernel].is_signed for operator in operators)


def plain(chosen: Operators) -> Operators:
    """The standard filter on softmax attention, or on the kernel that the weights of a block go with alone."""
    return tuple(
        Operator(kernel=each.kernel if KERNELS[each.kernel].has_own_weights else STANDARD.kernel) for each in chosen
    )


def counterpart(chosen: Operators) -> Operators:
    """What these weights are compared under: `plain`, or twicing in every block where they are that already."""
    of_kernels = plain(chosen)
    return tuple(replace(each, filter="twicing") for each in of_kernels) if chosen == of_kernels else of_kernels


def needs_first_values(operators: Iterable[Operator]) -> bool:
    """Whether any block uses the values of the first."""
    return any(FILTERS[operator.filter].needs_first_values for operator in operators)
