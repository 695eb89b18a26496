"""The viewer's JavaScript in a real Chromium: its arithmetic against the measures, then as a page opened from disk."""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.interpolate import PchipInterpolator  # type: ignore[import-untyped]
from torch import Tensor

from explorer.figures.maps import refined
from explorer.figures.style import lookup_table
from explorer.files import ASSETS
from explorer.jobs.passes import TraceJob
from explorer.measures import attention, residual, similarity
from explorer.measures.attention import Heads
from explorer.measures.settings import Matrix
from explorer.models import load, sources
from explorer.notebook import Viewing
from explorer.paper import operators
from explorer.pictures import examples
from explorer.serving.engine import LocalEngine, ask
from explorer.traces import Trace
from explorer.types import ImageInput, ModelCard, Operators, Preprocessing
from explorer.viewer import payload as viewer
from explorer.viewer.source import script
from tests.helpers import CLASSES, make_trace, normal, quadratics, stochastic
from tests.pair import facts
from tests.studio import helpers as tiny

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Page, sync_playwright

from tests.running_app import CHROMIUM, FLAGS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TEST: no Chromium or Chrome was found"),
]

CHOICES = ["mean", "max", 0, 1]
HERE = (0.45, 0.3)
"""A place of the photograph, in shares of its height and width."""

READING = re.compile(r"(?:< |[−.\de]+ to )?[−.\de]+$")
"""A value as the viewer writes it."""

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def module(browser: Browser) -> Iterator[Page]:
    """A page in which the viewer's module is `window.viewer`."""
    page = browser.new_page()
    page.evaluate(
        """async (source) => {
            window.viewer = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
            window.open64 = (text) => viewer.unpack(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
        }""",
        script(),
    )
    yield page
    page.close()


