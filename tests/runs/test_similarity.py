"""Curves of a folder: the same as image by image, whatever lies in it and wherever a run was stopped."""

import csv
import errno
import json
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from explorer import cli
from explorer.jobs import passes
from explorer.measures.settings import Definition
from explorer.measures.similarity import token_similarity
from explorer.models import LoadedModel, checkpoints, with_filter, with_packed_layers
from explorer.models.sizes import with_input_size
from explorer.models.trace import trace
from explorer.pictures import heic, images, preprocess
from explorer.runs import partial, similarity
from explorer.runs.similarity import FolderStep
from explorer.serving.pair import load_pair
from explorer.types import ROLES, ExplorerError
from tests.helpers import assert_one_sentence, picture, quadratics

MakeModel = Callable[..., object]
LoadedPair = tuple[LoadedModel, LoadedModel]
Declared = dict[str, object]
Table = list[dict[str, str]]

COLUMNS = [f"{side}_{state}" for side in ("baseline", "twicing") for state in range(3)]


@pytest.fixture
def files(tmp_path: Path, make_model: MakeModel, declared: Declared) -> tuple[Path, Path]:
    """Two tiny checkpoints."""
    paths = []
    for seed, (name, a) in enumerate((("base", 1.0), ("twice", 2.0))):
        paths.append(tmp_path / "models" / f"{name}.safetensors")
        paths[-1].parent.mkdir(exist_ok=True)
        checkpoints.save(paths[-1], make_model(seed=seed).state_dict(), declared | {"name": name, "filter": a})
    return paths[0], paths[1]


@pytest.fixture
def pair(files: tuple[Path, Path]) -> LoadedPair:
    return checkpoints.load(files[0]), checkpoints.load(files[1])


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """20 images in two folders, of different sizes, which is two chunks and a half; the 11th is none."""
    root = tmp_path / "many"
    for i in range(20):
        path = root / f"part {i // 12}" / f"{i:02}.{'png' if i % 2 else 'bmp'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i, (32 + i, 40)).save(path)
    (root / "part 0" / "10.bmp").write_bytes(b"BM, but not an image")
    return root


def measuring(
    root: Path, pair: LoadedPair, out: Path, definition: Definition = Definition()
) -> Generator[FolderStep, None, None]:
    """With an engine of its own, which ends with the run."""
    with closing(load_pair(*pair, device="cpu")) as both:
        yield from similarity.measure(root, both, out, definition)


def measure(root: Path, pair: LoadedPair, out: Path, definition: Definition = Definition()) -> FolderStep:
    *_, last = measuring(root, pair, out, definition)
    return last


def table(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(row: dict[str, str]) -> list[float]:
    return [float(row[name]) for name in COLUMNS]


def beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if file.is_file())


def unfinished(path: Path) -> Path:
    (found,) = path.parent.glob(f".{path.name}.*.partial")
    return found


def stopped_after(root: Path, pair: LoadedPair, out: Path, done: int) -> None:
    steps = measuring(root, pair, out)
    for step in steps:
        if step.done >= done:
            steps.close()
            return


