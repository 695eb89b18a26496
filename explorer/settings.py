"""Settings as frozen records: choices are enums, fields say what they are for and how far they may go.

Values come from files, a shell, a widget or Python; msgspec puts each into the type that its field declares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, field, fields
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from explorer.types import ExplorerError

OptionT = TypeVar("OptionT", bound="Option")


class Option(StrEnum):
    """One of a few choices: its value is the spelling in files, links and the shell, `label` that on the screen."""

    label: str

    def __new__(cls, value: str, label: str = "") -> Option:
        member = str.__new__(cls, value)
        member._value_, member.label = value, label or value
        return member

    @classmethod
    def _missing_(cls, value: object) -> Option | None:
        """Capitals and spaces around it do not matter; labels are read as well, as earlier versions wrote them."""
        text = str(value).strip().lower()
        return next((option for option in cls if text in (option.value, option.label.lower())), None)

    @classmethod
    def called(cls: type[OptionT], text: str) -> OptionT:
        """The option of this spelling. Raises `ExplorerError` when there is none."""
        try:
            return cls(text)
        except ValueError:
            raise ExplorerError(f"One of {', '.join(cls)} was expected; {text[:60]!r} came.") from None


_ANY = (-math.inf, math.inf)
SIDES = (1, 1024)
"""Pixels on a side at which images are read."""
MANY = 10_000_000
"""More steps than any run takes."""
SEEDS = (0, 2**63 - 1)
"""What torch and numpy both take."""


def setting(default: Any, help: str, limits: tuple[float, float] = _ANY, flag: str = "") -> Any:
    """A field with a line of help, the least and the most it may be, and its flag in the shell if not its name."""
    return field(default=default, metadata={"help": help, "limits": limits, "flag": flag})


def settings_of(record: type) -> tuple[Field[Any], ...]:
    """The fields of a record that `setting` made."""
    return tuple(each for each in fields(record) if "help" in each.metadata)


@cache
def kinds(record: type) -> Mapping[str, Any]:
    """The types of a record's fields by name."""
    return get_type_hints(record)


def read(record: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a record in the types that its fields declare. Raises `ExplorerError` for a value of another type."""
    return {name: converted(name, kinds(record)[name], value) for name, value in values.items()}


def check(record: Any) -> None:
    """Raises `ExplorerError` for a number beyond its limits; for a record's `__post_init__`."""
    for each in settings_of(type(record)):
        value = getattr(record, each.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float):
                check_number(each.name, number, each.metadata["limits"])


def check_number(name: str, number: float, limits: tuple[float, float]) -> None:
    """Raises `ExplorerError` for a number beyond its limits, which calls it by its name."""
    low, high = limits
    if not low <= number <= high:  # NaN is neither
        expected = f"{_plain(low)} to {_plain(high)}" if high < math.inf else f"at least {_plain(low)}"
        raise ExplorerError(f"{name}: {expected} was expected; {quoted(number)} came.")


def converted(name: str, kind: Any, value: Any, *, is_text: bool = False) -> Any:
    """The value as the type wants it: lists become tuples, whole numbers others; with `is_text` it is read.

    Raises `ExplorerError`, which calls it by its name, for anything else.
    """
    try:
        plain = msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=_builtin)
        typed = msgspec.convert(plain, kind, strict=not is_text)
        msgspec.json.encode(typed)  # half a surrogate pair, or a number of thousands of digits, fits into no file
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        raise ExplorerError(f"{name}: {_expected(kind)} was expected; {quoted(value)} came.") from None
    return typed


def _builtin(value: Any) -> Any:
    """Of numpy's numbers and arrays, and of ranges."""
    return value.tolist() if hasattr(value, "tolist") else list(value)


_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def _expected(kind: Any) -> str:
    if isinstance(kind, UnionType):
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        return f"a list of {_WORDS[get_args(kind)[0]].removeprefix('a ')}s"
    return _WORDS[kind] if kind in _WORDS else f"one of {', '.join(kind)}"


def quoted(value: Any) -> str:
    """A value as an error names it, however long it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
    try:
        return f"{value:g}" if is_number else ascii(value)[:60]
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a very large number"


def _plain(number: float) -> str:
    """Whole numbers with all their digits."""
    return str(number) if isinstance(number, int) else f"{number:g}"
