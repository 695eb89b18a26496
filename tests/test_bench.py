"""The GPU's benchmark without a GPU: its code on the CPU, and results that stay as they are where it is skipped."""

from importlib import import_module
from pathlib import Path

import pytest
import torch

from bench import __main__ as bench
from bench import gpu


def test_the_rows_on_a_cpu() -> None:
    found = list(
        gpu.rows("tiny", torch.device("cpu"), batch=2, rounds=1, img_size=32, embed_dim=48, depth=2, num_heads=3)
    )
    assert [row.name for row in found] == [
        f"{what}, both DeiT-Tiny models, {images}"
        for images in ("one image", "a batch of 2")
        for what in ("capture", "whole analysis")
    ]
    assert all(row.value > 0 for row in found)
    assert [row.goal for row in found] == [None, None, 1.5, 1.5]


def test_without_a_gpu_the_results_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    results.write_text("as it was", encoding="utf-8")
    monkeypatch.setattr(bench, "RESULTS", results)
    monkeypatch.setattr(gpu, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["bench", "--only", "gpu"])
    bench.main()
    assert "skipped" in capsys.readouterr().out
    assert results.read_text(encoding="utf-8") == "as it was"


@pytest.mark.parametrize("name", ["attribution", "browser", "figures", "folder", "speed", "start", "visitors"])
def test_a_benchmark_imports(name: str) -> None:
    """They run rarely, and what they measure moves on; `others` needs packages of its own."""
    import_module(f"bench.{name}")