def in_a_process(work: Callable[[], object]) -> int | None:
    """Runs `work` in a process of its own, which has everything imported already; its exit code."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(30)
    return process.exitcode


def refusal(root: Path, pair: LoadedPair, out: Path) -> str:
    with pytest.raises(ExplorerError) as caught:
        measure(root, pair, out)
    assert_one_sentence(str(caught.value))
    return str(caught.value)


# --- what is measured ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "definition", [Definition(), Definition(with_prefix=True, with_diagonal=True), Definition(absolute=True)]
)
def test_the_curves_are_those_of_single_traces(
    many: Path, pair: LoadedPair, tmp_path: Path, definition: Definition
) -> None:
    out = tmp_path / "curves.csv"
    assert measure(many, pair, out, definition) == FolderStep(20, 20, 1)
    for row in table(out):
        if not row["error"]:
            decoded = images.decode((many / row["image"]).read_bytes())
            assert row["sha256"] == decoded.digest
            expected = []
            for model in pair:
                pre = model.card.preprocessing
                (one,) = trace(model.module, preprocess.batch([preprocess.model_view(decoded.rgb, pre)], pre))
                expected += token_similarity(one, definition).tolist()
            assert np.allclose(numbers(row), expected, rtol=0, atol=1e-5)


def test_models_may_want_different_pixels(
    many: Path, pair: LoadedPair, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    told = {"architecture": pair[1].card.architecture, "filter": 2.0}  # timm's own preprocessing
    checkpoints.save(files[1], pair[1].module.state_dict(), told)
    other = checkpoints.load(files[1])
    assert other.card.preprocessing != pair[0].card.preprocessing
    measure(many, pair, tmp_path / "same.csv")
    measure(many, (pair[0], other), tmp_path / "other.csv")
    same, changed = table(tmp_path / "same.csv")[0], table(tmp_path / "other.csv")[0]
    assert same["baseline_2"] == changed["baseline_2"]
    assert same["twicing_2"] != changed["twicing_2"]


def test_numbers_keep_every_digit_of_float32(many: Path, pair: LoadedPair, tmp_path: Path) -> None:
    measure(many, pair, tmp_path / "x.csv")
    for row in table(tmp_path / "x.csv"):
        assert all(text == "" or str(np.float32(text)) == text for text in (row[name] for name in COLUMNS))


def test_images_are_found_below_and_sorted_and_hidden_ones_are_not(pair: LoadedPair, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shown = ["a b/2.png", "a.png", "a/1.PNG", "a/b/c/3.jpeg", "b.webp"]
    for name in [*shown, ".hidden.png", ".cache/4.png", "a/._1.png", "notes.txt", "png"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(1).save(root / name, "PNG")
    measure(root, pair, tmp_path / "x.csv")
    assert [row["image"] for row in table(tmp_path / "x.csv")] == sorted(shown) == shown


def test_every_suffix_of_the_formats_is_known() -> None:
    Image.init()
    assert heic.can_read()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in images.FORMATS}
    assert known == images.SUFFIXES


def test_names_of_any_kind_come_back(pair: LoadedPair, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    names = [
        b"a,b.png",
        b'a"b.png',
        b"a\nb.png",
        b"a\rb.png",
        " ä 日本.png".encode(),
        b"a\xff.png",
        b" a .png",
        b"=1.png",
    ]
    for name in names:
        picture(1).save(os.fsencode(root) + b"/" + name, "PNG")
    expected = sorted(name.decode("utf-8", "backslashreplace") for name in names)
    measure(root, pair, tmp_path / "x.csv")
    measure(root, pair, tmp_path / "x.parquet")
    in_cells = sorted("'=1.png" if name == "=1.png" else name for name in expected)  # no formula
    assert sorted(row["image"] for row in table(tmp_path / "x.csv")) == in_cells
    assert sorted(pq.read_table(tmp_path / "x.parquet")["image"].to_pylist()) == expected


def test_csv_and_parquet_hold_the_same(
    many: Path, pair: LoadedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "_GROUP", 7)
    measure(many, pair, tmp_path / "x.csv")
    measure(many, pair, tmp_path / "x.parquet")
    stored = pq.read_table(tmp_path / "x.parquet")
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 3
    assert stored.column_names == ["image", "sha256", "error", *COLUMNS]
    assert {str(stored.schema.field(name).type) for name in COLUMNS} == {"float"}
    for text, row in zip(table(tmp_path / "x.csv"), stored.to_pylist(), strict=True):
        for name in stored.column_names:
            value = row[name]
            assert text[name] == ("" if value is None else value if isinstance(value, str) else str(np.float32(value)))


def test_what_cannot_be_read_is_a_row_with_its_error(
    pair: LoadedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    (root / "folder.png").mkdir(parents=True)
    (root / "locked").mkdir()
    picture(1).save(root / "fine.png")
    (root / "text.jpg").write_text("hello")
    (root / "empty.gif").write_bytes(b"")
    (root / "link.png").symlink_to("nowhere")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    (root / "huge.tif").touch()
    os.truncate(root / "huge.tif", 2**30)
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "no", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert measure(root, pair, tmp_path / "x.csv") == FolderStep(7, 7, 6)
    said = {row["image"]: row["error"] for row in table(tmp_path / "x.csv")}
    assert said.pop("fine.png") == ""
    assert sorted(said) == ["empty.gif", "huge.tif", "link.png", "locked/", "pipe.png", "text.jpg"]
    for error in said.values():
        assert_one_sentence(error)
        assert str(tmp_path) not in error
    assert "Permission denied" in said["locked/"]
    assert "text file" in said["text.jpg"]


def test_a_folder_of_nothing_readable_is_measured(pair: LoadedPair, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "x.png").write_bytes(b"")
    for name in ("x.csv", "y.parquet"):
        assert measure(tmp_path / "root", pair, tmp_path / name) == FolderStep(1, 1, 1)
    assert pq.read_table(tmp_path / "y.parquet")["twicing_2"].to_pylist() == [None]


def test_packed_layers_are_said_and_make_another_run(many: Path, pair: LoadedPair, tmp_path: Path) -> None:
    stopped_after(many, pair, tmp_path / "x.csv", 8)
    assert next(measuring(many, pair, tmp_path / "x.csv")).done == 8
    packed = with_packed_layers(pair[0]), with_packed_layers(pair[1])
    assert next(measuring(many, packed, tmp_path / "x.csv")).done == 0
    measure(many, packed, tmp_path / "packed.csv")
    assert json.loads((tmp_path / "packed.json").read_text())["models"]["twicing"]["packed"] is True
    measure(many, pair, tmp_path / "plain.csv")
    for row, other in zip(table(tmp_path / "packed.csv"), table(tmp_path / "plain.csv"), strict=True):
        if not row["error"]:
            np.testing.assert_allclose(numbers(row), numbers(other), atol=1e-5)


def test_another_size_of_the_input_never_goes_on_in_the_same_table(
    many: Path, pair: LoadedPair, tmp_path: Path
) -> None:
    out, finer = tmp_path / "x.csv", (with_input_size(pair[0], 48), with_input_size(pair[1], 48))
    stopped_after(many, finer, out, 8)
    assert next(measuring(many, finer, out)).done == 8
    assert next(measuring(many, pair, out)).done == 0
    measure(many, pair, out)
    small = out.read_bytes()
    message = refusal(many, finer, out)
    assert "x.csv holds numbers at an input of the models' own size; an input of 48x48 px was asked for" in message
    assert out.read_bytes() == small
    measure(many, finer, tmp_path / "y.csv")
    assert (tmp_path / "y.csv").read_bytes() != small
    said = json.loads((tmp_path / "y.json").read_text())["models"]["baseline"]
    assert (said["input_size"], len(said["changes"])) == ([48, 48], 1)


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU that has it; on any other torch computes the same, slowly."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


def test_in_bfloat16_curves_are_near_and_the_file_says_so(
    many: Path, files: tuple[Path, Path], tmp_path: Path, bfloat16: None
) -> None:
    words = ["similarity", str(many), "--baseline", str(files[0]), "--twicing", str(files[1]), "--out"]
    assert cli.main([*words, str(tmp_path / "plain.csv")]) == 1
    assert cli.main([*words, str(tmp_path / "half.csv"), "--precision", "bfloat16"]) == 1
    models = json.loads((tmp_path / "half.json").read_text())["models"]
    assert [models[role]["precision"] for role in ROLES] == ["bfloat16"] * 2
    assert "precision" not in (tmp_path / "plain.json").read_text()
    differences = [
        np.abs(np.subtract(numbers(row), numbers(other))).max()
        for row, other in zip(table(tmp_path / "half.csv"), table(tmp_path / "plain.csv"), strict=True)
        if not row["error"]
    ]
    assert 0 < max(differences) < 0.02


def test_a_cpu_without_bfloat16_is_said_to_lack_it(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert cli.main(["similarity", str(many), "--out", str(tmp_path / "x.csv"), "--precision", "bfloat16"]) == 2
    message = capsys.readouterr().err.strip()
    assert "avx512_bf16" in message
    assert_one_sentence(message)


def test_the_settings_lie_beside_the_result(many: Path, pair: LoadedPair, tmp_path: Path) -> None:
    definition = Definition(absolute=True)
    measure(many, pair, tmp_path / "x.csv", definition)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    told = json.loads(text)
    assert told["definition"] == definition.sentence()
    assert (told["images"], told["errors"], told["device"]) == (20, 1, "cpu")
    assert told["models"]["twicing"] == {
        "name": "twice",
        "source": "models/twice.safetensors",
        "sha256": pair[1].card.digest,
        "filter": [2.0, 2.0],
    }
    assert set(told["versions"]) == {"explorer", "torch", "timm", "pillow", "numpy"}
    assert str(tmp_path) not in text


# --- stopped and continued ----------------------------------------------------------------------------------------


@pytest.fixture
def whole(many: Path, pair: LoadedPair, tmp_path: Path) -> bytes:
    """The result of a run that nothing stops."""
    (tmp_path / "whole").mkdir()
    measure(many, pair, tmp_path / "whole" / "x.csv")
    return (tmp_path / "whole" / "x.csv").read_bytes()


def test_a_run_that_was_killed_goes_on(many: Path, pair: LoadedPair, tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "x.csv"

    def killed() -> None:
        for step in measuring(many, pair, out):
            if step.done >= 8:
                os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_process(killed) == -signal.SIGKILL
    assert not out.exists()
    first, *_ = steps = list(measuring(many, pair, out))
    assert [step.done for step in steps] == [8, 16, 20]
    assert first == FolderStep(8, 20, 0)
    assert out.read_bytes() == whole
    assert beside(out) == ["x.csv", "x.json"]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_the_same_run_gives_the_same_bytes(many: Path, pair: LoadedPair, tmp_path: Path, format: str) -> None:
    results = []
    for done in (0, 8, 20, 99):
        out = tmp_path / f"x.{format}"
        stopped_after(many, pair, out, done)
        measure(many, pair, out)
        results.append((out.read_bytes(), out.with_suffix(".json").read_bytes()))
    assert len(set(results)) == 1


@pytest.mark.parametrize("tail", [b'["part 1/', b"\0" * 300, b"\n\n", b"[1,2]\n", b'["a",1,2,"","", 3]\n', b"\xff" * 9])
@pytest.mark.parametrize("keep", [1.0, 0.7])
def test_a_tail_that_was_cut_short_is_measured_again(
    many: Path, pair: LoadedPair, tmp_path: Path, whole: bytes, keep: float, tail: bytes
) -> None:
    out = tmp_path / "x.csv"
    stopped_after(many, pair, out, 16)
    data = unfinished(out).read_bytes()
    unfinished(out).write_bytes(data[: int(keep * len(data))] + tail)
    assert [step.done for step in measuring(many, pair, out)] == ([16, 20] if keep == 1 else [8, 16, 20])
    assert out.read_bytes() == whole


@pytest.mark.parametrize("change", ["touched", "removed", "added before", "added after", "grown"])
def test_a_folder_that_changed_is_measured_as_it_is_now(
    many: Path, pair: LoadedPair, tmp_path: Path, change: str
) -> None:
    out = tmp_path / "x.csv"
    stopped_after(many, pair, out, 20 if change == "grown" else 16)
    if change == "touched":
        picture(77).save(many / "part 0" / "09.png")
    elif change == "removed":
        (many / "part 0" / "09.png").unlink()
    else:
        name = {"added before": "part 0/08a.png", "added after": "part 1/99.png", "grown": "z.png"}[change]
        picture(77).save(many / name)
    first, *_ = measuring(many, pair, out)
    assert first.done == (16 if change in ("added after", "grown") else 8)
    (tmp_path / "fresh").mkdir()
    measure(many, pair, tmp_path / "fresh" / "x.csv")
    assert out.read_bytes() == (tmp_path / "fresh" / "x.csv").read_bytes()


def test_a_folder_that_was_copied_goes_on(many: Path, pair: LoadedPair, tmp_path: Path, whole: bytes) -> None:
    """Every file has another time of change and the content it had."""
    out = tmp_path / "x.csv"
    stopped_after(many, pair, out, 16)
    for path in many.rglob("*.*"):
        os.utime(path, ns=(1, 1))
    assert [step.done for step in measuring(many, pair, out)] == [16, 20]
    assert out.read_bytes() == whole


def test_other_models_and_definitions_do_not_mix(many: Path, pair: LoadedPair, tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "x.csv"
    stopped_after(many, pair, out, 8)
    swapped = pair[0], with_filter(pair[1], quadratics(1.0, 2.0))
    assert next(measuring(many, swapped, out)).done == 0
    assert next(measuring(many, pair[::-1], out)).done == 0
    assert next(measuring(many, pair, out, Definition(absolute=True))).done == 0
    assert next(measuring(many / "part 0", pair, out)).done == 0
    measure(many, swapped, out)
    assert out.read_bytes() != whole
    assert next(measuring(many, pair, out)).done == 8
    measure(many, pair, out)
    assert out.read_bytes() == whole


def test_two_runs_into_one_file_are_refused(many: Path, pair: LoadedPair, tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "x.csv"
    steps = measuring(many, pair, out)
    next(steps)
    assert "Another run is measuring into x.csv" in refusal(many, pair, out)
    list(steps)
    assert out.read_bytes() == whole


def test_an_old_result_stays_until_the_new_one_is_whole(many: Path, pair: LoadedPair, tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    out.write_text("old")
    stopped_after(many, pair, out, 20)
    assert out.read_text() == "old"
    measure(many, pair, out)
    assert len(table(out)) == 20


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "limit", "kept"), [(0, 100, 0), (0, 3000, 8), (20, 1900, 20)])
@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_full_disk_keeps_what_was_measured(
    many: Path, pair: LoadedPair, tmp_path: Path, name: str, before: int, limit: int, kept: int
) -> None:
    """The system's own limit on the size of files stands for the disk: in the first chunk, another, the result."""
    out = tmp_path / name
    reading, writing = os.pipe()

    def limited() -> None:
        sys.dont_write_bytecode = True  # it would be cut off as well
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            measure(many, pair, out)
        except ExplorerError as error:
            os.write(writing, str(error).encode())

    stopped_after(many, pair, out, before)
    assert in_a_process(limited) == 0
    said = os.read(reading, 10_000).decode()
    os.close(reading)
    os.close(writing)
    assert_one_sentence(said)
    assert said.startswith(f"{name} could not be written: File too large; what was measured of {kept} images is kept")
    assert not out.exists()
    assert [file for file in beside(out) if file.endswith((".csv", ".parquet"))] == []
    assert next(measuring(many, pair, out)).done == kept
    measure(many, pair, out)
    assert beside(out) == sorted([name, "x.json"])


