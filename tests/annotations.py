"""Checks of annotations while tests run: of axes where there are axes, and of types alone everywhere else."""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

import jaxtyping
from jaxtyping import AbstractArray, install_import_hook

_checked_with_axes = jaxtyping.jaxtyped


def check(package: str) -> None:
    """Whatever is imported of the package from now on is checked by `tests.check`."""
    jaxtyping.jaxtyped = _jaxtyped  # which is what the hook writes before each function
    install_import_hook(package, "tests.check")


def _jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """In place of `jaxtyping.jaxtyped`, which keeps sizes of axes at every call, also of functions without."""
    with_axes = _checked_with_axes(typechecker=typechecker)

    def decorate(target: Any) -> Any:
        if not inspect.isclass(target):
            return with_axes(target) if _may_have_axes(target) else typechecker(target)
        if not is_dataclass(target) or _may_have_axes(target.__init__):
            return with_axes(target)
        target.__init__ = typechecker(target.__init__)
        return target

    return decorate


def _may_have_axes(function: Callable[..., Any]) -> bool:
    """Also where an annotation names what is not there yet."""
    try:
        hints = list(get_type_hints(function, include_extras=True).values())
    except Exception:
        return True
    while hints:
        hint = hints.pop()
        if inspect.isclass(hint) and issubclass(hint, AbstractArray):
            return True
        hints += hint if isinstance(hint, list) else get_args(hint)
    return False
