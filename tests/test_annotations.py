"""While tests run, a wrong type and a wrong axis are refused at the call."""

from collections.abc import Callable

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from explorer.models import registry
from explorer.paper import operators
from explorer.types import Preprocessing
from tests import annotations

Square = Float[Tensor, "side side"]


def test_axes_of_one_name_have_one_size() -> None:
    operators.residual(torch.full((3, 3), 1 / 3), torch.zeros(3, 2))
    with pytest.raises(TypeCheckError):
        operators.residual(torch.full((3, 3), 1 / 3), torch.zeros(4, 2))


def test_a_type_without_axes_is_checked() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        registry.architecture(3)  # type: ignore[arg-type]


def test_a_field_of_a_record_is_checked() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        Preprocessing(input_size="x", mean=(0.5,) * 3, std=(0.2,) * 3)  # type: ignore[arg-type]


def plain(x: int, words: list[str] | None = None) -> dict[str, Tensor]: ...
def direct(x: Square) -> None: ...
def within(x: dict[str, list[Square] | None]) -> None: ...
def given(x: Callable[[Square], int]) -> None: ...
def returned() -> tuple[int, Square]: ...
def later(x: "NotThere") -> None: ...  # type: ignore[name-defined]


@pytest.mark.parametrize("function", [direct, within, given, returned, later])
def test_axes_are_seen_wherever_they_stand(function: Callable[..., object]) -> None:
    assert annotations._may_have_axes(function)


def test_where_there_are_none_none_are_seen() -> None:
    assert not annotations._may_have_axes(plain)
