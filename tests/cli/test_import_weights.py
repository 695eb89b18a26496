"""`import-weights` from a file of others to a start that training can read."""

from pathlib import Path

import pytest
import torch

from explorer import cli
from explorer.models import starts
from tests.helpers import assert_one_sentence
from tests.models.dinov2_files import Exporter, hugging_face


def arguments(folder: Path, architecture: str, **options: str) -> list[str]:
    named = {"origin": "Nobody", "license": "MIT", "out": str(folder / "start.safetensors"), **options}
    given = [part for name, value in named.items() for part in (f"--{name}", value)]
    return ["import-weights", str(folder / "vit.onnx"), "--architecture", architecture, *given]


def test_a_start_is_written_and_what_was_compared_is_said(
    tmp_path: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Exporter(hugging_face()).write(tmp_path / "vit.onnx")
    assert cli.main(arguments(tmp_path, tiny)) == 0
    start = starts.load_start(tmp_path / "start.safetensors")
    assert (start.architecture, start.origin, start.license) == (tiny, "Nobody", "MIT")
    printed = capsys.readouterr().out
    assert "folded against unfolded, float64: " in printed
    assert "read weights against the graph, float32: " in printed
    assert all(part in printed for part in (*start.changes, start.digest, start.source_digest))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"license": ""}, "license of vit.onnx was expected"),
        ({"out": "start.bin"}, "end in .safetensors"),
        ({"architecture": "deit_small_patch16_224"}, "width 384"),
        ({"architecture": "nothing"}, "nothing"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_2(
    tmp_path: Path, tiny: str, capsys: pytest.CaptureFixture[str], options: dict[str, str], why: str
) -> None:
    Exporter(hugging_face()).write(tmp_path / "vit.onnx")
    architecture = options.pop("architecture", tiny)
    assert cli.main(arguments(tmp_path, architecture, **options)) == 2
    said = capsys.readouterr().err
    assert why in said
    assert_one_sentence(said)
    assert [path.name for path in tmp_path.iterdir()] == ["vit.onnx"]


def test_a_damaged_file_is_one_sentence_and_exit_code_2(
    tmp_path: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model": {}}, tmp_path / "vit.onnx")
    assert cli.main(arguments(tmp_path, tiny)) == 2
    assert_one_sentence(capsys.readouterr().err)


def test_help_needs_nothing_that_is_optional(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["import-weights", "--help"])
    assert caught.value.code == 0
    assert "--license" in capsys.readouterr().out
