"""A command's options out of a frozen record: a flag for each of its settings, and back."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import Field
from typing import Any, get_args, get_origin

from explorer.settings import Option, converted, kinds, settings_of
from explorer.types import ExplorerError


def declare(parser: argparse._ActionsContainer, record: type, but: Collection[str] = ()) -> None:
    """An option for each setting of the record, `but` those, with its help, its choices and its default."""
    for setting in settings_of(record):
        if setting.name in but:
            continue
        kind, flag = kinds(record)[setting.name], f"--{_flag(setting)}"
        given: dict[str, Any] = {
            "dest": _dest(setting),
            "help": setting.metadata["help"] + _default(setting.default, kind),
        }
        if kind is bool:
            given["action"] = argparse.BooleanOptionalAction
        elif kind == tuple[str, ...]:
            given |= {"nargs": "+", "action": "extend", "metavar": "TEXT"}
        else:
            given["metavar"] = _metavar(kind)
        parser.add_argument(flag, **given)


def given(options: argparse.Namespace, record: type) -> dict[str, Any]:
    """What was given of the options that `declare` made, as the record takes it; its defaults are not repeated.

    Raises `ExplorerError` for what cannot be read as the setting's type.
    """
    return {
        setting.name: _read(_dest(setting), kinds(record)[setting.name], value)
        for setting in settings_of(record)
        if (value := getattr(options, _dest(setting))) is not None
    }


def _flag(setting: Field[Any]) -> str:
    return str(setting.metadata["flag"] or setting.name.replace("_", "-"))


def _dest(setting: Field[Any]) -> str:
    """By the flag, as argparse does it: two records of one command may have settings of one name."""
    return _flag(setting).replace("-", "_")


def _metavar(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "NAME[,NAME...]" if _choices(kind) else "N[,N...]"
    if {int, float} & {kind, *get_args(kind)}:
        return "N"
    return "NAME" if isinstance(kind, type) and issubclass(kind, Option) else "TEXT"


def _default(default: Any, kind: Any) -> str:
    """In brackets behind the help: all choices where there are a few."""
    if options := _choices(kind):
        return f" ({', '.join(options)}, or all{' by default' if default == tuple(options) else ''})"
    if isinstance(default, Option):
        return f" ({', '.join(f'{option} by default' if option is default else option for option in type(default))})"
    if isinstance(default, bool):
        return " (on by default)" if default else ""
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    return "" if default in (None, "") else f" ({default:g})" if isinstance(default, float) else f" ({default})"


def _read(name: str, kind: Any, value: Any) -> Any:
    if kind == tuple[int, ...]:
        return numbers(value, name)
    if kind == tuple[float, ...]:
        return each(value, float, name)
    if options := _choices(kind):
        parts = options if value == "all" else value.split(",")
        return tuple(dict.fromkeys(converted(name, options, part, is_text=True) for part in parts))
    return converted(name, kind, value, is_text=isinstance(value, str))


def _choices(kind: Any) -> type[Option] | None:
    """Those of which a setting takes several."""
    item = get_args(kind)[0] if get_origin(kind) is tuple else None
    return item if isinstance(item, type) and issubclass(item, Option) else None


def numbers(text: str, name: str) -> tuple[int, ...]:
    """`1,6,10-12` as numbers."""
    values: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        (start,), (end,) = each(first, int, name), each(last if dash else first, int, name)
        if not 0 <= end - start < 1000:
            raise ExplorerError(f"{name}: numbers such as 1,6,10-12 were expected; {text[:40]!r} came.")
        values += range(start, end + 1)
    return tuple(values)


def each(text: str, kind: Any, name: str) -> tuple[Any, ...]:
    """`1,2.5` as numbers of a kind."""
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise ExplorerError(
            f"{name}: {'numbers' if kind is float else 'whole numbers'} were expected; {text[:40]!r} came."
        ) from None