def card(trace: Trace, classes: tuple[str, ...] = CLASSES) -> ModelCard:
    height, width = trace.grid
    return ModelCard(
        name="Tiny",
        architecture="none",
        filter=trace.filter,
        trained_filter=trace.filter,
        classes=classes,
        wnids=classes,
        outputs=len(classes),
        preprocessing=Preprocessing((8 * height, 8 * width), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        recipe="none",
        data="none",
        top1=None,
        git_revision="abc",
        digest="0" * 64,
    )


def photo() -> ImageInput:
    return ImageInput("image", np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def random_trace(prefix: int = 1, grid: tuple[int, int] = (3, 4), sharpness: float = 4.0, seed: int = 0) -> Trace:
    n = prefix + grid[0] * grid[1]
    one = make_trace(
        stochastic(3, 2, n, n, seed=seed, sharpness=sharpness).float(),
        quadratics(1.0, 2.0, 1.5),
        values=normal(3, 2, n, 4).float(),
        tokens=normal(4, n, 8).float(),
        prefix=prefix,
    )
    return replace(one, grid=grid, logits=one.logits.float())


def packed(*traces: Trace, **options: Any) -> str:
    sides = [viewer.ViewerSide(trace, card(trace)) for trace in traces]
    return base64.b64encode(viewer.pack(photo(), sides, **options)).decode()


@pytest.fixture(scope="module")
def compared() -> tuple[ImageInput, list[viewer.ViewerSide]]:
    """A photograph under both models of the pair that opens."""
    models = [load(sources.opening(variant)) for variant in sources.VARIANTS]
    engine = LocalEngine(models, torch.device("cpu"))
    image = examples.load(examples.EXAMPLES[0])
    sides = [viewer.ViewerSide(ask(engine, TraceJob(), [image], one.key)[0], one) for one in engine.cards]
    engine.close()
    return image, sides


@pytest.fixture(scope="module")
def prefixed() -> tuple[ImageInput, list[viewer.ViewerSide]]:
    """A photograph under a tiny random model with CLS and three registers, and under one with a distillation token."""
    engine = LocalEngine(tiny.prefixed(), torch.device("cpu"))
    image = examples.load(examples.EXAMPLES[0])
    sides = [viewer.ViewerSide(ask(engine, TraceJob(), [image], one.key)[0], one) for one in engine.cards]
    engine.close()
    return image, sides


def rows_of(module: Page, payload: str, model: int, query: int, matrix: str, choice: str | int) -> np.ndarray:
    """`tokenValues` of every layer."""
    values = module.evaluate(
        """([text, m, query, matrix, choice]) => {
            const model = open64(text).models[m];
            const layers = [...Array(model.layers).keys()];
            return layers.map((l) => [...viewer.tokenValues(model, l, query, matrix, choice)]);
        }""",
        [payload, model, query, matrix, choice],
    )
    return np.array(values)


def assert_within_a_percent(found: np.ndarray, expected: Tensor, of: Tensor | None = None) -> None:
    """Of the largest entry of each row, or of another's."""
    largest = (expected if of is None else of).abs().amax(dim=-1, keepdim=True).numpy()
    assert (np.abs(found - expected.numpy()) / largest).max() < 0.01


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("matrix", [o for o in Matrix if o is not Matrix.ROLLOUT])
@pytest.mark.parametrize("query", [0, 5])
def test_rows_of_every_matrix(module: Page, matrix: Matrix, choice: str | int, query: int) -> None:
    traces = [random_trace(seed=1), random_trace(seed=2, sharpness=12.0)]
    heads = choice if isinstance(choice, int) else Heads(choice)
    for index, trace in enumerate(traces):
        found = rows_of(module, packed(*traces), index, query, matrix.label, choice)
        rows = attention.rows(trace, query, matrix)
        expected = attention.combine_heads(rows, heads)
        # The accuracy is that of the single heads: of signed heads the mean, or the largest, may be far smaller.
        largest = rows.abs().amax(dim=(1, 2)).numpy()[:, None]
        assert (np.abs(found - expected.numpy()) / largest).max() < 0.01


@pytest.mark.parametrize("matrix", list(Matrix))
def test_the_pair_is_shown_within_a_percent(
    module: Page, compared: tuple[ImageInput, list[viewer.ViewerSide]], matrix: Matrix
) -> None:
    image, sides = compared
    payload = base64.b64encode(viewer.pack(image, sides)).decode()
    for index, side in enumerate(sides):
        for query in (0, 17, facts().tokens - 1):
            found = rows_of(module, payload, index, query, matrix.label, "mean")
            expected = attention.maps(side.trace, query, matrix, Heads.MEAN)
            row = expected if matrix is Matrix.ROLLOUT else side.trace.attention[:, :, query].mean(dim=1)
            assert_within_a_percent(found, expected, of=row)


OTHERS = ("neutreno,boosting,centred", "attnscale=1.5,resformer,svformer", "boosting=4,neutreno=0.3,attnscale=-0.5")


@pytest.mark.parametrize("words", OTHERS)
def test_rows_and_rollout_of_every_operator(module: Page, words: str) -> None:
    """By the layer's matrices and by the rows that came with the query at rest."""
    trace = replace(random_trace(), filter=operators.in_blocks(words, 3))
    payload = packed(trace, trace)
    for query in (0, 5):
        found = rows_of(module, payload, 0, query, "effective", 1)
        expected = attention.rows(trace, query, Matrix.EFFECTIVE)[:, 1]
        of = trace.attention[:, 1, query] + expected.abs()
        assert_within_a_percent(found, expected, of=of)
        assert_within_a_percent(rows_of(module, payload, 0, query, "rollout", "mean"), attention.rollout(trace, query))


def test_rows_of_what_is_applied_to_the_first_blocks_values(module: Page) -> None:
    """Block by block nothing, `0.3 I` and `A`, in one model; the other has no such matrix, and draws nothing."""
    own = replace(random_trace(), filter=operators.in_blocks("resformer,neutreno=0.3,svformer", 3))
    payload = packed(own, random_trace())
    for query in (0, 5):
        row = own.attention[2, 1, query]
        expected = torch.stack([torch.zeros_like(row), 0.3 * torch.eye(len(row))[query], row])
        found = rows_of(module, payload, 0, query, "E₀", 1)
        assert np.abs(found - expected.numpy()).max() < 0.01 * float(row.max())
        assert not rows_of(module, payload, 1, query, "E₀", 1).any()


@pytest.mark.parametrize(("words", "is_there"), [("neutreno", True), ("twicing", False)])
def test_the_first_blocks_values_are_a_choice_where_a_model_uses_them(module: Page, words: str, is_there: bool) -> None:
    payload = packed(replace(random_trace(), filter=operators.in_blocks(words, 3)), random_trace())
    offered, kept = module.evaluate(
        """(text) => {
            const { models } = open64(text);
            return [viewer.matricesOf(models), viewer.settled({ ...viewer.DEFAULTS, matrix: "E₀" }, models).matrix];
        }""",
        payload,
    )
    assert offered == [*(each.label for each in Matrix), *["E₀"][: int(is_there)]]
    assert kept == ("E₀" if is_there else "effective")


def test_rows_and_digits_of_attention_of_both_signs(module: Page) -> None:
    """As differential attention has it: signed bytes, and neither entropies nor distances."""
    one, other = random_trace(seed=1), random_trace(seed=2)
    filter = operators.in_blocks("differential,differential-twicing,differential-boosting=3", 3)
    trace = replace(one, attention=one.attention - 0.6 * other.attention, filter=filter)
    exact = replace(trace, attention=trace.attention.double())
    payload = packed(trace, one)
    for query in (0, 5):
        for matrix in (Matrix.ATTENTION, Matrix.EFFECTIVE):
            found = rows_of(module, payload, 0, query, matrix.label, 1)
            expected = attention.rows(trace, query, matrix)[:, 1]
            assert_within_a_percent(found, expected, of=trace.attention[:, 1, query].abs() + expected.abs())
        assert_within_a_percent(rows_of(module, payload, 0, query, "rollout", "mean"), attention.rollout(trace, query))
    lines = module.evaluate(LINES, [payload, "effective", "mean"])
    for place, query in enumerate([0, *range(1, 13)]):
        values = attention.maps(exact, query, Matrix.EFFECTIVE, Heads.MEAN)[:, 1:]
        for layer in range(3):
            for key, line in enumerate(lines[0][layer][place]):
                low, high = claims(line)[0]
                assert low <= values[layer, key] <= high, (line, float(values[layer, key]))
    measures = "(text) => [viewer.entropy, viewer.distance].map((of) => of(open64(text).models[0], 0, 5, 'mean'))"
    assert all(np.isnan(module.evaluate(measures, payload)))


@pytest.mark.parametrize("words", OTHERS)
def test_digits_of_every_operator_hold(module: Page, words: str) -> None:
    traces = [replace(random_trace(seed=seed), filter=operators.in_blocks(words, 3)) for seed in (1, 2)]
    exact = [replace(trace, attention=trace.attention.double()) for trace in traces]
    payload = packed(*traces)
    for matrix in (Matrix.EFFECTIVE, Matrix.ROLLOUT):
        lines = module.evaluate(LINES, [payload, matrix.label, "mean"])
        for place, query in enumerate([0, *range(1, 13)]):
            of_both = [attention.maps(trace, query, matrix, Heads.MEAN)[:, 1:] for trace in exact]
            for layer in range(3):
                for key, line in enumerate(lines[0][layer][place]):
                    for (low, high), values in zip(claims(line), of_both, strict=True):
                        assert low <= values[layer, key] <= high, (line, float(values[layer, key]))


@pytest.mark.parametrize("query", [0, 7])
def test_rollout(module: Page, query: int) -> None:
    trace = random_trace()
    found = rows_of(module, packed(trace, trace), 0, query, "rollout", "mean")
    assert_within_a_percent(found, attention.rollout(trace, query))
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=0.02)


@pytest.mark.parametrize("matrix", ["A", "effective", "rollout"])
def test_without_a_class_token_the_rest_is_the_mean_query(module: Page, matrix: str) -> None:
    trace = replace(random_trace(prefix=0), has_class_token=False)
    payload = packed(trace, trace)
    assert module.evaluate("(text) => viewer.tokenAt(open64(text).models[0], null)", payload) == -1
    found = rows_of(module, payload, 0, -1, matrix, "mean")
    every = [attention.maps(trace, q, Matrix(matrix), Heads.MEAN) for q in range(12)]
    assert_within_a_percent(found, torch.stack(every).mean(dim=0))


@pytest.mark.parametrize("matrix", list(Matrix))
def test_the_row_of_every_prefix_token(
    module: Page, prefixed: tuple[ImageInput, list[viewer.ViewerSide]], matrix: Matrix
) -> None:
    image, sides = prefixed
    payload = base64.b64encode(viewer.pack(image, sides)).decode()
    tokens = "([text, name]) => open64(text).models.map((model) => viewer.tokenAt(model, null, name))"
    for name, expected in (("register 1", [1, 0]), ("register 3", [3, 0]), ("distillation", [0, 1])):
        assert module.evaluate(tokens, [payload, name]) == expected, "CLS stands in"
        for index, (side, token) in enumerate(zip(sides, expected, strict=True)):
            rows = rows_of(module, payload, index, token, matrix.label, "mean")
            maps = attention.maps(side.trace, token, matrix, Heads.MEAN)
            of = maps if matrix is Matrix.ROLLOUT else side.trace.attention[:, :, token].mean(dim=1)
            assert_within_a_percent(rows, maps, of=of)


@pytest.mark.parametrize(
    ("prefixes", "choices"),
    [
        ((["CLS"], ["CLS"]), [None]),
        (([], ["CLS"]), [None]),
        ((["CLS", "distillation"], ["CLS"]), [None, "distillation"]),
        ((["register 1"], ["CLS", "register 1", "register 2"]), [None, "register 1", "register 2"]),
    ],
)
def test_prefix_tokens_beside_the_query_at_rest_are_offered(
    module: Page, prefixes: tuple[list[str], list[str]], choices: list[str | None]
) -> None:
    models = [{"prefixNames": names, "rest": names.index("CLS") if "CLS" in names else -1} for names in prefixes]
    assert module.evaluate("(models) => viewer.tokenChoices(models)", models) == choices


@pytest.mark.parametrize("matrix", list(Matrix))
def test_the_query_at_rest_is_there_without_any_layer(module: Page, matrix: Matrix) -> None:
    trace = random_trace()
    payload = packed(trace, trace, layers=(1,))
    found = rows_of(module, payload, 0, 0, matrix.label, "mean")
    of = attention.maps(trace, 0, matrix if matrix is Matrix.ROLLOUT else Matrix.ATTENTION, Heads.MEAN)
    assert_within_a_percent(found, attention.maps(trace, 0, matrix, Heads.MEAN), of=of)
    there = """([text, matrix]) => {
        const [model] = open64(text).models;
        return [0, 3].map((query) => [0, 1, 2].map((layer) => viewer.isThere(model, layer, query, matrix)));
    }"""
    assert module.evaluate(there, [payload, matrix.label]) == [[True] * 3, [False, True, False]]


@pytest.mark.parametrize("choice", ["mean", 1])
def test_entropy_and_distance_of_a_query(module: Page, choice: str | int) -> None:
    trace = random_trace()
    payload, heads = packed(trace, trace), slice(None) if choice == "mean" else slice(choice, choice + 1)
    for query in (1, 6, 12):
        found = module.evaluate(
            """([text, query, choice]) => {
                const model = open64(text).models[0];
                const both = [viewer.entropy, viewer.distance];
                return [0, 1, 2].map((l) => both.map((measure) => measure(model, l, query, choice)));
            }""",
            [payload, query, choice],
        )
        entropy = attention.entropy(trace.attention)[:, heads, query].mean(dim=1)
        distance = attention.distance(trace, (8, 8))[:, heads, query - 1].mean(dim=1)
        np.testing.assert_allclose(found, torch.stack([entropy, distance], dim=1), rtol=5e-4, atol=1e-5)
    assert module.evaluate("(text) => Number.isNaN(viewer.distance(open64(text).models[0], 0, 0, 'mean'))", payload)


def test_entropy_of_the_mean_query(module: Page) -> None:
    trace = replace(random_trace(prefix=0), has_class_token=False)
    found = module.evaluate(
        "(text) => [0, 1, 2].map((l) => viewer.entropy(open64(text).models[0], l, -1, 'mean'))", packed(trace, trace)
    )
    expected = attention.entropy(trace.attention.mean(dim=2)).mean(dim=1)
    np.testing.assert_allclose(found, expected, rtol=5e-4, atol=1e-5)


@pytest.mark.parametrize(("inside", "heard"), [("viewer", "explorer-viewer-set"), ("tour", "explorer-viewer-state")])
def test_a_component_listens_once_and_not_when_it_is_gone(browser: Browser, inside: str, heard: str) -> None:
    """Streamlit calls it again for new data or colours, and of what it returned the last function alone."""
    page = browser.new_page()
    counts = page.evaluate(
        """async ([source, inside, heard]) => {
            let listeners = 0;
            for (const [name, by] of [["addEventListener", 1], ["removeEventListener", -1]]) {
                const real = window[name];
                window[name] = (type, ...rest) => { if (type === heard) listeners += by; real(type, ...rest); };
            }
            const host = document.createElement("div");
            host.innerHTML = `<div class="${inside}"></div>`;
            const parts = ["count", "title", "text", "task", "skip", "back", "next"];
            host.firstChild.innerHTML = parts.map((one) => `<button class="${one}"></button>`).join("");
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const component = (await import(url)).default;
            const data = inside === "tour" ? { steps: [{ title: "", text: "", state: {} }] } : null;
            const found = [];
            let leave;
            for (let run = 0; run < 3; run++) {
                leave = component({ data, parentElement: host, setTriggerValue: () => {} });
                found.push(listeners);
            }
            leave();
            return [...found, listeners];
        }""",
        [script() if inside == "viewer" else (ASSETS / "tour.js").read_text(encoding="utf-8"), inside, heard],
    )
    page.close()
    assert counts == [1, 1, 1, 0]


def test_curves_and_predictions_are_python_s(module: Page) -> None:
    trace = random_trace()
    header = module.evaluate(
        """(text) => {
            const m = open64(text).models[0];
            const each = [0, 1, 2, 3].map((state) => [0, 1, 8].map((q) => viewer.own(m, state, q)));
            return [m.similarity, m.residual, m.top, each];
        }""",
        packed(trace, trace),
    )
    np.testing.assert_allclose(header[0], similarity.token_similarity(trace), rtol=1e-6)
    np.testing.assert_allclose(header[1], residual.magnitudes(trace).ratio.mean(dim=1), rtol=1e-6)
    best = torch.softmax(trace.logits, dim=0).topk(5)
    assert [name for name, _ in header[2]] == [CLASSES[i] for i in best.indices]
    np.testing.assert_allclose(header[3], similarity.of_each(trace)[:, [0, 1, 8]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(14, 14), (3, 5), (2, 2), (1, 7), (1, 1)])
def test_refinement_is_scipy_s_monotone_cubic(module: Page, rows: int, columns: int) -> None:
    """And what figures for print are drawn with."""
    values = normal(rows, columns).numpy()
    fine = np.reshape(
        module.evaluate(
            "([v, grid]) => [...viewer.refine(Float32Array.from(v), grid, [24, 36])]",
            [values.flatten().tolist(), [rows, columns]],
        ),
        (24, 36),
    )
    expected = values
    for axis, length in enumerate((24, 36)):
        padded = np.pad(expected, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        count = values.shape[axis]
        places = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
        expected = PchipInterpolator(np.arange(-1, count + 1), padded, axis=axis)(places)
    np.testing.assert_allclose(fine, expected, atol=1e-6)
    np.testing.assert_allclose(refined(values, (24, 36)), expected, atol=1e-6)
    assert values.min() - 1e-6 <= fine.min() <= fine.max() <= values.max() + 1e-6


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.5), (-0.5, 0.5)])
def test_colours_are_those_of_the_table(module: Page, low: float, high: float) -> None:
    tables = {name: lookup_table(name) for name in ("cividis", "cold")}
    values = np.linspace(-0.7, 0.7, 41)
    painted = module.evaluate(
        """([v, low, high, tables]) => {
            for (const name in tables) tables[name] = Uint8Array.from(tables[name]);
            const table = viewer.tableOf(tables, "cividis", { low, high });
            return [...viewer.paint(Float32Array.from(v), { low, high }, table, 0.5)];
        }""",
        [values.tolist(), low, high, {name: table.flatten().tolist() for name, table in tables.items()}],
    )
    rgba = np.reshape(painted, (-1, 4)).astype(int)
    strength = np.clip(values / high, -1 if low < 0 else 0, 1)
    places = (np.abs(strength) * 255).round().astype(int)
    above = tables["cividis"][(255 * (5 + 3 * np.abs(strength)) / 8).round().astype(int)]
    expected = np.where(strength[:, None] < 0, tables["cold"][places], above).astype(int)
    assert (np.abs(rgba[:, :3] - expected).max(axis=1) <= 6).all(), "the positive half is that of unsigned maps"
    np.testing.assert_allclose(rgba[:, 3], 255 * 0.5 * np.abs(strength) ** 0.7, atol=2)
    assert rgba[20, 3] == 0, "0 is the photograph"


