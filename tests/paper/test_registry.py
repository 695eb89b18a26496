"""Every row of the registries against its equation in NumPy, and operators as people and files spell them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.paper import operators
from explorer.paper.filters import FILTERS, Polynomial
from explorer.paper.kernels import KERNELS
from explorer.types import STANDARD, TWICING, ExplorerError, Operator
from tests.helpers import (
    assert_one_sentence,
    assert_same_multiset,
    filter_reference,
    kernel_reference,
    normal,
    stochastic,
)

ROOT = Path(__file__).parents[2]
CLOSE = {"rtol": 1e-11, "atol": 1e-12}
EVERY = [
    operator
    for kernel in KERNELS
    for name, kind in FILTERS.items()
    for operator in (
        [Operator(name, kernel=kernel)]
        if kind.parameter is None
        else [
            Operator(name, value, kernel)
            for value in {kind.parameter.default, kind.parameter.low, 1.0, 4.0}
            if kind.parameter.low <= value <= kind.parameter.high
        ]
    )
    if kernel != "differential" or name not in ("centred", "attnscale")  # refused, see `test_differential`
]


def queries_keys_values(kernel: str = "softmax") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The last are the values of the block before, or of the first."""
    heads = (6, 6, 3, 3) if kernel == "differential" else (3,) * 4
    return tuple(normal(2, each, 7, 4, seed=i) for i, each in enumerate(heads))  # type: ignore[return-value]


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("operator", EVERY, ids=str)
def test_every_operator_is_its_equation(operator: Operator, layer: int) -> None:
    q, k, v, other = queries_keys_values(operator.kernel)
    before = other if layer else None
    A = operators.matrix_of(operator, q, k, 0.5, v, before, weight=torch.tensor(0.25).double())
    arrays = (part.numpy() for part in (q, k, v))
    expected = kernel_reference(operator.kernel, *arrays, other.numpy() if layer else None, weight=0.25)
    np.testing.assert_allclose(A.numpy(), expected, rtol=1e-12)
    own, of_first = filter_reference(operator, layer, expected)
    U = own @ v.numpy() + of_first @ other.numpy()
    polynomials = operators.polynomials(operator, layer)
    for polynomial, matrix in zip(polynomials, (own, of_first), strict=True):
        scale = max(1.0, np.abs(matrix).max())
        np.testing.assert_allclose(polynomial.matrix(A).numpy() / scale, matrix / scale, atol=1e-13)
        rows = polynomial.rows(torch.eye(7, dtype=torch.float64)[2:5], A).numpy()
        np.testing.assert_allclose(rows / scale, matrix[..., 2:5, :] / scale, atol=1e-13)
        assert not polynomial.is_nonnegative or KERNELS[operator.kernel].is_signed or matrix.min() >= 0
    size = max(1.0, np.abs(U).max())
    steps = operators.smoothing_steps(A, v)
    for given in (None, steps):
        u = operators.output(operator, layer, A.matmul, v, other, given)
        np.testing.assert_allclose(u.numpy() / size, U / size, atol=1e-13)


@pytest.mark.parametrize("operator", [each for each in EVERY if each.kernel == "softmax"], ids=str)
def test_eigenvalues_of_the_effective_matrix_are_mapped(operator: Operator) -> None:
    A = stochastic(9, 9, seed=3)
    polynomial = operators.polynomials(operator, 1)[0]
    mapped = polynomial.eigenvalues(torch.linalg.eigvals(A)).numpy()
    expected = np.linalg.eigvals(filter_reference(operator, 1, A.numpy())[0])
    assert_same_multiset(mapped, expected, tolerance=1e-9 * max(1.0, np.abs(expected).max()))


def test_elliptical_attention_of_values_that_did_not_change_is_softmax_attention() -> None:
    q, k, v, _ = queries_keys_values()
    torch.testing.assert_close(
        operators.matrix_of(Operator(kernel="elliptical"), q, k, 0.5, v, v), operators.attention(q, k, 0.5)
    )


def test_no_gradient_goes_through_the_metric() -> None:
    q, k, v, before = (part.requires_grad_() for part in queries_keys_values())
    operators.matrix_of(Operator(kernel="elliptical"), q, k, 0.5, v, before).square().sum().backward()
    assert v.grad is None
    assert before.grad is None
    assert q.grad is not None


def test_a_filter_on_the_first_values_needs_them() -> None:
    A, v = stochastic(5, 5), normal(5, 3)
    with pytest.raises(ValueError, match="first block"):
        operators.output(operators.named("neutreno"), 1, A.matmul, v, None)
    assert operators.needs_first_values([STANDARD, operators.named("svformer")])
    assert not operators.needs_first_values([STANDARD, TWICING])


# --- words --------------------------------------------------------------------------------------------------------

WORDS = {
    "standard": STANDARD,
    "twicing": TWICING,
    "neutreno": Operator("neutreno", 0.6),
    "neutreno=0.4": Operator("neutreno", 0.4),
    "linear": Operator(kernel="linear"),
    "linear-twicing": Operator("twicing", kernel="linear"),
    "elliptical-neutreno=0.25": Operator("neutreno", 0.25, "elliptical"),
    "boosting": Operator("boosting", 3.0),
    "quadratic=1.5": Operator("quadratic", 1.5),
    "quadratic=2": TWICING,
    "linear-quadratic=1": Operator(kernel="linear"),
    "attnscale=-0.5": Operator("attnscale", -0.5),
}


