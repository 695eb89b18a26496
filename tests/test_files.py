"""A file appears whole or not at all, and what kept it from being written is one sentence."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from explorer import files
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusal(path: Path, data: bytes = b"new") -> str:
    with pytest.raises(ExplorerError) as caught:
        files.write_atomically(path, data)
    assert_one_sentence(str(caught.value))
    assert path.name in str(caught.value)
    assert str(path.parent) not in str(caught.value)
    return str(caught.value)


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for data in (b"first", b"", b"last"):
        files.write_atomically(path, data)
        assert path.read_bytes() == data
    assert names(tmp_path) == ["x.csv"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.write_atomically(tmp_path / "x.csv", b"new")
    finally:
        os.umask(before)
    assert mode(tmp_path / "x.csv") == 0o666 & ~umask


@pytest.mark.parametrize("old", [0o600, 0o640, 0o444, 0o664, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, old: int) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"old")
    path.chmod(old)
    with files.replacing(path) as temporary:
        assert mode(temporary) & ~(old | 0o600) == 0
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == old


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "no folder absent" in refusal(tmp_path / "absent" / "x.csv")
    assert names(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "Not a directory" in refusal(tmp_path / "file" / "x.csv")


def test_a_folder_in_place_of_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    refusal(tmp_path / "x.csv")
    assert names(tmp_path) == ["x.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in refusal(tmp_path / "x.csv")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EDQUOT, errno.EIO])
def test_what_the_system_says_is_said_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(number, f"a library's own words. About {path}.")

    monkeypatch.setattr(os, "replace", fail)
    assert os.strerror(number) in refusal(path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.csv"]


def test_a_disk_that_is_full_keeps_the_old_file(tmp_path: Path) -> None:
    """The system's own limit on the size of files stands for the disk."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"old")
    code = (
        "import resource, sys; from pathlib import Path; from explorer import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: files.write_atomically(Path(sys.argv[1]), bytes(2000))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "ExplorerError x.csv could not be written: File too large.\n"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.csv"]


def test_a_block_that_fails_for_its_own_reasons_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with files.replacing(tmp_path / "x.csv") as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == []


def test_the_file_is_not_there_before_the_block_ends(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "x.csv") as temporary:
        temporary.write_bytes(b"whole")
        assert not (tmp_path / "x.csv").exists()
        assert temporary.name.startswith(".x.csv.")
    assert (tmp_path / "x.csv").read_bytes() == b"whole"