@pytest.mark.parametrize(
    ("scale", "signs", "expected"),
    [
        ("map", [False, True], [(0, 0.3), (-0.8, 0.8)]),
        ("shared", [False, True], [(-0.8, 0.8), (-0.8, 0.8)]),
        ("shared", [False, False], [(0, 0.8), (0, 0.8)]),
        ("absolute", [False, False], [(0, 1), (0, 1)]),
        ("absolute", [True, False], [(-1, 1), (-1, 1)]),
    ],
)
def test_scales(module: Page, scale: str, signs: list[bool], expected: list[tuple[float, float]]) -> None:
    found = module.evaluate(
        "([signs, scale]) => viewer.ranges([[0.1, 0.3], [-0.8, 0.2]], signs, scale)", [signs, scale]
    )
    assert [(r["low"], r["high"]) for r in found] == expected


@pytest.mark.parametrize("filter", [quadratics(1.0, 1.0, 1.0), quadratics(1.0, 2.0, 1.0), quadratics(0.5, 1.0, 3.0)])
def test_what_is_signed(module: Page, filter: Operators) -> None:
    trace = replace(random_trace(), filter=filter)
    text = packed(trace, trace)
    for matrix in Matrix:
        found = module.evaluate(
            "([text, matrix]) => [0, 1, 2].map((layer) => viewer.isSigned(open64(text).models[0], layer, matrix))",
            [text, matrix.label],
        )
        assert found == [attention.is_signed(matrix, trace, layer) for layer in range(3)]