@pytest.mark.parametrize("word", WORDS)
def test_words_name_operators(word: str) -> None:
    assert operators.named(word) == WORDS[word]
    assert operators.named(str(WORDS[word])) == WORDS[word]


@pytest.mark.parametrize("operator", EVERY, ids=str)
def test_operators_survive_text_and_files(operator: Operator) -> None:
    assert operators.named(str(operator)) == operators.named(str(operators.named(str(operator))))
    (back,) = operators.read(operators.written((operator,)), 1)
    assert back in (operator, operators.named(str(operator)))


def test_files_of_before_are_read_and_written_as_before() -> None:
    assert operators.read(2, 3) == (TWICING,) * 3
    assert operators.read([1.0, 2.0, 1.5], 3) == (STANDARD, TWICING, Operator("quadratic", 1.5))
    assert operators.written(operators.read([1.0, 2.0, 1.5], 3)) == [1.0, 2.0, 1.5]
    assert operators.written((Operator("neutreno", 0.6), Operator("twicing", kernel="linear"))) == [
        {"neutreno": 0.6},
        "linear-twicing",
    ]


def test_blocks_can_be_named() -> None:
    assert operators.in_blocks("twicing@2-3", 4) == (STANDARD, TWICING, TWICING, STANDARD)
    assert operators.in_blocks("neutreno=0.4@4-4", 4) == (STANDARD,) * 3 + (Operator("neutreno", 0.4),)
    assert operators.in_blocks("1,2,neutreno", 3) == (STANDARD, TWICING, Operator("neutreno", 0.6))
    assert operators.in_blocks("linear-twicing", 2) == (Operator("twicing", kernel="linear"),) * 2


@pytest.mark.parametrize(
    "text",
    [
        "twicing",
        "twicing@2-3",
        "neutreno=0.123456789012@4-4",
        "standard",
        "linear,linear,twicing,standard",
        "linear-twicing",
    ],
)
def test_operators_of_blocks_are_written_as_short_as_they_can_be(text: str) -> None:
    assert operators.as_text(operators.in_blocks(text, 4)) == text
    assert operators.as_text(operators.in_blocks("standard,twicing,twicing,standard", 4)) == "twicing@2-3"


@pytest.mark.parametrize(
    "declared",
    [
        "",
        "twice",
        "linear-",
        "neutreno=",
        "neutreno=x",
        "neutreno=1.5",
        "neutreno=nan",
        "twicing=2",
        "boosting=2.5",
        "softmax",
        "-twicing",
        math.nan,
        math.inf,
        True,
        None,
        {"neutreno": 0.6, "twicing": 1},
        {"neutreno": "much"},
        [1.0, 2.0],
    ],
    ids=str,
)
def test_what_is_no_operator_is_one_sentence(declared: object) -> None:
    with pytest.raises(ExplorerError) as raised:
        operators.read(declared, 3)
    assert_one_sentence(str(raised.value))


@pytest.mark.parametrize(
    "text", ["twicing@0-2", "twicing@3-2", "twicing@2-9", "twicing@x", "twicing@3", "1,2", "twicing@"]
)
def test_blocks_that_are_not_there_are_one_sentence(text: str) -> None:
    with pytest.raises(ExplorerError) as raised:
        operators.in_blocks(text, 4)
    assert_one_sentence(str(raised.value))


def test_the_way_from_standard() -> None:
    assert [operators.towards(TWICING, share) for share in (0.0, 0.5, 1.0)] == [
        STANDARD,
        Operator("quadratic", 1.5),
        TWICING,
    ]
    assert operators.towards(Operator("neutreno", 0.6), 0.5) == Operator("neutreno", 0.3)
    assert operators.towards(Operator("twicing", kernel="linear"), 0.0) == Operator(kernel="linear")
    assert operators.towards(Operator("resformer"), 0.0) == Operator("resformer")


# --- rows ---------------------------------------------------------------------------------------------------------


def test_rows_say_where_they_come_from() -> None:
    for name, kind in (*FILTERS.items(), *KERNELS.items()):
        assert kind.title, name
        assert kind.equation, name
        assert kind.source, name
    for kind in FILTERS.values():
        if kind.parameter:
            assert kind.parameter.low <= kind.parameter.default <= kind.parameter.high
            assert kind.parameter.symbol in kind.equation.replace("ᵏ", "k")


def test_polynomials_in_symbols() -> None:
    symbols = {str(each): str(operators.polynomials(each, 1)[0]) for each in map(operators.named, WORDS)}
    assert symbols["standard"] == "A"
    assert symbols["twicing"] == "2A − A²"
    assert symbols["boosting=3"] == "3A − 3A² + A³"
    assert symbols["neutreno=0.4"] == "A − 0.4I"
    assert symbols["attnscale=-0.5"] == "0.5A + 0.5J"
    assert str(Polynomial((0.0,))) == "0"
    assert replace(Polynomial((0.0, 1.0)), mean=-1.0).is_nonnegative is False


def test_the_readme_has_a_row_for_each() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, kind in FILTERS.items():
        parameter = kind.parameter
        word = f"`{name}`"
        if parameter:
            span = f"{parameter.symbol} from {parameter.low:g} to {parameter.high:g}"
            word = f"`{name}={parameter.default:g}`, {f'any {parameter.symbol}' if parameter.is_open else span}"
        assert f"| {word} | `U = {kind.equation}` | {kind.source} |" in text
    for name, row in KERNELS.items():
        assert f"| `{name}` | `A = {row.equation}` | {row.source} |" in text
