"""`figure`, `again` and `compare` on the pair that opens: exit codes, sentences, files that are whole or not there."""

import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import explorer
from explorer import cli, files
from explorer.models import sources
from explorer.runs import measured
from explorer.serving import pair as pairs
from explorer.studio import TEMPLATES, record
from explorer.viewer import payload as viewer
from tests.helpers import assert_one_sentence
from tests.pair import facts
from tests.studio.helpers import picture

ROOT = Path(__file__).parents[2]
FAST = ("--dpi", "36")

Run = Callable[..., int]


@cache
def _loaded(*arguments: object, **options: object) -> pairs.ModelPair:
    return _load(*arguments, **options)  # type: ignore[arg-type]


_load = pairs.load_pair


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in an empty folder; a pair that was loaded before is not loaded again."""
    monkeypatch.setattr(pairs, "load_pair", _loaded)
    monkeypatch.chdir(tmp_path)
    return lambda *words: cli.main([str(word) for word in words])


def of_the_pair(words: str) -> str:
    """With the numbers of the pair that opens, and the label of a result beside it."""
    pair, (result, *_) = facts(), measured.files()
    sizes = {"before": pair.depth - 2, "depth": pair.depth, "beyond": pair.depth + 1, "another": pair.heads + 1}
    return words.format(result=result, **sizes)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    path.write_bytes(picture())
    return path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The only line on stderr."""
    err = capsys.readouterr().err
    assert err.startswith("explorer: ")
    assert_one_sentence(err)
    assert all(word in err for word in words), err
    return err


# --- figure -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_from_the_shell_is_the_one_from_python(
    run: Run, cat: Path, tmp_path: Path, template: str
) -> None:
    images = [] if template == "robustness" else [cat]  # none: the results beside the pair
    assert run("figure", template, *(["--images", cat] if images else []), "--out", "x.png", *FAST) == 0
    known = explorer.figure(template, images, _loaded(None, None, **OPTIONS), dpi=36)
    assert (tmp_path / "x.png").read_bytes() == known.file(".png")


OPTIONS = {"baseline_filter": None, "twicing_filter": None, "device": "auto"}


