"""A server that starts quickly and stays small.

timm is imported without torch's compiler, which nothing here uses: a third of the time and 140 MiB. Two modules on the
way ask for it while they are imported, for functions that may never be called: `torchvision.ops.roi_align` for one that
tells whether a device can compile, and `timm.models.naflexvit` to keep methods out of compiled graphs. Both get a
stand-in that asks for the real one when it is called. So do the Hugging Face hub's library, a third of what is left
of timm, and captum's module that draws, which brings pyplot and IPython: twice as much as timm.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_COMPILER = "torch._dynamo"
_UTILITIES = "torch._dynamo.utils"
_HUB = "huggingface_hub"
_HUB_CALLS = ("HfApi", "hf_hub_download", "model_info")
_HUB_ERRORS = ("EntryNotFoundError", "RepositoryNotFoundError")
"""What `timm.models._hub` imports from there by name, and of what that raises from its `utils`."""
_DRAWING = "captum.attr._utils.visualization"
_DRAWN_BY_NAME = ("draw_mask_border", "draw_mask_legend")
"""What modules of captum import from there by name."""
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
_LARGEST_IN_A_HEAP = 4 * 2**20
_MOST_FREE = 256 * 2**20
_MOST_FILES = 65536
_SPINS = "3000"
"""How often a thread of torch's pool looks for work before it sleeps. By default it looks 300,000 times; where another
program holds a core, a pass of 20 ms then took up to 1.2 s of two cores, each of its 500 steps waiting for a turn."""


def few_spins() -> None:
    """Lets torch's threads sleep soon, so that they leave cores to others; before torch is imported."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def import_timm() -> None:
    """Imports torch and timm; does nothing special where the compiler is there already."""
    import torch

    if _COMPILER not in sys.modules:
        with _without_compiler(torch.compiler), _without_hub():
            import timm  # noqa: F401


def captum_without_drawing() -> None:
    """Lets captum be imported without what it draws with, which comes as soon as it is asked for."""
    if _DRAWING in sys.modules:
        return
    drawing = types.ModuleType(_DRAWING)
    vars(drawing).update({name: functools.partial(_draw, name) for name in _DRAWN_BY_NAME})
    drawing.__getattr__ = _asked_of_drawing  # type: ignore[method-assign]
    sys.modules[_DRAWING] = drawing


def many_files() -> None:
    """Lets the process open as many files as it may: every visitor is a connection, and 256 are a class of sixty.

    Up to 65,536. Does nothing where there is no such limit, or where it stands.
    """
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def small_heaps() -> None:
    """Lets glibc keep 4 heaps for all threads instead of 8 for every core, and nothing above 4 MiB in any.

    Every run of a page is a new thread, and heaps keep what was freed. By default glibc puts whatever is no larger than
    the largest block ever freed, up to 32 MiB, in a heap: traces and what viewers are sent, 600 MiB of 20 visitors.
    As blocks of their own they go back to the system, at no measurable time. The end of a heap goes back only when much
    is free: after every 128 KiB, as by default, passes took what they had just given back, 22,000 of 103,000 new pages
    for an image. Does nothing elsewhere.
    """
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 4)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_IN_A_HEAP)
        libc.mallopt(_M_TRIM_THRESHOLD, _MOST_FREE)


def give_back_memory() -> None:
    """Lets glibc give back to the system what lies free inside its heaps; else it stays, 400 MiB after 50 visitors.

    Some milliseconds, and as many for whoever needs the memory again. Does nothing elsewhere.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def no_collecting() -> Iterator[None]:
    """Importing makes many objects and next to no garbage: walking them again and again is a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _without_compiler(compiler: Any) -> Iterator[None]:
    utilities = types.ModuleType(_UTILITIES)
    utilities.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules[_UTILITIES] = utilities
    disable = compiler.disable
    compiler.disable = functools.partial(_disable_when_called, disable)
    try:
        yield
    finally:
        compiler.disable = disable
        if sys.modules.get(_UTILITIES) is utilities:
            del sys.modules[_UTILITIES]


def _asked_of_drawing(name: str) -> Any:
    if name.startswith("__"):  # by whoever imports
        raise AttributeError(name)
    return getattr(_captums_drawing(), name)


def _draw(name: str, *args: Any, **named: Any) -> Any:
    return getattr(_captums_drawing(), name)(*args, **named)


@functools.cache
def _captums_drawing() -> types.ModuleType:
    sys.modules.pop(_DRAWING, None)
    return importlib.import_module(_DRAWING)


@contextmanager
def _without_hub() -> Iterator[None]:
    if _HUB in sys.modules:
        yield
        return
    hub, utilities = types.ModuleType(_HUB), types.ModuleType(f"{_HUB}.utils")
    vars(hub).update({name: functools.partial(_ask_hub, name) for name in _HUB_CALLS})
    vars(utilities).update({name: type(name, (Exception,), {}) for name in _HUB_ERRORS})
    stand_ins = {hub.__name__: hub, utilities.__name__: utilities}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _ask_hub(name: str, *args: Any, **named: Any) -> Any:
    """Before anything can be raised, timm gets to know the real errors."""
    utilities = importlib.import_module(f"{_HUB}.utils")
    timms = importlib.import_module("timm.models._hub")
    vars(timms).update({error: getattr(utilities, error) for error in _HUB_ERRORS})
    return getattr(importlib.import_module(_HUB), name)(*args, **named)


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device_type))


def _disable_when_called(
    disable: Callable[..., Any], fn: Callable[..., Any] | None = None, **options: Any
) -> Callable[..., Any]:
    """`@torch.compiler.disable` or `@torch.compiler.disable(...)`, carried out when the function is called."""
    if fn is None:
        return functools.partial(_disable_when_called, disable, **options)

    @functools.wraps(fn)
    def call(*args: Any, **named: Any) -> Any:
        return disable(fn, **options)(*args, **named)

    return call
