"""What the viewer says of the maps, against Python's own computation of the same numbers in float64."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from explorer.measures import attention
from explorer.measures.attention import Heads
from explorer.measures.settings import Matrix
from explorer.viewer import payload as viewer
from explorer.viewer.source import script
from tests.browser.test_viewer import card, packed, photo, random_trace, sink

pytest.importorskip("playwright")
from playwright.sync_api import Page

from tests.running_app import CHROMIUM, running_browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TEST: no Chromium or Chrome was found"),
]

LAST = 2


@pytest.fixture(scope="module")
def module() -> Iterator[Page]:
    """A page in which the viewer's module is `window.viewer`."""
    with running_browser() as browser:
        page = browser.new_page()
        page.evaluate(
            """async (source) => {
                window.viewer = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
                window.open64 = (text) => viewer.unpack(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
            }""",
            script(),
        )
        yield page


def shares(row: np.ndarray) -> np.ndarray:
    """The positive part of a row as shares of its sum."""
    positive = np.clip(row, 0, None)
    return positive / positive.sum()


def strongest(row: np.ndarray) -> set[int]:
    return set(np.argsort(-row, kind="stable")[: -(-len(row) // 10)].tolist())


@pytest.mark.parametrize("matrix", [Matrix.EFFECTIVE, Matrix.CORRECTION])
@pytest.mark.parametrize("grid", [(6, 7), (5, 5), (2, 2)])
def test_where_a_row_lies_and_how_two_differ(module: Page, matrix: Matrix, grid: tuple[int, int]) -> None:
    traces = [random_trace(grid=grid, seed=seed, sharpness=2.0) for seed in (1, 2)]
    spread = module.evaluate(
        """([text, matrix, grid]) => {
            const { models } = open64(text);
            const rows = models.map((model) => viewer.patchValues(model, 2, 0, matrix, "mean"));
            return [rows.map((row) => viewer.concentrationOf(row, grid)), viewer.differenceOf(...rows)];
        }""",
        [packed(*traces), matrix.label, grid],
    )
    exact = [replace(trace, attention=trace.attention.double()) for trace in traces]
    rows = [attention.maps(trace, 0, matrix, Heads.MEAN)[LAST, 1:].numpy() for trace in exact]
    for row, computed in zip(rows, spread[0], strict=True):
        p = shares(row)
        assert computed["share"] == pytest.approx(sum(p[list(strongest(row))]), abs=0.01)
        ninths: dict[int, float] = dict.fromkeys(range(9), 0.0)
        for patch, share in enumerate(p):
            y, x = divmod(patch, grid[1])
            ninths[3 * int(3 * (y + 0.5) / grid[0]) + int(3 * (x + 0.5) / grid[1])] += share
        assert computed["inside"] == pytest.approx(max(ninths.values()), abs=0.01)
        assert ninths[computed["ninth"]] == pytest.approx(max(ninths.values()), abs=0.02)
    p, q = map(shares, rows)
    assert spread[1]["variation"] == pytest.approx(np.abs(p - q).sum() / 2, abs=0.01)
    assert spread[1]["count"] == -(-len(p) // 10)
    assert spread[1]["common"] == len(strongest(rows[0]) & strongest(rows[1]))


@pytest.mark.parametrize("choice", ["mean", 1])
def test_what_a_patch_receives(module: Page, choice: Any) -> None:
    """The mean of its column of `A`; the measures compute it for the sink score."""
    traces = [random_trace(seed=1), replace(random_trace(seed=2), attention=sink(13, 2))]
    for index, trace in enumerate(traces):
        received = module.evaluate(
            "([text, m, choice]) => [...viewer.receivedOf(open64(text).models[m], 2, choice)]",
            [packed(*traces), index, choice],
        )
        A = trace.attention[LAST].double()
        expected = (A.mean(dim=0) if choice == "mean" else A[choice]).mean(dim=0)
        np.testing.assert_allclose(received, expected, atol=0.01)
        assert sum(received) == pytest.approx(1, abs=0.02)


def test_rows_without_weight_and_equal_rows_have_numbers(module: Page) -> None:
    computed = module.evaluate(
        """() => [viewer.concentrationOf([-1, -2, 0, 0], [2, 2]), viewer.differenceOf([1, 0, 0], [2, 0, 0]),
                  viewer.differenceOf([1, 0, 0], [0, 0, 3])]"""
    )
    assert computed[0]["share"] == computed[0]["inside"] == 0
    assert computed[1] == {"variation": 0, "common": 1, "count": 1}
    assert computed[2] == {"variation": 1, "common": 0, "count": 1}


def test_the_sentence_says_the_numbers(module: Page) -> None:
    traces = [random_trace(seed=1), replace(random_trace(seed=2), attention=sink(13, 2))]
    sides = [
        viewer.ViewerSide(trace, replace(card(trace), name=name)) for trace, name in zip(traces, "PQ", strict=True)
    ]
    text = base64.b64encode(viewer.pack(photo(), sides)).decode()
    said = module.evaluate(
        """(text) => {
            const { models } = open64(text);
            const state = { ...viewer.DEFAULTS, layer: 2, matrix: "A" };
            const { values } = viewer.mapsOf(state, models, 2);
            return viewer.sentenceOf(state, models, values).map((part) => part.text).join("");
        }""",
        text,
    )
    rows = [attention.maps(trace, 0, Matrix.ATTENTION, Heads.MEAN)[LAST, 1:].double().numpy() for trace in traces]
    for row in rows:
        assert f"{100 * sum(shares(row)[list(strongest(row))]):.0f}%" in said
    p, q = map(shares, rows)
    assert f"Of the weight, {50 * np.abs(p - q).sum():.0f}% lies elsewhere" in said
    received = float(torch.as_tensor(sink(13, 2))[LAST].mean(dim=(0, 1))[3])
    assert f"one patch (row 1, column 3) draws {100 * received:.0f}% of the layer's attention" in said
