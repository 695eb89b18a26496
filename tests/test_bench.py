"""Benchmarks: their code on the CPU, what becomes of old rows, and documents that say what the results say."""

import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench import __main__ as bench
from bench import gpu, growth, operators, table
from bench.common import MISSED, Row
from tests.conftest import MakeModel


def test_the_rows_on_a_cpu() -> None:
    found = list(
        gpu.rows("tiny", torch.device("cpu"), batch=2, rounds=1, img_size=32, embed_dim=48, depth=2, num_heads=3)
    )
    assert [row.name for row in found] == [
        f"{what}, both DeiT-Tiny models, {images}"
        for images in ("one image", "a batch of 2")
        for what in ("capture", "whole analysis")
    ]
    assert all(row.value is not None and row.value > 0 for row in found)
    assert [row.goal for row in found] == [None, None, 1.5, 1.5]


def test_without_a_gpu_the_results_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    results.write_text("[]", encoding="utf-8")
    monkeypatch.setattr(bench, "RESULTS", results)
    monkeypatch.setattr(table, "write", lambda rows: None)
    monkeypatch.setattr(gpu, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["bench", "--only", "gpu"])
    bench.main()
    assert "skipped" in capsys.readouterr().out
    assert results.read_text(encoding="utf-8") == "[]"


@pytest.mark.parametrize(
    "name",
    [
        "attribution",
        "browser",
        "figures",
        "folder",
        "growth",
        "opening",
        "operators",
        "others",
        "speed",
        "start",
        "visitors",
    ],
)
def test_a_benchmark_imports(name: str) -> None:
    """They run rarely, and what they measure moves on."""
    import_module(f"bench.{name}")


@pytest.mark.parametrize(("a", "words"), [(1.0, "standard"), (2.0, "twicing")])
def test_passes_that_are_timed_side_by_side_compute_the_same(
    make_model: MakeModel, images: Tensor, a: float, words: str
) -> None:
    model = make_model()
    with torch.inference_mode():
        written, named = (each(images) for each in (operators.written_out(model, a), operators.under(model, words)))
    torch.testing.assert_close(named, written)


def test_a_part_exchanges_its_own_rows_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    old = [
        {**asdict(Row("kept", 1.0, "s", None)), "group": "speed"},
        {**asdict(Row("gone", 1.0, "s", None)), "group": "folder"},
        {**asdict(Row("slow", 3.0, "s", 2.0, note=f"before{MISSED}it is hard")), "group": "folder"},
        {**asdict(Row("of a group that this version does not know", 1.0, "s", None)), "group": "other"},
    ]
    results.write_text(json.dumps(old), encoding="utf-8")
    monkeypatch.setattr(bench, "RESULTS", results)
    monkeypatch.setattr(table, "write", lambda rows: None)
    monkeypatch.setitem(
        bench.GROUPS,
        "folder",
        lambda images: iter(
            (Row("slow", 4.0, "s", 2.0, note="now"), Row("new", 4.0, "s", 2.0), Row("absent", None, "s", 1))
        ),
    )
    monkeypatch.setattr("sys.argv", ["bench", "--only", "folder"])
    bench.main()
    rows = json.loads(results.read_text(encoding="utf-8"))
    assert [(row["name"], row["group"]) for row in rows] == [
        ("kept", "speed"),
        ("slow", "folder"),
        ("new", "folder"),
        ("absent", "folder"),
        ("of a group that this version does not know", "other"),
    ]
    assert rows[1]["value"] == 4.0
    assert rows[1]["note"] == f"now{MISSED}it is hard"
    assert "new misses its goal" in capsys.readouterr().out


def test_a_part_that_cannot_be_measured_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results.json"
    old = [{**asdict(Row("new image", 1.0, "s", None)), "group": "browser"}]
    results.write_text(json.dumps(old), encoding="utf-8")
    monkeypatch.setattr(bench, "RESULTS", results)
    monkeypatch.setattr(table, "write", lambda rows: None)
    monkeypatch.setitem(bench.GROUPS, "browser", lambda images: iter(()))
    monkeypatch.setattr("sys.argv", ["bench", "--only", "browser"])
    bench.main()
    assert json.loads(results.read_text(encoding="utf-8")) == old


def test_a_group_that_does_not_exist_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only", "sped"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "sped came" in capsys.readouterr().err