def test_places_fall_on_patches_behind_the_prefix(module: Page) -> None:
    found = module.evaluate(
        """() => [[0, 0], [0.99, 0.99], [0.5, 0.26], [1, -1]].map((p) => [viewer.patchAt([3, 4], p).index,
            viewer.tokenAt({ grid: [3, 4], prefix: 2, rest: 0 }, p)])"""
    )
    assert found == [[0, 2], [11, 13], [5, 7], [8, 10]]


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.5, 0.005, "0.50"),
        (-0.2, 0.0004, "−0.200"),
        (0.123456, 1e-9, "0.123"),
        (0.0996, 0.0003, "0.10"),
        (3.14e-5, 4e-7, "3.1e−5"),
        (3.14e-5, 4e-6, "2.7e−5 to 3.6e−5"),
        (0.004, 0.00444, "< 0.0085"),
        (-0.004, 0.00444, "< 0.0085"),
        (0.0052, 0.00061, "0.0045 to 0.0059"),
        (-0.0052, 0.00061, "−0.0059 to −0.0045"),
        (0.0, 0.0, "0"),
        (1.0, 0.0, "1.00"),
    ],
)
def test_a_value_has_the_digits_that_hold(module: Page, value: float, error: float, expected: str) -> None:
    assert module.evaluate("([value, error]) => viewer.reading(value, error)", [value, error]) == expected
    low, high = interval(expected)
    assert low <= value - error
    assert value + error <= high


def interval(reading: str) -> tuple[float, float]:
    """What a reading claims: a bound of the magnitude, a range, or a number within one unit of its last digit."""
    numbers = [Decimal(word.replace("−", "-")) for word in reading.split() if word not in ("<", "to")]
    if "<" in reading:
        return -float(numbers[0]), float(numbers[0])
    if "to" in reading:
        return float(numbers[0]), float(numbers[1])
    unit = 10.0 ** int(numbers[0].as_tuple().exponent)
    return float(numbers[0]) - unit, float(numbers[0]) + unit


def sink(n: int, heads: int) -> Tensor:
    """Nearly all that every token looks at is token 3; the rest is small and uneven."""
    A = 0.03 * stochastic(3, heads, n, n, seed=5, sharpness=3.0)
    A[..., 3] += 0.97
    return A.float()


def one_hot(n: int, heads: int) -> Tensor:
    """Every row nearly one entry, beside what is down to 1e-12."""
    return stochastic(3, heads, n, n, seed=6, sharpness=12.0).float()


def mixed(n: int, heads: int) -> Tensor:
    """A sink beside a uniform head, and heads that nearly cancel in `A - A^2`."""
    A = torch.full((3, heads, n, n), 1.0 / n)
    A[:, 0] = 0.0
    A[:, 0, :, 2] = 1 - 1e-4
    A[:, 0, :, 5] = 1e-4
    A[1, -1] = torch.eye(n)
    return A


@pytest.mark.parametrize(
    ("choice", "prefix"),
    [("mean", 1), ("max", 1), (1, 1), ("mean", 0), ("max", 0)],
)
@pytest.mark.parametrize("attention_of", [sink, one_hot, mixed])
def test_digits_of_adversarial_attention_hold(
    module: Page,
    attention_of: Callable[[int, int], Tensor],
    choice: str | int,
    prefix: int,
) -> None:
    """What the status line prints of every value is true of the trace, for both models and for their difference."""
    of_rows = attention_of(prefix + 12, 2)
    traces = [
        replace(random_trace(prefix, seed=seed), attention=of_rows, filter=filter, has_class_token=prefix > 0)
        for seed, filter in ((1, quadratics(1.0, 2.0, 1.5)), (2, quadratics(2.0, 2.0, 2.0)))
    ]
    exact = [replace(trace, attention=trace.attention.double()) for trace in traces]
    heads, payload = choice if isinstance(choice, int) else Heads(choice), packed(*traces)
    for matrix in Matrix:
        lines = module.evaluate(LINES, [payload, matrix.label, choice])
        for place, query in enumerate([0 if prefix else None, *range(prefix, prefix + 12)]):
            of_both = [attention.maps(trace, query, matrix, heads)[:, prefix:] for trace in exact]
            for difference, second in enumerate((of_both[1], of_both[1] - of_both[0])):
                for layer in range(3):
                    for key, line in enumerate(lines[difference][layer][place]):
                        for (low, high), values in zip(claims(line), (of_both[0], second), strict=True):
                            assert low <= values[layer, key] <= high, (line, float(values[layer, key]))


LINES = """([text, matrix, head]) => {
    const { models } = open64(text);
    const places = [...Array(12).keys()].map((i) => [(Math.floor(i / 4) + 0.5) / 3, ((i % 4) + 0.5) / 4]);
    const linesOf = (difference, layer, place) => {
        const state = { layer, head, place, difference, matrix, token: null, pinned: true, scale: "shared", blink: 0 };
        const pictures = viewer.picturesOf(state, models);
        return places.map((cursor) => viewer.statusLine({ ...state, cursor }, models, pictures));
    };
    const ofLayer = (difference, layer) => [null, ...places].map((place) => linesOf(difference, layer, place));
    return [false, true].map((difference) => [0, 1, 2].map((layer) => ofLayer(difference, layer)));
}"""
"""The status line by difference, layer, query and patch under the pointer."""


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("scale", ["map", "shared", "absolute"])
def test_digits_of_the_colour_bar_hold(module: Page, scale: str, difference: bool) -> None:
    traces = [random_trace(seed=1), replace(random_trace(seed=2), attention=sink(13, 2))]
    ends = module.evaluate(
        """([text, scale, difference]) => {
            const { models } = open64(text);
            const base = { head: "mean", place: null, token: null, scale, difference, blink: 0, matrix: "effective" };
            return [0, 1, 2].map((layer) => {
                const state = { ...base, layer };
                const { low, high } = viewer.scaleOf(state, models, viewer.picturesOf(state, models));
                return [low, high];
            });
        }""",
        [packed(*traces), scale, difference],
    )
    maps = torch.stack([attention.maps(trace, 0, Matrix.EFFECTIVE, Heads.MEAN)[:, 1:] for trace in traces])
    drawn = {"map": maps[1:], "shared": maps, "absolute": torch.ones_like(maps)}[scale]
    if difference and scale != "absolute":
        drawn = (maps[1] - maps[0])[None]
    for layer, (first, last) in enumerate(ends):
        low, high = interval(last)
        assert low <= drawn[:, layer].abs().max() <= high
        assert first == ("0" if layer == 0 and not difference else f"−{last}")


def claims(line: str) -> list[tuple[float, float]]:
    """What the status line says of both places."""
    return [interval(READING.findall(place)[0]) for place in line.split(" — ")[0].split(": ", 1)[1].split(" · ")]


def test_the_state_survives_an_address(module: Page) -> None:
    state = {"layer": 4, "head": 1, "place": [0.375, 0.125], "pinned": True, "matrix": "rollout", "scale": "map"}
    back = module.evaluate("(state) => viewer.fromParameters(new URLSearchParams(viewer.toParameters(state)))", state)
    assert back == state


