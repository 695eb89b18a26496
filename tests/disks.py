"""A disk of a few kilobytes, for what happens when it is full; where the system lets nobody mount one, tests skip."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A file system in memory, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def grow(self, size: str) -> None:
        """Makes room."""
        _mount("-o", f"remount,size={size}", str(self.folder))

    def lock(self) -> None:
        """Makes it read-only, also for root."""
        _mount("-o", "remount,ro", str(self.folder))

    def names(self) -> list[str]:
        """The files on it, below the folder."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Disk]:
    """A disk of this size, such as `8k`; skips where none can be mounted."""
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system can be mounted by root alone, and not everywhere")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