def test_the_documents_have_the_tables_of_the_results() -> None:
    rows = table.read(bench.RESULTS)
    for path in (table.README, table.PERFORMANCE):
        text = path.read_text(encoding="utf-8")
        assert table.written(text, rows) == text, "run `python -m bench table`"


def test_every_line_of_the_readme_has_its_rows_and_every_miss_a_reason() -> None:
    rows = table.read(bench.RESULTS)
    names = {row.name for row in rows}
    wanted = {name for lines in table.SECTIONS.values() for line in lines for name in line.rows if "*" not in name}
    assert wanted <= names
    assert [row.name for row in rows if not row.holds and not row.reason] == []
    assert [row.name for row in rows if row.value is None and not row.note] == []


def test_what_is_missed_is_bold_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SECTIONS", {"Times:": (table.Line("both", ("a", "b")), table.Line("ratio", ("c*",)))})
    text = table.speed(
        [
            Row("a", 1.234, "s", 1.0, note=f"median{MISSED}a thread waits"),
            Row("b", 0.5, "s", 1.0),
            Row("cd", None, "x plain", 1.05, note="no such processor"),
            Row("ce", 1.01, "x plain", 1.05),
        ]
    )
    assert "| both | **1.23**, 0.5 s | 1 s |\n| ratio | –, 1.01x | 1.05x |" in text
    assert text.endswith(
        "Not measured, and why:\n\n- ratio: no such processor.\n\nMissed, and why:\n\n- a: a thread waits."
    )


def test_tables_of_peers_growth_and_folders() -> None:
    rows = [
        Row("time of rollout, ours, DeiT-Tiny", 0.69, "x two plain forwards", None, note="keeps A; 2 threads"),
        Row("time of rollout, ours, DeiT-Base", 0.53, "x two plain forwards", None, note="keeps A; 2 threads"),
        Row("time of rollout, other 1.0, DeiT-Tiny", 0.9, "x of ours", 1.0, "higher", "keeps a row; 2 threads"),
        Row("peak memory of rollout, other 1.0, DeiT-Tiny", 12.3, "MiB", None),
        Row("agreement of rollout, other 1.0, DeiT-Tiny", 1.9e-08, "largest absolute difference", 1e-6),
        Row("growth, DeiT-Tiny, 12 blocks, 224 px: tokens", 197, "", None),
        Row("growth, DeiT-Tiny, 12 blocks, 1024 px: tokens", 4097, "", None),
        Row("growth, DeiT-Tiny, 12 blocks, 224 px: traced to plain", 1.26, "x", None),
        Row("growth, DeiT-Tiny, 12 blocks, 1024 px: traced to plain", None, "x", None, note="no room"),
        Row("folder of 1,000 images: time", 3.21, "ms an image", None),
        Row("folder of 1,000 images: peak memory", 512, "MiB", None),
    ]
    text = "".join(f"<!-- {mark} -->\n<!-- end -->\n" for mark in ("peers", "growth", "depth"))
    lines = table.written(text, rows).splitlines()
    assert "| rollout | ours | A | 0.69x, 0.53x of two plain forwards |  |  |" in lines
    assert "| rollout | other 1.0 | a row | **0.9x** of ours | 12 | 1.9e-08 |" in lines
    assert "| DeiT-Tiny, 12 blocks | 224 px | 197 | 1.26x |" in lines
    assert "| DeiT-Tiny, 12 blocks | 1024 px | 4,097 | – |" in lines
    assert "| 1,000 | 3.21 ms an image | 512 MiB |" in lines
    assert table.written(text, []).count("Not measured yet.") == 3


def test_higher_is_better_where_a_row_says_so() -> None:
    assert Row("", 0.9, "x", 1.0).holds
    assert not Row("", 0.9, "x", 1.0, "higher").holds


def test_growth_measures_a_small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SECONDS", 0.0)
    values = growth.measure("tiny", 1, 32)
    assert values.keys() >= set(growth.UNITS)
    assert values["tokens"] == 5
    assert values["trace"] == pytest.approx(
        4 * (3 * 25 + 3 * 5 * 64 + 2 * 5 * 192 + 1000 + 3 * 3 * 5) / 2**20, abs=0.006
    )


def test_what_would_not_fit_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_available", lambda: 1000)
    values = growth.measure("tiny", 1, 32)
    assert "traced pass" not in values
    assert str(values["note"]).startswith("not measured")