def test_several_files_at_once(run: Run, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["a.pdf", "b.SVG", "c.png", "d.zip"]
    assert run("figure", "dynamics", "--out", *out, *FAST) == 0
    assert capsys.readouterr().out.split() == out
    assert names(tmp_path) == sorted([*out, "cat.png"])


def test_options_are_settings(run: Run, cat: Path, tmp_path: Path) -> None:
    words = of_the_pair("--layers 1,6,{before}-{depth} --heads 2 --query 0.5,0.25 --no-smooth --letters --labels=-x")
    words += " --width 4.125 --font sans"
    assert run("figure", "evolution", "--images", cat, "--out", "x.png", *words.split(), *FAST) == 0
    spec = record.read((tmp_path / "x.png").read_bytes()).spec
    layers = (1, 6, *range(facts().depth - 2, facts().depth + 1))
    assert (spec.layers, spec.heads, spec.query, spec.smooth) == (layers, "2", "0.5,0.25", False)
    assert (spec.letters, spec.labels, spec.width, spec.font) == (True, ("-x",), 4.125, "sans")


def test_the_command_of_a_figure_makes_it_again(run: Run, cat: Path, tmp_path: Path) -> None:
    """A counterfactual with a filter of many digits, and names that look like options."""
    words = ["--twicing-filter", "1.23456789012", "--names=-a", "--names=--b c", "--width", "3.3333333333", *FAST]
    assert run("figure", "heatmaps", "--images", cat, "--out", "x.png", *words) == 0
    known = (tmp_path / "x.png").read_bytes()
    command = shlex.split(record.read(known).command("y.png"))
    assert command[:3] == ["python", "-m", "explorer"]
    assert run(*command[3:]) == 0
    assert (tmp_path / "y.png").read_bytes() == known


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["pie"], "pie"),
        (["heatmaps"], "image"),
        (["heatmaps", "--images", "absent.png"], "absent.png"),
        (["heatmaps", "--images", "folder"], "Is a directory"),
        (["heatmaps", "--images", "text.png"], "text.png"),
        (["heatmaps", "--images", "example:nothing.png"], "example:nothing.png"),
        (["heatmaps", "--images", "cat.png", "--layers", "{beyond}"], "{beyond}"),
        (["heatmaps", "--images", "cat.png", "--layers", "one"], "layers"),
        (["heatmaps", "--images", "cat.png", "--layers", "1,6-3"], "layers"),
        (["heatmaps", "--images", "cat.png", "--layers", "0"], "layers"),
        (["heatmaps", "--images", "cat.png", "--layers", "1-99999999"], "layers"),
        (["heatmaps", "--images", "cat.png", "--heads", "{another}"], "heads"),
        (["heatmaps", "--images", "cat.png", "--width", "0"], "width"),
        (["heatmaps", "--images", "cat.png", "--width", "wide"], "width"),
        (["heatmaps", "--images", "cat.png", "--dpi", "3.5"], "dpi"),
        (["heatmaps", "--images", "cat.png", "--query", "2,2"], "query"),
        (["heatmaps", "--images", "cat.png", "--names", "one"], "names"),
        (["heatmaps", "--images", "cat.png", "--labels", "a", "b"], "labels"),
        (["heatmaps", "--images", "cat.png", "--font", "Nothing"], "Nothing"),
        (["heatmaps", "--images", "cat.png", "--matrix", "rollout", "--heads", "all"], "rollout"),
        (["heatmaps", "--images", "cat.png", "--operator", "rollout", "--heads", "all"], "rollout"),
        (["heatmaps", "--images", "cat.png", "--twicing-filter", "2,2"], "{depth} blocks"),
        (["heatmaps", "--images", "cat.png", "--twicing-filter", "nan"], "finite"),
        (["heatmaps", "--images", "cat.png", "--twicing-filter", "x"], "filter"),
        (["heatmaps", "--images", "cat.png", "--baseline", "absent.safetensors"], "absent.safetensors"),
        (["heatmaps", "--images", "cat.png", "--baseline", "hub:nothing"], "nothing"),
        (["heatmaps", "--images", "cat.png", "--device", "toaster"], "toaster"),
        (["corruption", "--images", "cat.png", "--corruption", "rain"], "rain"),
        (["attack", "--images", "cat.png", "--eps", "9"], "eps"),
        (["attack", "--images", "cat.png", "--eps", "much"], "eps"),
        (["attack", "--images", "cat.png", "--steps", "1.5"], "steps"),
        (["attack", "--images", "cat.png", "--target", "zebra crossing"], "zebra crossing"),
        (["robustness", "--images", "cat.png"], "cat.png"),
        (["robustness", "--images", "text.png"], "text.png"),
        (["robustness", "--images", "absent.jsonl"], "absent.jsonl"),
        (["robustness", "--twicing-filter", "1.5"], "lies beside the pair"),
        (["robustness", "--images", "{result}", "--twicing-filter", "1.5"], "filters"),
        (["heatmaps", "--images", *["cat.png"] * 90, "--layers", "1-{depth}"], "Panels"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(
    run: Run, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder").mkdir()
    words, named = [of_the_pair(word) for word in words], of_the_pair(named)
    assert run("figure", *words, "--out", "x.pdf", *([] if "--dpi" in words else FAST)) == 2
    said(capsys, named)
    assert names(tmp_path) == ["cat.png", "text.png"]


@pytest.mark.parametrize("out", ["x", "x.jpg", "absent/x.pdf"])
def test_a_file_that_cannot_be_written_is_one_sentence(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    assert run("figure", "dynamics", "--out", out) == 2
    said(capsys, out.split("/")[0])
    assert names(tmp_path) == []


@pytest.mark.parametrize("words", [["figure"], ["figure", "heatmaps"], ["figure", "heatmaps", "--out"], ["again"], []])
def test_a_command_that_is_not_whole_is_refused_by_the_parser(run: Run, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    assert stopped.value.code == 2


def test_a_write_that_fails_leaves_the_old_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.pdf").write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert run("figure", "dynamics", "--out", "x.pdf") == 2
    said(capsys, "x.pdf", "No space left on device")
    assert names(tmp_path) == ["x.pdf"]
    assert (tmp_path / "x.pdf").read_bytes() == b"old"


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow beyond a limit: -B, or it would cut off its bytecode, too."""
    code = (
        "import resource, sys; from explorer import cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "sys.exit(cli.main(['figure', 'dynamics', '--out', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-Bc", code, str(tmp_path / "x.pdf")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "explorer: x.pdf could not be written: File too large.\n"
    assert names(tmp_path) == []


def test_an_image_whose_name_is_no_unicode(run: Run, cat: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.png")
    odd.write_bytes(cat.read_bytes())
    assert run("figure", "heatmaps", "--images", odd, "--row-labels", "--out", "x.zip", *FAST) == 0


# --- help ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], *([name] for name in cli._COMMANDS)])
def test_every_command_has_help_that_names_its_options(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: python -m explorer")
    if command == ["figure"]:
        assert all(f"  {template} " in out for template in TEMPLATES)
        assert "--colour-map" in out
    if not command:
        assert all(name in out for name in cli._COMMANDS)
        assert "exit codes" in out


# --- again --------------------------------------------------------------------------------------------------------


def test_again_with_the_record_beside_the_images(run: Run, cat: Path, tmp_path: Path) -> None:
    assert run("figure", "heatmaps", "--images", cat, "example:chelsea.png", "--out", "x.png", "x.zip", *FAST) == 0
    assert run("again", "x.png", "--out", "y.png", "y.svg") == 0
    assert (tmp_path / "y.png").read_bytes() == (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.json").write_text(record.read((tmp_path / "x.png").read_bytes()).json(), encoding="utf-8")
    assert run("again", "x.json", "--out", "z.png") == 0
    assert (tmp_path / "z.png").read_bytes() == (tmp_path / "x.png").read_bytes()


def test_again_with_images_elsewhere_and_a_swapped_filter(run: Run, cat: Path, tmp_path: Path) -> None:
    words = ["--twicing-filter", "1.0000001", *FAST]
    assert run("figure", "heatmaps", "--images", cat, "--out", "x.png", *words) == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cat.rename(elsewhere / "other.png")
    assert run("again", "x.png", "--images", elsewhere / "other.png", "--out", "y.pdf") == 0
    assert run("again", "x.png", "--images", elsewhere / "other.png", "--twicing-filter", "2", "--out", "z.pdf") == 2
    assert not (tmp_path / "z.pdf").exists()


@pytest.mark.parametrize(
    ("name", "named"), [("absent.json", "absent.json"), ("", "cannot be read"), ("cat.png", "another file came")]
)
def test_again_from_what_is_no_record(
    run: Run, cat: Path, capsys: pytest.CaptureFixture[str], name: str, named: str
) -> None:
    assert run("again", cat.parent / name, "--out", "y.pdf") == 2
    said(capsys, named)


@pytest.mark.parametrize("name", ["../cat.png", "", "a\x00b", "example:nothing", "/etc/passwd"])
def test_a_record_names_no_file_elsewhere(
    run: Run, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run("figure", "heatmaps", "--images", cat, "--out", "x.png", *FAST) == 0
    told = record.read((tmp_path / "x.png").read_bytes()).as_dict()
    told["images"][0]["name"] = name
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x.json").write_text(json.dumps(told), encoding="utf-8")
    capsys.readouterr()
    assert run("again", "folder/x.json", "--out", "y.pdf") == 2
    said(capsys)


def test_again_with_other_weights(run: Run, cat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("figure", "heatmaps", "--images", cat, "--out", "x.png", *FAST) == 0
    assert run("again", "x.png", "--baseline", sources.opening("twicing"), "--out", "y.pdf") == 2
    said(capsys, "baseline", "SHA-256")


def test_a_label_of_the_pair_names_a_model_anywhere(run: Run, cat: Path, tmp_path: Path) -> None:
    """As a record's command does, run where the images lie."""
    path = sources.opening("twicing")
    label = f"{path.parent.name}/{path.name}"
    assert run("figure", "heatmaps", "--images", cat, "--baseline", label, "--out", "x.png", *FAST) == 0
    assert record.read((tmp_path / "x.png").read_bytes()).models[0]["source"] == label


def test_a_figure_at_another_input_size_is_made_again_at_it(
    run: Run, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    height, width = facts().cards[0].preprocessing.input_size
    half = str(height // 2)
    assert run("figure", "heatmaps", "--images", cat, "--input-size", f"{half},0", "--out", "x.png", *FAST) == 0
    known = record.read((tmp_path / "x.png").read_bytes())
    assert known.models[0]["input_size"] == [height // 2, width // 2]
    assert "resampled" in known.models[0]["changes"][0]
    assert "input_size" not in known.models[1]
    assert f"--input-size {half},0" in known.command("y.png")
    assert run("again", "x.png", "--out", "y.png") == 0
    assert (tmp_path / "y.png").read_bytes() == (tmp_path / "x.png").read_bytes()
    capsys.readouterr()
    assert run("again", "x.png", "--input-size", str(height), "--out", "z.png") == 2
    said(capsys, f"at {half}x{half} px")


def test_one_input_size_for_both_is_a_setting_of_the_figure(run: Run, cat: Path, tmp_path: Path) -> None:
    """The shell, Python and a record mean the same, and nothing is loaded a second time for it."""
    half = facts().cards[0].preprocessing.input_size[0] // 2
    grid = "x".join(str(side // 2) for side in facts().grid)
    assert run("figure", "heatmaps", "--images", cat, "--input-size", str(half), "--out", "x.zip", *FAST) == 0
    with zipfile.ZipFile(tmp_path / "x.zip") as bundle:
        written, caption = bundle.read("heatmaps.json"), bundle.read("caption.tex").decode()
        command = shlex.split(bundle.read("command.txt").decode())[3:]
        png = bundle.read("heatmaps.png")
    known = record.read(written)
    assert known.spec.input_size == half
    assert [model["input_size"] for model in known.models] == [[half, half]] * 2
    assert command.count("--input-size") == 1
    assert caption.count(f"resampled to {grid}, bicubic, antialiased") == 1
    assert run(*command[:-1], "y.png") == 0
    (tmp_path / "x.json").write_bytes(written)
    assert run("again", "x.json", "--images", cat, "--out", "z.png") == 0
    assert (tmp_path / "y.png").read_bytes() == (tmp_path / "z.png").read_bytes() == png


@pytest.mark.parametrize(
    ("flag", "roles"), [("--packed", ["baseline", "twicing"]), ("--twicing-packed", ["twicing"]), ("", [])]
)
def test_a_figure_of_packed_layers_says_so_and_is_made_again_with_them(
    run: Run, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, roles: list[str]
) -> None:
    flags = flag.split()
    assert run("figure", "residual", "--images", cat, "--out", "x.png", *flags, *FAST) == 0
    known = record.read((tmp_path / "x.png").read_bytes())
    assert [model["role"] for model in known.models if model.get("packed")] == roles
    command = shlex.split(known.command("y.png"))[3:]
    assert [word for word in command if "packed" in word] == flags
    assert run("again", "x.png", "--out", "y.png") == 0
    assert run(*command[:-1], "z.png") == 0
    assert (tmp_path / "y.png").read_bytes() == (tmp_path / "z.png").read_bytes() == (tmp_path / "x.png").read_bytes()
    if roles != ["baseline", "twicing"]:
        capsys.readouterr()
        assert run("again", "x.png", "--packed", "--out", "w.png") == 2
        said(capsys, "without packed linear layers")


@pytest.mark.parametrize("words", ["x", "-64", "64,64,64", "63"])
def test_an_input_size_that_is_none_is_one_sentence(
    run: Run, cat: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert run("figure", "heatmaps", "--images", cat, f"--input-size={words}", "--out", "x.png", *FAST) == 2
    said(capsys, "expected")


# --- compare ------------------------------------------------------------------------------------------------------


def test_compare_makes_a_folder_for_each_image(
    run: Run, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "CAT.jpeg").write_bytes(picture(1))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    assert run("compare", cat, "other/CAT.jpeg", "broken.png", "absent.png", "--out", "out") == 1
    told = capsys.readouterr()
    errors = told.err.splitlines()
    assert [word in error for word, error in zip(("broken.png", "absent.png"), errors, strict=True)] == [True, True]
    for error in errors:
        assert_one_sentence(error)
    assert told.out.splitlines() == ["out/cat", "out/CAT-2"]
    each = ["maps.pdf", "numbers.npz", "residual.pdf", "similarity.pdf", "viewer.html"]
    assert names(tmp_path / "out") == sorted(f"{folder}/{one}" for folder in ("cat", "CAT-2") for one in each)
    numbers = np.load(tmp_path / "out" / "cat" / "numbers.npz")
    assert numbers["similarity, twicing"].shape == (1, facts().depth + 1)
    assert (tmp_path / "out" / "cat" / "viewer.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_compare_without_a_viewer_that_is_too_large(
    run: Run, cat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(viewer, "MOST_BYTES", 1000)
    assert run("compare", cat, "--out", "out") == 0
    err = capsys.readouterr().err
    assert_one_sentence(err.replace("viewer.html", "the viewer"))
    assert "out/cat is without viewer.html" in err
    each = ["maps.pdf", "numbers.npz", "residual.pdf", "similarity.pdf"]
    assert names(tmp_path / "out") == [f"cat/{one}" for one in each]


def test_compare_into_what_is_no_folder(run: Run, cat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", cat, "--out", cat) == 2
    said(capsys, "cannot be made")


@pytest.mark.parametrize("name", ["..png", "-x.png", "a b*c?.png", "." + "x" * 200 + ".png", "猫.png"])
def test_folders_of_odd_names_stay_inside(name: str) -> None:
    from explorer.cli.figure import free_name

    taken: set[str] = set()
    found = [free_name(Path(name).stem, taken) for _ in range(3)]
    assert len({one.lower() for one in found}) == 3
    for one in found:
        assert 0 < len(one) <= 63
        assert one not in (".", "..")
        assert not set(one) & set("/*? ")


def test_files_are_written_by_one_function(
    run: Run, cat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else writes: when it fails, there is nothing."""
    from explorer.types import ExplorerError

    def fail(path: Path, data: bytes) -> None:
        raise ExplorerError(f"{path.name} could not be written: a test.")

    monkeypatch.setattr(files, "write_atomically", fail)
    assert run("compare", cat, "--out", "out") == 1
    assert run("figure", "dynamics", "--out", "x.pdf", "x.zip") == 2
    assert names(tmp_path) == ["cat.png"]
