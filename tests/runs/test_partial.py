"""The file of a run: held by one run at a time, and one policy of what of it still counts."""

import errno
import os
import signal
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import filelock
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from explorer.runs import robustness_file
from explorer.runs.partial import ROWS, Partial, Row, is_same, stamp_of, write_table
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

DATA = b"pixels"
ROW = Row("a.png", 6, 1, sha256(DATA).hexdigest(), "", ("0.5",))
HOLDS = """
import sys
from pathlib import Path
from explorer.runs.partial import ROWS, Partial, Row
path = Path(sys.argv[1])
with Partial(path, path, ROWS) as rows:
    rows.append([Row("a.png", 6, 1, "", "No.")])
    print("holds", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- who holds it -------------------------------------------------------------------------------------------------


def test_a_run_that_is_killed_lets_go_and_leaves_its_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.partial"
    arguments = [sys.executable, "-c", HOLDS, path]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        with pytest.raises(ExplorerError, match=r"Another run is measuring into x\.csv") as caught:
            Partial(path, tmp_path / "x.csv", ROWS)
        assert_one_sentence(str(caught.value))
        with pytest.raises(ExplorerError, match=r"measuring into x\.partial"), robustness_file.opened(path, {}):
            pass
        process.send_signal(signal.SIGKILL)
    with Partial(path, tmp_path / "x.csv", ROWS) as rows:
        assert [row.image for row, _ in rows.rows()] == ["a.png"]
    assert names(tmp_path) == ["x.partial"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_no_run_from_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def none(*_: object, **__: object) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock, "lock_descriptor", none)
    with Partial(tmp_path / "x.partial", tmp_path / "x.csv", ROWS) as rows:
        rows.append([ROW])
        assert [row for row, _ in rows.rows()] == [ROW]
        rows.remove()
    settings = {"format": 1, "models": [], "eps": []}
    with robustness_file.opened(tmp_path / "x.jsonl", settings) as (_, ranks):
        assert ranks == {}
    assert robustness_file.read(tmp_path / "x.jsonl").settings == settings
    assert names(tmp_path) == ["x.jsonl"]


def test_nothing_is_left_beside_a_result_and_no_empty_file(tmp_path: Path) -> None:
    with Partial(tmp_path / "x.partial", tmp_path / "x.csv", ROWS):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_the_umask_holds(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Partial(tmp_path / "x.partial", tmp_path / "x.csv", ROWS) as rows:
            rows.append([ROW])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.partial").stat().st_mode) == 0o666 & ~umask


def test_lines_of_earlier_versions_are_read(tmp_path: Path) -> None:
    lines = b'["a.png",6,1,"f0","","0.5",""]\n["b.png",0,0,"","No.\\u00e4"]\n'
    (tmp_path / "x.partial").write_bytes(lines)
    expected = [Row("a.png", 6, 1, "f0", "", ("0.5", "")), Row("b.png", 0, 0, "", "No.ä")]
    with Partial(tmp_path / "x.partial", tmp_path / "x.csv", ROWS) as rows:
        assert [row for row, _ in rows.rows()] == expected
        rows.cut(0)
        rows.append(expected)
        assert rows.read() == lines


# --- what still counts --------------------------------------------------------------------------------------------


def never() -> bytes:
    raise AssertionError("The stamp was expected to decide.")


def refused() -> bytes:
    raise ExplorerError("No.")


def test_size_and_time_decide_and_nothing_is_read() -> None:
    assert is_same(ROW, ("a.png", 6, 1), never)
    assert not is_same(ROW, ("a.png", 7, 1), never)
    assert not is_same(ROW, ("a.png", 7, 2), never)
    assert not is_same(ROW, ("b.png", 6, 1), never)
    assert not is_same(ROW, ("a.png", -1, -1), never)


@pytest.mark.parametrize("stamp", [(6, 1), (0, 0)])
def test_content_decides_where_the_time_differs_or_no_stamp_was_noted(stamp: tuple[int, int]) -> None:
    row = Row("a.png", *stamp, ROW.sha256, "")
    assert is_same(row, ("a.png", 6, 2), lambda: DATA)
    assert not is_same(row, ("a.png", 6, 2), lambda: b"others")
    assert not is_same(row, ("a.png", 6, 2), refused)
    assert is_same(Row("a.png", 0, 0, ROW.sha256, ""), ("a.png", 0, 0), lambda: DATA)
    assert not is_same(Row("a.png", 0, 0, ROW.sha256, ""), ("a.png", 0, 0), lambda: b"others")


@pytest.mark.parametrize("stamp", [(6, 1), (-1, -1), (0, 0)])
def test_what_could_not_be_read_counts_until_it_can(stamp: tuple[int, int]) -> None:
    row = Row("a.png", *stamp, "", "No.")
    assert is_same(row, ("a.png", *stamp), refused)
    assert not is_same(row, ("a.png", *stamp), lambda: DATA)
    assert not is_same(Row("a.png", *stamp, "", "Another reason."), ("a.png", *stamp), refused)


def test_a_stamp_is_of_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert stamp_of("a.png", path) == stamp_of("a.png", Path("a\0b")) == ("a.png", -1, -1)
    path.write_bytes(DATA)
    os.utime(path, ns=(5, 7))
    assert stamp_of("a.png", path) == ("a.png", 6, 7)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_names_that_are_no_unicode_or_formulas_are_written(tmp_path: Path, suffix: str) -> None:
    name = os.fsdecode(b"=caf\xe9.png")
    rows = [Row(name, 1, 1, "x", "", ("-", "-1.5")), Row(name, 1, 1, "", f"{name} cannot be read.")]
    write_table(rows, ["prediction", "margin"], tmp_path / f"x{suffix}", ("prediction",))
    if suffix == ".csv":
        lines = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()
        assert lines[1:] == ["'=caf\\udce9.png,x,,'-,-1.5", "'=caf\\udce9.png,,'=caf\\udce9.png cannot be read.,,"]
    else:
        assert pq.read_table(tmp_path / "x.parquet")["image"].to_pylist() == ["=caf\\udce9.png"] * 2
