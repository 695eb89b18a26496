"""A disk of a few kilobytes, for what happens when it is full: root alone can mount one, and not everywhere."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Disk:
    """A file system in memory, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, leave: int) -> Path:
        """Fills it with one file, but for so many bytes."""
        path = self.folder / "filler"
        with path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                file.truncate(file.tell() - leave)
        return path

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
    """A disk of this size, such as `8k`. Raises `OSError` or `CalledProcessError` where none can be mounted."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