@pytest.mark.parametrize("kept", [{}, {"wipe": "off"}, {"wipe": 0.0}, {"wipe": 0.25, "blink": 2}])
def test_wipe_and_blink_survive_an_address_that_has_them_where_they_are_chosen(
    module: Page, kept: dict[str, Any]
) -> None:
    through = "(state) => viewer.fromParameters(new URLSearchParams(viewer.toParameters(state)))"
    back = module.evaluate(
        through, {"layer": 4, "head": 1, "place": None, "matrix": "A", "wipe": "auto", "blink": 0, **kept}
    )
    assert {name: back[name] for name in ("wipe", "blink") if name in back} == kept


@pytest.mark.parametrize("address", ["wipe=2", "wipe=x", "wipe=-1", "wipe=auto", "blink=3", "blink=0", "wipe="])
def test_a_foreign_divider_is_none(module: Page, address: str) -> None:
    assert module.evaluate("(text) => viewer.fromParameters(new URLSearchParams(text))", address) == {}


def test_a_pinned_class_token_survives_an_address_and_one_at_rest_is_none(module: Page) -> None:
    through = "(state) => viewer.fromParameters(new URLSearchParams(viewer.toParameters(state)))"
    state = {"layer": 4, "head": "mean", "place": None, "pinned": True, "matrix": "A", "scale": "map"}
    assert module.evaluate(through, state) == state
    back = module.evaluate(through, {**state, "place": [0.375, 0.125], "pinned": False})
    assert not {"place", "pinned"} & back.keys()


@pytest.mark.parametrize(("token", "query"), [("register 12", "register-12"), ("distillation", "distillation")])
def test_a_pinned_prefix_token_survives_an_address(module: Page, token: str, query: str) -> None:
    state = {"layer": 4, "head": "mean", "place": None, "token": token, "pinned": True, "matrix": "A", "scale": "map"}
    assert module.evaluate("(state) => viewer.toParameters(state).query", state) == query
    through = "(state) => viewer.fromParameters(new URLSearchParams(viewer.toParameters(state)))"
    assert module.evaluate(through, state) == state


@pytest.mark.parametrize("matrix", list(Matrix))
def test_addresses_spell_matrices_as_figures_do_and_names_are_read(module: Page, matrix: Matrix) -> None:
    state = {"layer": 4, "head": "mean", "place": None, "pinned": True, "matrix": matrix.label, "scale": "map"}
    assert module.evaluate("(state) => viewer.toParameters(state).matrix", state) == matrix.value
    read = "(text) => viewer.fromParameters(new URLSearchParams({ matrix: text }))"
    assert [module.evaluate(read, text) for text in (matrix.value, matrix.label)] == [{"matrix": matrix.label}] * 2


def test_a_query_chosen_anew_takes_the_place_of_a_token(module: Page) -> None:
    state = {"place": None, "token": "register 1", "pinned": True, "layer": 3}
    change = "([state, change]) => viewer.changed(state, change)"
    for place in (None, [0.5, 0.5]):
        assert module.evaluate(change, [state, {"place": place}]) == {**state, "place": place, "token": None}
    assert module.evaluate(change, [state, {"layer": 1}]) == {**state, "layer": 1}


def test_an_address_of_an_earlier_version_is_read(module: Page) -> None:
    read = "(text) => viewer.fromParameters(new URLSearchParams(text))"
    assert module.evaluate(read, "operator=rollout") == module.evaluate(read, "matrix=rollout") == {"matrix": "rollout"}
    assert module.evaluate(read, "operator=A&matrix=rollout") == {"matrix": "rollout"}


@pytest.mark.parametrize(
    "address",
    [
        "",
        "layer=0&head=x&matrix=evil&scale=<b>&query=2,9",
        "layer=1e9&query=a",
        "head=-1",
        "query=register-0",
        "query=register 1",
    ],
)
def test_a_foreign_address_is_no_state(module: Page, address: str) -> None:
    state = module.evaluate("(text) => viewer.fromParameters(new URLSearchParams(text))", address)
    assert set(state) <= {"layer"}


def test_the_identity_of_a_payload_is_read_without_unpacking_it(module: Page) -> None:
    trace = random_trace()
    found = module.evaluate(
        "(text) => [viewer.identity(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))), open64(text).id]",
        packed(trace, trace),
    )
    assert found[0] == found[1]
    assert len(found[0]) == 16


def test_foreign_bytes_are_refused(module: Page) -> None:
    with pytest.raises(Exception, match="payload of the viewer was expected"):
        module.evaluate("() => viewer.unpack(new Uint8Array(64))")


# --- prefix tokens of a page --------------------------------------------------------------------------------------