def test_what_does_not_fit_is_refused_in_a_sentence(many: Path, pair: LoadedPair, tmp_path: Path) -> None:
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "mine.json").write_text('{"my": "data"}')
    assert "missing" in refusal(tmp_path / "absent", pair, tmp_path / "x.csv")
    assert "holds none" in refusal(tmp_path / "empty", pair, tmp_path / "x.csv")
    assert "is none" in refusal(many / "part 0" / "00.bmp", pair, tmp_path / "x.csv")
    assert "x.txt came" in refusal(many, pair, tmp_path / "x.txt")
    assert "dir.csv is a folder" in refusal(many, pair, tmp_path / "dir.csv")
    assert "no folder absent" in refusal(many, pair, tmp_path / "absent" / "x.csv")
    assert "mine.json" in refusal(many, pair, tmp_path / "mine.csv")
    assert beside(tmp_path / "x") == ["mine.json"]


def test_a_device_without_room_says_so(
    many: Path, pair: LoadedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Iterator[object]:
        raise RuntimeError("CUDA out of memory. Tried to allocate 3 GiB")

    monkeypatch.setattr(passes, "states", full)
    assert "no room for 8 images in base" in refusal(many, pair, tmp_path / "x.csv")
    assert beside(tmp_path / "x") == []


def test_another_error_that_speaks_of_memory_is_not_taken_for_it(
    many: Path, pair: LoadedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> Iterator[object]:
        raise RuntimeError("unsupported memory format option Preserve")

    monkeypatch.setattr(passes, "states", wrong)
    with pytest.raises(RuntimeError, match="memory format"):
        list(measuring(many, pair, tmp_path / "x.csv"))


# --- the command --------------------------------------------------------------------------------------------------


def command(root: Path, out: Path, files: tuple[Path, Path], *options: str) -> int:
    models = ["--baseline", str(files[0]), "--twicing", str(files[1]), "--device", "cpu"]
    return cli.main(["similarity", str(root), "--out", str(out), *models, *options])


def test_the_command_measures_and_says_so(
    many: Path,
    pair: LoadedPair,
    files: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    whole: bytes,
) -> None:
    out = tmp_path / "x.csv"
    assert command(many, out, files) == 1
    assert out.read_bytes() == whole
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"{out}: 20 images, of which 1 could not be read\n"
    (many / "part 0" / "10.bmp").unlink()
    assert command(many, out, files, "--with-cls", "--absolute", "--with-diagonal") == 0
    assert capsys.readouterr().err == f"{out}: 19 images\n"
    measure(many, pair, tmp_path / "y.csv", Definition(True, True, True))
    assert (tmp_path / "y.csv").read_bytes() == out.read_bytes()


def test_the_command_takes_the_pair_that_opens(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    picture(1, (64, 64)).save(tmp_path / "root" / "x.png")
    out = tmp_path / "x.parquet"
    assert cli.main(["similarity", str(tmp_path / "root"), "--out", str(out), "--device", "cpu"]) == 0
    told = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert [told["models"][side]["filter"][0] for side in ROLES] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("words", "sides"),
    [
        ((), ("baseline", "twicing")),
        (("--twicing-filter", "1,2"), ("baseline", "twicing")),
        (("--twicing-filter", "1"), ("baseline", "second")),
        (("--twicing-filter", "1.5"), ("baseline", "second")),
        (("--baseline-filter", "2", "--twicing-filter", "2"), ("baseline", "twicing")),
    ],
)
def test_only_a_twicing_model_is_called_so(
    many: Path, files: tuple[Path, Path], tmp_path: Path, words: tuple[str, ...], sides: tuple[str, str]
) -> None:
    out = tmp_path / "x.csv"
    assert command(many, out, files, *words) == 1
    rows = table(out)
    assert list(rows[0])[3:] == [f"{side}_{state}" for side in sides for state in range(3)]
    assert tuple(json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["columns"]) == sides


def test_the_command_refuses_in_a_sentence(
    many: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for root, out, given in (
        (tmp_path / "absent", tmp_path / "x.csv", files),
        (many, tmp_path / "x.xls", files),
        (many, tmp_path / "x.csv", (files[0], tmp_path / "absent.pth")),
    ):
        assert command(root, out, given) == 2
        said = capsys.readouterr().err
        assert said.startswith("explorer: ")
        assert_one_sentence(said)


def test_an_interrupted_command_says_how_to_go_on(
    many: Path,
    files: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    whole: bytes,
) -> None:
    append, calls = partial.Partial.append, []

    def interrupted(rows: partial.Partial, chunk: list[partial.Row]) -> None:
        calls.append(len(chunk))
        if len(calls) == 3:
            raise KeyboardInterrupt
        append(rows, chunk)

    monkeypatch.setattr(partial.Partial, "append", interrupted)
    assert command(many, tmp_path / "x.csv", files) == 130
    said = capsys.readouterr().err
    assert_one_sentence(said)
    assert "the same command goes on" in said
    assert not (tmp_path / "x.csv").exists()
    assert command(many, tmp_path / "x.csv", files) == 1
    assert calls == [8, 8, 4, 4]
    assert (tmp_path / "x.csv").read_bytes() == whole


def test_the_help_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["similarity", "--help"])
    assert stopped.value.code == 0
    assert "goes on when the same command is given" in capsys.readouterr().out
