"""A file appears whole or not at all, and what kept it from being written is one sentence."""

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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
    done = subprocess.run([sys.executable, "-Bc", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "UnwrittenError x.csv could not be written: File too large.\n"
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


# --- links, pipes, devices, and what others have left -------------------------------------------------------------


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("old.csv", "new.csv"):  # of which one is not there yet
        (tmp_path / name).symlink_to(Path("there") / name)
    (tmp_path / "there" / "old.csv").write_bytes(b"old")
    (tmp_path / "there" / "old.csv").chmod(0o640)
    for name in ("old.csv", "new.csv"):
        files.write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "there" / name).read_bytes() == b"new"
    assert mode(tmp_path / "there" / "old.csv") == 0o640
    assert names(tmp_path / "there") == ["new.csv", "old.csv"]


def test_links_in_a_circle_are_said(tmp_path: Path) -> None:
    (tmp_path / "x.csv").symlink_to("x.csv")
    assert "symbolic links" in refusal(tmp_path / "x.csv")
    assert (tmp_path / "x.csv").is_symlink()


def test_a_link_to_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "x.csv").symlink_to("folder")
    assert "Is a directory" in refusal(tmp_path / "x.csv")
    assert names(tmp_path) == ["folder", "x.csv"]
    assert names(tmp_path / "folder") == []


def test_a_folder_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    def write() -> None:
        with files.replacing(tmp_path):
            raise AssertionError("the block was begun")

    with pytest.raises(files.UnwrittenError):
        write()


@pytest.mark.parametrize("through_link", [False, True])
def test_a_pipe_is_written_to(tmp_path: Path, through_link: bool) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    path = pipe
    if through_link:
        path = tmp_path / "link.csv"
        path.symlink_to(pipe.name)
    data = bytes(range(256)) * 1000  # more than a pipe holds
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        files.write_atomically(path, data[:1000])
        assert reader.stdout.read() == data[:1000]
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader, ThreadPoolExecutor() as threads:
        assert reader.stdout
        written = threads.submit(files.write_atomically, path, data)
        assert reader.stdout.read() == data
        written.result()
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert names(tmp_path) == sorted({pipe.name, path.name})


def test_a_pipe_gets_nothing_of_a_block_that_fails(tmp_path: Path) -> None:
    pipe = tmp_path / "x.csv"
    os.mkfifo(pipe)

    def write() -> None:
        with files.replacing(pipe) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # and does not wait for who reads
        write()
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


NULL, FULL = 3, 7
"""Numbers of devices that take everything and nothing, in nodes of our own: never those of the system."""


def device(path: Path, number: int) -> Path:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, number))
        path.write_bytes(b"" if number == FULL else b"x")
    except OSError:
        pytest.skip("nodes of devices can be made and used by root alone, and not everywhere")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers of devices are Linux's")
def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    path = device(tmp_path / "x.csv", NULL)
    files.write_atomically(path, b"new")
    assert stat.S_ISCHR(path.lstat().st_mode)
    assert "No space left on device" in refusal(device(tmp_path / "full.csv", FULL))
    assert stat.S_ISCHR((tmp_path / "full.csv").lstat().st_mode)
    assert names(tmp_path) == ["full.csv", "x.csv"]


WRITING = (
    "import sys; from pathlib import Path; from explorer import files\n"
    "print('before'); files.write_atomically(Path(sys.argv[1]), b'new\\n'); print('after')"
)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "out.txt"])
@pytest.mark.skipif(not Path("/dev/fd/1").exists(), reason="the system has no names for what is open")
def test_the_standard_output_is_written_to_in_its_turn(tmp_path: Path, name: str) -> None:
    """By its name, or that of the file to which it goes."""
    path = tmp_path / "out.txt"
    with path.open("wb") as file:
        subprocess.run([sys.executable, "-c", WRITING, str(tmp_path / name)], stdout=file, check=True)
    assert path.read_bytes() == b"before\nnew\nafter\n"
    assert names(tmp_path) == ["out.txt"]


def test_a_standard_output_that_is_a_pipe_is_written_to() -> None:
    done = subprocess.run([sys.executable, "-c", WRITING, "/dev/stdout"], capture_output=True, check=True)
    assert done.stdout == b"before\nnew\nafter\n"


KILLED = (
    "import os, sys; from pathlib import Path; from explorer import files\n"
    "with files.replacing(Path(sys.argv[1])) as temporary:\n"
    "    temporary.write_bytes(b'half'); print(temporary.name, flush=True); sys.stdin.read()"
)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path, stranger = tmp_path / "x.csv", tmp_path / ".other.csv.0123abcd"
    stranger.write_bytes(b"")
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        left = writer.stdout.readline().strip()
        files.write_atomically(path, b"new")
        assert names(tmp_path) == sorted([left, stranger.name, "x.csv"])  # of one that lives, nothing is taken
        writer.kill()
    assert (tmp_path / left).exists()
    files.write_atomically(path, b"newer")
    assert names(tmp_path) == sorted([stranger.name, "x.csv"])


# --- adding to a file, and removing one ---------------------------------------------------------------------------


def test_what_does_not_fit_is_not_added_in_part(tmp_path: Path) -> None:
    """The system's own limit on the size of files stands for the disk."""
    path = tmp_path / "log"
    for data in (b"first\n", b"second\n"):
        files.append(path, data)
    code = (
        "import resource, sys; from pathlib import Path; from explorer import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: files.append(Path(sys.argv[1]), bytes(2000))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-Bc", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "UnwrittenError log could not be written: File too large.\n"
    assert path.read_bytes() == b"first\nsecond\n"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ExplorerError, match="a pipe"):
        files.append(tmp_path / "pipe", b"x")


def test_a_file_is_removed_with_what_killed_processes_left_of_it(tmp_path: Path) -> None:
    for name in ("x", ".x.0123abcd", ".y.0123abcd"):
        (tmp_path / name).write_bytes(b"")
    files.remove(tmp_path / "x")
    files.remove(tmp_path / "x")
    assert names(tmp_path) == [".y.0123abcd"]


def test_a_file_of_more_bytes_than_it_may_have(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(10))
    files.check_file(tmp_path / "x", at_most=10)
    files.check_file(tmp_path / "absent", at_most=0)
    with pytest.raises(ExplorerError, match="at most"):
        files.check_file(tmp_path / "x", at_most=9)


# --- reading ------------------------------------------------------------------------------------------------------


def test_a_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "link").symlink_to("x")
    assert files.read(tmp_path / "link") == files.read(tmp_path / "x", at_most=7) == b"content"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 30 * 2**30)
    for name, word in (("pipe", "a pipe"), ("sparse", "30720")):
        with pytest.raises(ExplorerError) as caught:
            files.read(tmp_path / name)
        assert_one_sentence(str(caught.value))
        assert name in str(caught.value)
        assert word in str(caught.value)
    with pytest.raises(IsADirectoryError):
        files.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "absent")
    with pytest.raises(ExplorerError, match="is a device"):
        files.read(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert files.cell(text) == f"'{text}"
    assert files.cells([text, -1.5, "1-2"]) == [f"'{text}", -1.5, "1-2"]


def test_a_name_that_is_no_unicode_can_be_written() -> None:
    assert files.cell(os.fsdecode(b"caf\xe9.png")).encode() == b"caf\\udce9.png"