@pytest.fixture
def tokens(browser: Browser, prefixed: tuple[ImageInput, list[viewer.ViewerSide]], tmp_path: Path) -> Iterator[Page]:
    """The viewer of the model with registers and the distilled one, as a file."""
    path = tmp_path / "tokens.html"
    path.write_text(viewer.page(viewer.pack(*prefixed), "tokens"), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector(".viewer[data-painted]")
    yield page
    page.close()
    assert not problems


def labels(page: Page) -> list[str]:
    return page.locator(".map figcaption .quiet").all_inner_texts()


def pressed(page: Page) -> list[str]:
    return page.get_by_role("group", name="Token").locator("[aria-pressed=true]").all_inner_texts()


def test_any_prefix_token_is_chosen_read_and_linked(
    tokens: Page, prefixed: tuple[ImageInput, list[viewer.ViewerSide]]
) -> None:
    offered = tokens.get_by_role("group", name="Token").get_by_role("button")
    assert offered.all_inner_texts() == ["CLS", "register 1", "register 2", "register 3", "distillation"]
    assert pressed(tokens) == ["CLS"]
    tokens.get_by_role("button", name="map", exact=True).click()
    settle(tokens)
    start = [pixels(tokens, i) for i in (0, 1)]
    tokens.get_by_role("button", name="register 2").click()
    settle(tokens)
    assert pressed(tokens) == ["register 2"]
    assert "query register 2 / CLS" in live(tokens)
    assert tokens.locator(".rest").inner_text() == "Query: register 2 / CLS (pinned)"
    assert [pixels(tokens, i) == start[i] for i in (0, 1)] == [False, True]
    assert labels(tokens) == ["A", "2A − A² · it has no register 2 token, CLS stands in"]
    assert "a patch has one, register 2 / CLS has none" in tokens.locator(".charts").inner_text()
    point(tokens, 0.6, 0.3)
    for side, token, (low, high) in zip(prefixed[1], (2, 0), claims(live(tokens)), strict=True):
        key = side.trace.prefix + 4 * 2 + 1
        assert low <= attention.maps(side.trace, token, Matrix.EFFECTIVE, Heads.MEAN)[-1, key] <= high
    tokens.wait_for_url("**query=register-2**")
    before = pixels(tokens)
    tokens.reload()
    tokens.wait_for_selector(".viewer[data-painted]")
    settle(tokens)
    assert pressed(tokens) == ["register 2"], "a link keeps it"
    assert pixels(tokens) == before


def test_the_key_t_goes_from_token_to_token(tokens: Page) -> None:
    tokens.locator(".viewer").focus()
    assert "T next prefix token" in tokens.locator(".keys").inner_text()
    names = []
    for _ in range(6):
        tokens.keyboard.press("t")
        settle(tokens)
        names += pressed(tokens)
    assert names == ["CLS", "register 1", "register 2", "register 3", "distillation", "CLS"]
    tokens.keyboard.press("Shift+T")
    settle(tokens)
    assert pressed(tokens) == ["register 1"]
    tokens.keyboard.press("Shift+ArrowRight")
    settle(tokens)
    assert pressed(tokens) == []
    assert "query row 3, column 4" in live(tokens)
    tokens.keyboard.press("t")
    tokens.keyboard.press("t")
    settle(tokens)
    assert "query register 1 / CLS" in live(tokens)
    tokens.locator(".rest").click()
    settle(tokens)
    assert tokens.locator(".rest").inner_text() == "Query: CLS (pinned)"
    tokens.keyboard.press("t")
    tokens.keyboard.press("Escape")
    settle(tokens)
    assert tokens.locator(".rest").inner_text() == "Query: CLS"


def test_a_saved_view_keeps_a_token_that_the_models_have(
    module: Page, prefixed: tuple[ImageInput, list[viewer.ViewerSide]], compared: tuple[ImageInput, list[Any]]
) -> None:
    state = {"layer": "2", "query": "distillation", "head": "mean", "matrix": "A", "scale": "map"}
    opened = """(text) => {
        const root = document.body.appendChild(document.createElement("div"));
        const shown = viewer.mount(root, {});
        shown.load(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
        const { token, pinned } = shown.state;
        const query = viewer.toParameters(shown.state).query;
        shown.destroy();
        root.remove();
        return [token, pinned, query];
    }"""
    found = [
        module.evaluate(opened, base64.b64encode(viewer.pack(*pair, state=state)).decode())
        for pair in (prefixed, compared)
    ]
    assert found == [["distillation", True, "distillation"], [None, False, "rest"]]


# --- opened from disk ---------------------------------------------------------------------------------------------


@pytest.fixture
def disk(browser: Browser, compared: tuple[ImageInput, list[viewer.ViewerSide]], tmp_path: Path) -> Iterator[Page]:
    """The viewer as a file; at the end no error, no console message and no request but the file's own may be seen."""
    image, sides = compared
    path = tmp_path / "view.html"
    path.write_text(viewer.page(viewer.pack(image, sides), "A <cat> & </script> a dog"), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on(
        "request", lambda one: None if one.url.startswith(("file:", "blob:", "data:")) else problems.append(one.url)
    )
    page.goto(path.as_uri())
    page.wait_for_selector(".stack canvas")
    settle(page)
    yield page
    page.close()
    assert not problems


def settle(page: Page) -> None:
    """Waits for the next frames."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def point(page: Page, row: float, column: float, model: int = 0) -> None:
    box = page.locator(".stack").nth(model).bounding_box()
    page.mouse.move(box["x"] + column * box["width"], box["y"] + row * box["height"])
    settle(page)


def live(page: Page) -> str:
    return page.locator(".live").inner_text()


def pixels(page: Page, model: int = 0) -> str:
    return page.locator(".stack canvas").nth(model).evaluate("(canvas) => canvas.toDataURL()")


def assert_readings(page: Page, sides: list[viewer.ViewerSide], queries: Sequence[int], key: int) -> None:
    """What the line says is true of what Python computes of the layer it names."""
    line = live(page)
    layer = int(line.rsplit("layer ", 1)[1].split(",")[0]) - 1
    for side, query, (low, high) in zip(sides, queries, claims(line), strict=True):
        assert low <= attention.maps(side.trace, query, Matrix.EFFECTIVE, Heads.MEAN)[layer, key] <= high


def test_pointing_asks_both_models_in_all_layers(
    disk: Page, compared: tuple[ImageInput, list[viewer.ViewerSide]]
) -> None:
    before = [pixels(disk, i) for i in (0, 1)]
    row, column, token = facts().patch(*HERE)
    point(disk, *HERE)
    assert live(disk).startswith(f"row {row}, column {column}: ")
    assert all(pixels(disk, i) != before[i] for i in (0, 1))
    assert_readings(disk, compared[1], (token, token), token)
    disk.mouse.move(5, 5)
    settle(disk)
    assert [pixels(disk, i) for i in (0, 1)] == before


def test_a_click_pins_and_escape_lets_go(disk: Page, compared: tuple[ImageInput, list[viewer.ViewerSide]]) -> None:
    start = pixels(disk)
    (row, column, token), (other_row, other_column, other) = facts().patch(*HERE), facts().patch(0.8, 0.8)
    point(disk, *HERE)
    disk.mouse.down()
    disk.mouse.up()
    settle(disk)
    pinned = pixels(disk)
    point(disk, 0.8, 0.8, model=1)
    assert pixels(disk) == pinned
    assert live(disk).startswith(f"row {other_row}, column {other_column}: ")
    assert f"query row {row}, column {column}" in live(disk)
    disk.wait_for_url(f"**query={facts().address(*HERE)}**")
    assert_readings(disk, compared[1], (token, token), other)
    disk.keyboard.press("Escape")
    disk.mouse.move(5, 5)
    settle(disk)
    assert pixels(disk) == start
    disk.wait_for_url("**query=rest**")


def test_keys_step_through_layers_heads_and_matrices(disk: Page) -> None:
    disk.locator(".viewer").focus()
    layer = f"layer {facts().depth - 1}"
    for key, told in (
        ("ArrowLeft", f"{layer}, head mean, effective"),
        ("ArrowDown", f"{layer}, head max, effective"),
        ("ArrowDown", f"{layer}, head 1, effective"),
        ("]", f"{layer}, head 1, a,"),
        ("]", f"{layer}, head 1, a − a²"),
        ("ArrowUp", f"{layer}, head max"),
    ):
        before = pixels(disk)
        disk.keyboard.press(key)
        settle(disk)
        assert told in live(disk).lower()
        assert pixels(disk) != before
    disk.wait_for_url(f"**layer={facts().depth - 1}**")


@pytest.mark.parametrize(
    ("modifiers", "steps"), [({"ctrlKey": True, "altKey": True}, True), ({"ctrlKey": True}, False)]
)
def test_brackets_typed_with_altgr_step_and_a_browsers_own_keys_do_not(
    disk: Page, modifiers: dict[str, bool], steps: bool
) -> None:
    disk.locator(".viewer").focus()
    disk.evaluate(
        """(modifiers) => document.activeElement.dispatchEvent(
            new KeyboardEvent("keydown", { key: "]", bubbles: true, cancelable: true, ...modifiers }))""",
        modifiers,
    )
    settle(disk)
    assert (", a," in live(disk).lower()) == steps


def test_rollout_has_one_row_of_all_layers_and_names_no_head(disk: Page) -> None:
    disk.locator(".viewer").focus()
    cells = disk.locator(".viewer .cell")
    assert cells.count() == 2 * facts().depth
    disk.keyboard.press("ArrowDown")
    disk.keyboard.press("ArrowDown")
    disk.keyboard.press("g")
    settle(disk)
    assert "head 1, effective" in live(disk)
    assert cells.count() == 2 * facts().depth * facts().heads
    for _ in range(4):
        disk.keyboard.press("]")
    settle(disk)
    assert "head mean, rollout" in live(disk)
    assert cells.count() == 2 * facts().depth
    disk.keyboard.press("[")
    settle(disk)
    assert "head 1, 2a − a²" in live(disk).lower(), "the head that was chosen comes back"
    assert cells.count() == 2 * facts().depth * facts().heads


def test_models_with_cls_alone_offer_no_other_token(disk: Page) -> None:
    assert disk.get_by_role("group", name="Token").count() == 0
    assert "T next" not in disk.locator(".keys").inner_text()
    before = live(disk)
    disk.locator(".viewer").focus()
    disk.keyboard.press("t")
    settle(disk)
    assert live(disk) == before
    assert disk.locator(".rest").get_attribute("aria-pressed") == "false"


def test_space_plays_and_stops(disk: Page) -> None:
    disk.locator(".viewer").focus()
    disk.keyboard.press(" ")
    last = f"Layer {facts().depth}"
    disk.wait_for_function("(last) => !document.querySelector('.live').textContent.startsWith(last)", arg=last)
    disk.keyboard.press(" ")
    settle(disk)
    told = live(disk)
    disk.wait_for_timeout(700)
    assert live(disk) == told


def test_the_patch_moves_by_keys_alone(disk: Page) -> None:
    disk.locator(".viewer").focus()
    disk.keyboard.press("Shift+ArrowRight")
    settle(disk)
    rows, columns = facts().grid  # from the patch in the middle
    assert f"query row {rows // 2 + 1}, column {columns // 2 + 2}" in live(disk)
    assert disk.locator(".outline").first.is_visible()
    disk.keyboard.press("Escape")
    settle(disk)
    assert "query CLS" in live(disk)


def where_they_differ(*traces: Trace) -> tuple[float, float]:
    """The middle of the patch whose own entry differs most in the last layer, for what can be told of its row."""
    own, finest = [], []
    for trace in traces:
        A = trace.attention[-1]
        own.append(operators.effective(A, trace.filter[-1]).mean(dim=0).diagonal()[trace.prefix :])
        finest.append(A.amax(dim=-1).mean(dim=0)[trace.prefix :])
    rows, columns = traces[0].grid
    row, column = divmod(int(((own[1] - own[0]).abs() / sum(finest)).argmax()), columns)
    return (row + 0.5) / rows, (column + 0.5) / columns


def test_difference_and_blink(disk: Page, compared: tuple[ImageInput, list[viewer.ViewerSide]]) -> None:
    disk.locator(".viewer").focus()
    left, right = pixels(disk, 0), pixels(disk, 1)
    disk.keyboard.press("2")
    settle(disk)
    assert pixels(disk, 0) == pixels(disk, 1) == right
    disk.keyboard.press("1")
    settle(disk)
    assert pixels(disk, 0) == pixels(disk, 1) == left
    disk.keyboard.press("0")
    disk.keyboard.press("d")
    here = where_they_differ(*(side.trace for side in compared[1]))
    point(disk, *here, model=1)
    assert "Difference" in live(disk)
    (*_, token), prefix = facts().patch(*here), compared[1][0].trace.prefix
    maps = [attention.maps(s.trace, token, Matrix.EFFECTIVE, Heads.MEAN)[-1, prefix:] for s in compared[1]]
    low, high = claims(live(disk))[1]
    assert low * high > 0, "it can be told from 0"
    assert low <= (maps[1] - maps[0])[token - prefix] <= high


def test_a_curve_chooses_the_layer(disk: Page) -> None:
    box = disk.locator(".chart svg").first.bounding_box()
    disk.mouse.move(box["x"] + 0.17 * box["width"], box["y"] + 30)  # 34 to 230 of 240 are the first to the last layer
    settle(disk)
    assert f"Layer {1 + round((0.17 * 240 - 34) / 196 * (facts().depth - 1))}," in live(disk)


def test_every_layer_and_every_head_has_a_small_map(disk: Page) -> None:
    assert disk.locator(".cell").count() == 2 * facts().depth
    disk.locator(".viewer").focus()
    disk.keyboard.press("g")
    settle(disk)
    assert disk.locator(".cell").count() == 2 * facts().depth * facts().heads
    disk.locator(".cell").nth(3).click()
    settle(disk)
    assert "Layer 4, head 1" in live(disk)


def test_models_of_other_depths_heads_and_grids_stand_side_by_side(
    browser: Browser, compared: tuple[ImageInput, list[viewer.ViewerSide]], tmp_path: Path
) -> None:
    image, (first, _) = compared
    other = random_trace(grid=(3, 3))
    path = tmp_path / "view.html"
    path.write_text(
        viewer.page(viewer.pack(image, [first, viewer.ViewerSide(other, card(other))]), "two"), encoding="utf-8"
    )
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector(".viewer[data-painted]")
    assert page.locator(".cell").count() == 2 * 3
    page.locator(".cell").nth(2).click()
    page.locator(".viewer").focus()
    for key in (
        "g",
        "2",
        "d",
        "0",
        "ArrowLeft",
        "ArrowDown",
        "ArrowDown",
        "ArrowDown",
        "ArrowDown",
        "]",
        "]",
        "]",
        "]",
    ):
        page.keyboard.press(key)
        settle(page)
    point(page, 0.9, 0.9, model=1)
    assert "layer 2, head mean, rollout" in live(page), "rollout takes its own mean over heads"
    assert page.locator(".map strong").nth(1).inner_text() == "Tiny"  # no difference of different grids
    page.close()
    assert not problems


def test_blinking_brings_the_photograph_along(disk: Page) -> None:
    disk.locator(".viewer").focus()
    photos = [disk.locator(".stack img").nth(i).get_attribute("src") for i in (0, 1)]
    disk.keyboard.press("2")
    settle(disk)
    assert [disk.locator(".stack img").nth(i).get_attribute("src") for i in (0, 1)] == [photos[1], photos[1]]


def test_a_frame_of_a_notebook_works(browser: Browser, compared: tuple[ImageInput, list[viewer.ViewerSide]]) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 1700})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_content(Viewing(viewer.pack(*compared), "in a cell")._repr_html_())
    frame = page.frame_locator("iframe")
    frame.locator(".viewer[data-painted]").wait_for()
    frame.locator(".viewer").press("ArrowLeft")
    frame.locator(".live", has_text=f"Layer {facts().depth - 1}").wait_for()
    page.wait_for_timeout(400)
    page.close()
    assert not problems


def test_a_tap_pins_a_patch(
    browser: Browser, compared: tuple[ImageInput, list[viewer.ViewerSide]], tmp_path: Path
) -> None:
    path = tmp_path / "view.html"
    path.write_text(viewer.page(viewer.pack(*compared), "phone"), encoding="utf-8")
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector(".viewer[data-painted]")
    page.evaluate("document.fonts.ready")
    row, column, _ = facts().patch(*HERE)
    stack, pinned = page.locator(".stack").first, page.locator(".live", has_text=f"query row {row}, column {column}")
    for _ in range(5):  # what is above the maps may still wrap and move them under the finger
        box = stack.bounding_box()
        stack.tap(position={"x": HERE[1] * box["width"], "y": HERE[0] * box["height"]})
        page.wait_for_timeout(1000)
        if pinned.is_visible():
            break
    pinned.wait_for()
    page.wait_for_url(f"**query={facts().address(*HERE)}**")
    context.close()


def divided(page: Page) -> list[str]:
    """Which model answers at the left and at the right of the photograph, by the class of its figure."""
    classes: list[str] = page.evaluate(
        """() => {
            const box = document.querySelector(".stack").getBoundingClientRect();
            const y = box.top + box.height / 4;
            return [0.05, 0.95].map((share) =>
                document.elementFromPoint(box.left + share * box.width, y).closest(".map").className);
        }"""
    )
    return classes


def test_a_wipe_has_both_models_on_one_photograph(disk: Page) -> None:
    disk.locator(".viewer").focus()
    assert "W both models on one photograph" in disk.locator(".keys").inner_text()
    assert disk.locator(".divider").is_hidden()
    disk.keyboard.press("w")
    settle(disk)
    boxes = [disk.locator(".stack").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0] == boxes[1]
    assert divided(disk) == ["map m0", "map m1"]
    slider = disk.get_by_role("slider", name=re.compile("Divider"))
    thumb = boxes[0]["x"] + boxes[0]["width"] / 2, boxes[0]["y"] + boxes[0]["height"] - 34
    disk.mouse.move(*thumb)
    disk.mouse.down()
    disk.mouse.move(boxes[0]["x"] + 0.98 * boxes[0]["width"], thumb[1], steps=4)
    disk.mouse.up()
    settle(disk)
    assert float(slider.input_value()) == pytest.approx(0.98, abs=0.01)
    assert divided(disk) == ["map m0", "map m0"]
    disk.keyboard.press(",")
    settle(disk)
    assert float(slider.input_value()) == pytest.approx(0.93, abs=0.01)
    disk.wait_for_url(re.compile(r"wipe=0\.9[23]"))
    disk.reload()
    disk.wait_for_selector(".viewer[data-painted]")
    settle(disk)
    assert float(slider.input_value()) == pytest.approx(0.93, abs=0.01), "a link keeps it"
    disk.locator(".viewer").focus()
    disk.keyboard.press("w")
    settle(disk)
    assert disk.locator(".divider").is_hidden()
    disk.wait_for_url("**wipe=off**")


def test_buttons_blink_for_a_finger(disk: Page) -> None:
    left, right = pixels(disk, 0), pixels(disk, 1)
    disk.get_by_role("button", name="second").click()
    settle(disk)
    assert pixels(disk, 0) == pixels(disk, 1) == right
    disk.wait_for_url("**blink=2**")
    disk.get_by_role("button", name="first").click()
    settle(disk)
    assert pixels(disk, 0) == pixels(disk, 1) == left
    disk.get_by_role("button", name="both").click()
    settle(disk)
    assert (pixels(disk, 0), pixels(disk, 1)) == (left, right)
    disk.wait_for_function("() => !location.hash.includes('blink')")


LOOK = """() => [".stack", ".cell"].map((place) =>
    [getComputedStyle(document.querySelector(`${place} img`)).filter,
     getComputedStyle(document.querySelector(`${place} canvas`)).visibility])"""
"""How photographs and maps are drawn, large and small."""


def test_the_original_is_there_as_long_as_it_is_held(disk: Page) -> None:
    before = disk.evaluate(LOOK)
    disk.locator(".viewer").focus()
    held = disk.get_by_role("button", name="Original").bounding_box()
    disk.keyboard.down("o")
    assert disk.evaluate(LOOK) == [["none", "hidden"]] * 2
    disk.keyboard.up("o")
    assert disk.evaluate(LOOK) == before
    disk.mouse.move(held["x"] + 9, held["y"] + 9)
    disk.mouse.down()
    assert disk.evaluate(LOOK) == [["none", "hidden"]] * 2
    disk.mouse.up()
    assert disk.evaluate(LOOK) == before


def test_without_opacity_the_photograph_is_untouched(disk: Page) -> None:
    slider = disk.get_by_role("slider", name="Opacity")
    slider.fill("0")
    settle(disk)
    assert disk.evaluate(LOOK)[0][0] == "saturate(1) brightness(1)"
    alphas = "(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
    data = disk.locator(".stack canvas").first.evaluate(
        f"(canvas) => [...({alphas})(canvas)].filter((_, i) => i % 4 === 3)"
    )
    assert max(data) == 0


@pytest.mark.parametrize(("drawing", "rendering"), [("smooth", "auto"), ("cells", "pixelated"), ("contours", "auto")])
def test_maps_are_as_fine_as_what_they_show(disk: Page, drawing: str, rendering: str) -> None:
    disk.get_by_role("button", name=drawing).click()
    settle(disk)
    canvas = disk.locator(".stack canvas").first
    height, shown, style = canvas.evaluate("(c) => [c.height, c.clientHeight, getComputedStyle(c).imageRendering]")
    assert style == rendering
    assert height == {"smooth": min(336, shown), "cells": facts().grid[0], "contours": min(768, shown)}[drawing]


def test_signed_maps_take_the_chosen_colours(disk: Page) -> None:
    disk.keyboard.press("Tab")
    disk.get_by_role("button", name="2A − A²", exact=True).click()
    settle(disk)
    before = pixels(disk)
    disk.get_by_role("button", name="magma").click()
    settle(disk)
    assert pixels(disk) != before


@pytest.mark.parametrize("asked", [None, "3"])
def test_what_opens_first_is_the_layer_that_was_sent(
    module: Page,
    compared: tuple[ImageInput, list[viewer.ViewerSide]],
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
) -> None:
    """Links and saved views stay what they were."""
    opened = """(text) => {
        const root = document.body.appendChild(document.createElement("div"));
        const shown = viewer.mount(root, {});
        shown.load(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
        const { layer } = shown.state;
        shown.destroy();
        root.remove();
        return layer;
    }"""
    monkeypatch.setattr(sources, "opening_layer", lambda _: 2)
    options: dict[str, Any] = {} if asked is None else {"state": {"layer": asked}}
    text = base64.b64encode(viewer.pack(*compared, **options)).decode()
    assert module.evaluate(opened, text) == (1 if asked is None else int(asked) - 1)


def test_strange_titles_stay_text(disk: Page) -> None:
    assert disk.title() == disk.locator("h1").inner_text() == "A <cat> & </script> a dog"


def test_the_page_is_usable_on_a_phone(disk: Page) -> None:
    """Both models are on one photograph, side by side on request, and the controls leave room for it."""
    disk.set_viewport_size({"width": 390, "height": 800})
    settle(disk)
    boxes = [disk.locator(".stack").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[1] == boxes[0]
    assert boxes[0]["y"] + boxes[0]["height"] < 800, "the whole map is on the screen that opens"
    assert disk.evaluate("() => document.documentElement.scrollWidth") <= 390
    disk.get_by_role("button", name="Wipe").click()
    settle(disk)
    boxes = [disk.locator(".stack").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[1]["y"] > boxes[0]["y"] + boxes[0]["height"]  # one under the other
    assert disk.evaluate("() => document.documentElement.scrollWidth") <= 390
    row, column, _ = facts().patch(0.2, 0.2)
    point(disk, 0.2, 0.2)
    assert live(disk).startswith(f"row {row}, column {column}: ")


# --- another size of the input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("finer", [2, 1.5])
def test_finer_maps_keep_the_layer_the_head_and_the_patch_under_the_same_pixels(module: Page, finer: float) -> None:
    grids = [(4, 6), (int(4 * finer), int(6 * finer))]
    payloads = [packed(*[random_trace(grid=grid, seed=seed) for seed in range(2)]) for grid in grids]
    states = module.evaluate(
        """(payloads) => {
            const root = document.body.appendChild(document.createElement("div"));
            let state = null;
            const shown = viewer.mount(root, { announce: (next) => { state = { ...next }; } });
            const states = payloads.map((text, size) => {
                const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                shown.load(bytes);
                if (!size) shown.set({ layer: 1, head: 1, matrix: "A", place: [1.5 / 4, 3.5 / 6], pinned: true });
                const [model] = viewer.unpack(bytes).models;
                return { ...state, query: viewer.queryOf(state, model) - model.prefix };
            });
            shown.destroy();
            root.remove();
            return states;
        }""",
        payloads,
    )
    before, after = states
    kept = ("layer", "head", "matrix", "place", "pinned")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    places = [divmod(state["query"], grid[1]) for state, grid in zip(states, grids, strict=True)]
    assert places[0] == (1, 3)
    for coarse, fine in zip(*places, strict=True):
        assert coarse * finer - 1 < fine < (coarse + 1) * finer  # shares pixels with the coarse patch
