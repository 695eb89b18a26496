"""The lessons under AppTest: sliders change what is computed, numbers are the computations', handouts are PDFs."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import streamlit as st
import torch
from pypdf import PdfReader
from streamlit.testing.v1 import AppTest

from explorer.jobs.passes import TraceJob
from explorer.lessons import kernels, regression, risk
from explorer.measures import similarity
from explorer.paper import theory
from explorer.serving.engine import ask
from explorer.serving.pair import load_pair
from explorer.traces import Trace
from explorer.types import ExplorerError
from explorer.ui.learn import eigenvalues, tour
from explorer.ui.shell import resources
from tests.helpers import make_trace, normal, quadratics, stochastic
from tests.pair import facts
from tests.ui.conftest import FRAME
from tests.ui.sliding import leave, sent
from tests.ui.test_pages import assert_sound, charts, numbers, texts

PAGES = ("regression", "eigenvalues", "dial", "tour")


def open_lesson(page: str) -> AppTest:
    app = AppTest.from_file(str(FRAME), default_timeout=60).run()
    app.switch_page(f"learn/{page}.py").run()
    assert_sound(app)
    return app


def pick(app: AppTest, key: str, value: object) -> AppTest:
    (control,) = [one for kind in ("button_group", "slider", "select_slider", "selectbox") for one in app.get(kind)
                  if one.key == key]  # fmt: skip
    control.set_value(value).run()
    assert_sound(app)
    return app


@pytest.mark.parametrize("page", PAGES)
def test_a_lesson_opens_with_a_question_and_a_handout(page: str) -> None:
    app = open_lesson(page)
    said = texts(app)
    assert any("**Question.**" in one for one in said)
    assert any(button.label == "Handout (PDF)" for button in app.get("download_button"))
    assert app.toggle(key="large-text").value is False


@pytest.mark.parametrize("page", ["dial", "eigenvalues"])
def test_what_a_lesson_cannot_do_is_one_sentence_and_the_page_goes_on(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> object:
        raise ExplorerError("The model *tiny* is not loaded any more; please choose another.")

    app = open_lesson(page)
    if page == "eigenvalues":
        app = pick(app, "lesson3-part", list(eigenvalues.PARTS)[-1])
    monkeypatch.setattr(type(resources.engine()), "submit", busy)
    st.cache_data.clear()
    app.run()
    assert not app.exception
    assert {r"The model \*tiny\* is not loaded" in error.value for error in app.error} == {True}
    assert any("**Question.**" in one for one in texts(app))


def test_large_text_enlarges_page_and_charts() -> None:
    app = pick(open_lesson("regression"), "lesson1-part", "Why: the order of the bias")
    before = charts(app)["lesson1-order"]["layout"]["font"]["size"]
    app.toggle(key="large-text").set_value(True).run()
    assert_sound(app)
    assert charts(app)["lesson1-order"]["layout"]["font"]["size"] > before
    assert any("font-size: 21px" in one.proto.body for one in app.get("html"))


# --- lesson 1 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bandwidth", "noise"), [(0.1, 0.3), (0.005, 1.0), (0.25, 0.0)])
def test_the_curves_are_the_smoothers(bandwidth: float, noise: float) -> None:
    part = sent(open_lesson("regression"), "lesson1")
    smoother = regression.smoother(200, kernels.KERNELS["Gaussian"], bandwidth)
    observed = regression.observe(regression.TRUTHS["waves"], 200, noise, 0)
    drawn = part.charts(lesson1_h=bandwidth, lesson1_noise=noise)
    A, V = smoother.matrix, observed.values
    for chart, name, expected in (
        ("lesson1-curves", "noisy values V", V),
        ("lesson1-curves", "sin(4πx)", observed.curve),
        ("lesson1-curves", "smoothed, AV", A @ V),
        ("lesson1-curves", "twiced, AV + A(V − AV)", (2 * A - A @ A) @ V),
        ("lesson1-residuals", "residual V − AV", V - A @ V),
        ("lesson1-residuals", "what AV misses of the curve", observed.curve - A @ V),
        ("lesson1-residuals", "smoothed residual A(V − AV)", A @ (V - A @ V)),
    ):
        x, y = drawn[chart][name]
        np.testing.assert_allclose(x, observed.x, rtol=1e-6)
        np.testing.assert_allclose(y, expected, atol=2e-6)
    once, twiced = (np.sqrt(np.mean((M @ V - observed.curve) ** 2)) for M in (A, 2 * A - A @ A))
    (said,) = part.words(lesson1_h=bandwidth, lesson1_noise=noise)
    assert f"once {once:.3f}, twiced {twiced:.3f}" in said


def test_every_part_is_under_300_kilobytes_a_chart() -> None:
    app = open_lesson("regression")
    pick(app, "lesson1-points", 400)
    for name, count in (("Three steps", 2), ("Bias and variance", 1), ("Again and again", 2)):
        part = sent(pick(app, "lesson1-part", name), "lesson1")
        assert len(part.header["charts"]) == count
        assert part.size < 300_000 * count
    app = open_lesson("eigenvalues")
    for name in ("Powers", "Eigencapacity", "The family"):
        assert sent(pick(app, "lesson3-part", name), "lesson3").size < 300_000
    assert sent(open_lesson("dial"), "dial").size < 300_000


def test_the_steps_come_one_at_a_time() -> None:
    app = open_lesson("regression")
    pick(app, "lesson1-step", "smooth")
    drawn = sent(app, "lesson1").charts()
    assert "lesson1-residuals" not in drawn
    assert len(drawn["lesson1-curves"]) == 3
    pick(app, "lesson1-step", "residual")
    assert "lesson1-residuals" in sent(app, "lesson1").charts()


def test_a_kernel_with_negative_eigenvalues_says_so() -> None:
    app = open_lesson("regression")
    assert not any("eigenvalues are negative" in said for said in sent(app, "lesson1").words())
    part = sent(pick(app, "lesson1-kernel", "box"), "lesson1")
    for bandwidth in (0.05, 0.25):
        negative = regression.smoother(200, kernels.KERNELS["box"], bandwidth).negative
        expected = f"**{len(negative)} of 200 eigenvalues are negative**, the lowest {negative[-1]:.3f}"
        assert any(expected in said for said in part.words(lesson1_h=bandwidth))


def test_new_noise_is_another_draw() -> None:
    app = open_lesson("regression")
    before = sent(app, "lesson1").charts()["lesson1-curves"]["noisy values V"][1]
    app.button(key="lesson1-again").click().run()
    assert not np.allclose(before, sent(app, "lesson1").charts()["lesson1-curves"]["noisy values V"][1])


def test_monte_carlo_is_drawn_over_the_exact_curves_where_the_slider_was_left() -> None:
    app = leave(pick(open_lesson("regression"), "lesson1-part", "Bias and variance"), lesson1_noise=0.5)
    assert "exact" not in sent(app, "lesson1").charts()["lesson1-risk"]
    app.button(key="lesson1-monte-carlo").click().run()
    assert_sound(app)
    part = sent(app, "lesson1")
    drawn = part.charts(lesson1_noise=0.5)["lesson1-risk"]
    assert "exact" in drawn
    x, y = drawn["K: MSE"]
    exact = risk.exact_sweep(regression.TRUTHS["waves"], 200, 0.5, kernels.KERNELS["Gaussian"], x)
    np.testing.assert_allclose(y, exact.standard.mse, rtol=0.25)
    assert not np.allclose(y, exact.standard.mse, rtol=1e-4)
    elsewhere = part.charts(lesson1_noise=0.3)["lesson1-risk"]
    assert np.isnan(elsewhere["exact"][1]).all()


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_the_risk_is_exact_at_every_noise(noise: float) -> None:
    part = sent(pick(open_lesson("regression"), "lesson1-part", "Bias and variance"), "lesson1")
    drawn = part.charts(lesson1_noise=noise)["lesson1-risk"]
    bandwidths = risk.bandwidths(0.006, 0.25, 24)
    exact = risk.exact_sweep(regression.TRUTHS["waves"], 200, noise, kernels.KERNELS["Gaussian"], bandwidths)
    for name, of_kernel in (("K", exact.standard), ("2K − K∗K", exact.twicing)):
        quantities = (("MSE", of_kernel.mse), ("bias²", of_kernel.bias_squared), ("variance", of_kernel.variance))
        for quantity, expected in quantities:
            np.testing.assert_allclose(drawn[f"{name}: {quantity}"][1], expected, rtol=1e-5)
        x, y = drawn[f"{name}: least error"]
        assert (x[0], y[0]) == pytest.approx((bandwidths[of_kernel.best], of_kernel.mse.min()), rel=1e-5)
    best = exact.standard.best
    assert f"K {exact.standard.mse[best]:.4f} at h = {bandwidths[best]:.3f}" in part.words(lesson1_noise=noise)[-1]


def test_where_twicing_raises_the_bias_stands_below_the_chart() -> None:
    app = pick(open_lesson("regression"), "lesson1-part", "Bias and variance")
    assert not any("raises the bias" in said for said in sent(app, "lesson1").words())
    pick(app, "lesson1-kernel", "box")
    (warning, _) = sent(app, "lesson1").words()
    assert "At **1 of 24 bandwidths**, the widest h = 0.250, twicing raises the bias" in warning


def test_the_order_and_the_folds() -> None:
    app = pick(open_lesson("regression"), "lesson1-part", "Why: the order of the bias")
    legend = [trace.get("name", "") for trace in charts(app)["lesson1-order"]["data"]]
    assert any(name.startswith("K: h<sup>2.0") or name.startswith("K: h<sup>1.9") for name in legend)
    pick(app, "lesson1-part", "Again and again")
    part = sent(app, "lesson1")
    smoother = regression.smoother(200, kernels.KERNELS["Gaussian"], 0.1)
    observed = regression.observe(regression.TRUTHS["waves"], 200, 0.5, 0)
    expected = regression.folds(smoother, observed.values, 50)
    values = {"lesson1_h": 0.1, "lesson1_noise": 0.5}
    for fold in (1, 2, 50):
        drawn = part.charts(lesson1_fold=fold, **values)
        np.testing.assert_allclose(drawn["lesson1-folds"][f"{fold}-fold twicing"][1], expected[fold - 1], atol=1e-5)
        np.testing.assert_allclose(drawn["lesson1-folds"]["once"][1], expected[0], atol=1e-6)
    numbers_of_folds = (1, 2, 3, 5, 8, 13, 20, 30, 50)
    exact = risk.fold_risk(smoother, observed.truth, 0.5, numbers_of_folds)
    np.testing.assert_allclose(drawn["lesson1-fold-risk"]["MSE"][1], exact.mse, rtol=1e-5)
    assert f"least at k = {numbers_of_folds[exact.best]}." in part.words(**values)[0]


# --- lesson 3 -----------------------------------------------------------------------------------------------------


def test_the_halves_are_halves() -> None:
    for n in (1, 2, 12, 48):
        standard, twicing = eigenvalues._halves(n)
        assert theory.standard_power(np.array(standard), n) == pytest.approx(0.5)
        assert theory.twicing_power(np.array(twicing), n) == pytest.approx(0.5)


def test_the_family_breaks_outside_one_and_two() -> None:
    part = sent(pick(open_lesson("eigenvalues"), "lesson3-part", "The family"), "lesson3")
    for a, broken in ((2.0, 0), (2.5, 1), (0.5, 1)):
        (verdict,) = [said for said in part.words(lesson3_a=a) if said.startswith(f"a = {a:g}:")]
        assert verdict.count("**no**") == broken
        drawn = part.charts(lesson3_a=a)["lesson3-family"]
        x, y = drawn[f"a = {a:g}"]
        np.testing.assert_allclose(y, theory.family(x, a), atol=1e-6)
        assert np.isfinite(drawn["maximum"][1]).all() == (a > 2)


def test_every_power_is_there() -> None:
    part = sent(open_lesson("eigenvalues"), "lesson3")
    for n in range(1, 49):
        drawn = part.charts(lesson3_n=n)["lesson3-powers"]
        for name, power in (("λ", theory.standard_power), ("(2λ − λ²)", theory.twicing_power)):
            x, y = drawn[f"{name}<sup>{n}</sup>"]
            np.testing.assert_allclose(y, power(x, n), atol=1e-6)
    assert "For n = 12, half is left of what lies along an eigenvector with λ = 0.944" in part.words(lesson3_n=12)[0]


def test_the_models_own_eigenvalues_are_counted() -> None:
    app = pick(open_lesson("eigenvalues"), "lesson3-part", "The models' own")
    pick(app, "lesson3-layer", facts().depth)
    lines = [one for one in texts(app) if "leave the unit disc" in one]
    assert len(lines) == 2
    assert all(f" of {facts().heads * facts().tokens} eigenvalues" in one for one in lines)


def test_capacity_by_quadrature_is_the_exact_one() -> None:
    part = sent(pick(open_lesson("eigenvalues"), "lesson3-part", "Eigencapacity"), "lesson3")
    for n in (1, 12, 200):
        rows = part.table(lesson3_capacity_n=n)
        for (_, exact, by_quadrature, _), expected in zip(
            rows, (theory.eigencapacity_standard(n), theory.eigencapacity_twicing(n)), strict=True
        ):
            assert float(exact) == pytest.approx(float(by_quadrature), rel=1e-4)
            assert float(exact) == pytest.approx(expected, rel=1e-4)


# --- lesson 5 -----------------------------------------------------------------------------------------------------


def test_the_dial_at_one_is_the_model_as_trained() -> None:
    app = leave(open_lesson("dial"), dial_a=1.0)
    assert_sound(app)
    before, now, _ = (y for _, y in sent(app, "dial").charts(dial_a=1.0)["dial-similarity"].values())
    np.testing.assert_allclose(before, now, rtol=1e-5)
    assert any("Operator swapped, not trained" in one.value for one in app.warning)


def test_the_dial_changes_only_the_blocks_chosen() -> None:
    depth = facts().depth
    first = depth - max(1, depth // 4) + 1
    app = pick(open_lesson("dial"), "dial-blocks", f"[{first}–{depth}]")
    before, now, trained = (y for _, y in sent(app, "dial").charts()["dial-similarity"].values())
    np.testing.assert_allclose(before[:first], now[:first], rtol=1e-5)
    assert not np.allclose(before[first:], now[first:], rtol=1e-3)
    engine = resources.engine()
    (card,) = [one for one in engine.cards if not one.is_standard]
    assert len(trained) == len(card.filter) + 1


def test_the_dial_leaves_no_model_behind() -> None:
    app = open_lesson("dial")
    known = len(resources.engine()._models)  # type: ignore[attr-defined]
    for a in (0.5, 1.5, 2.5):
        leave(app, dial_a=a)
    assert len(resources.engine()._models) == known  # type: ignore[attr-defined]


def test_the_sweep_is_computed_once_and_starts_as_trained() -> None:
    app = open_lesson("dial")
    app.button(key="dial-work").click().run()
    assert_sound(app)
    swept = charts(app)["dial-a-1"]["data"][0]
    places, values = numbers(swept["x"]), numbers(swept["y"])
    assert places[0] == 0.0
    assert places[-1] == 3.0
    engine = resources.engine()
    (standard,) = [one for one in engine.cards if one.is_standard]
    photo = app.session_state["view"].photo
    own = similarity.token_similarity(ask(engine, TraceJob(), [photo.image], standard.key)[0])[-1]
    assert values[list(places).index(1.0)] == pytest.approx(float(own), rel=1e-5)
    app.run()
    assert "dial-a-1" in charts(app), "asked for once, it stays"


def test_the_dial_wants_a_standard_model() -> None:
    app = AppTest.from_file(str(FRAME), default_timeout=60).run()
    engine = resources.engine()
    (twicing,) = [one for one in engine.cards if not one.is_standard]
    for box in app.sidebar.selectbox:
        if box.key in ("model-baseline", "model-twicing"):
            box.set_value(twicing.key)
    app.run()
    app.switch_page("learn/dial.py").run()
    assert_sound(app)
    assert any("choose one in the sidebar" in one.value for one in app.info)


# --- lesson 6 -----------------------------------------------------------------------------------------------------


def test_the_tours_numbers_are_the_models() -> None:
    app = open_lesson("tour")
    assert app.get("bidi_component")
    A, V = stochastic(2, 3, 10, 10).float(), normal(2, 3, 10, 4).float()
    trace = make_trace(A, quadratics(1.0, 2.0), values=V)
    cards = tour.steps(trace, trace)
    peak = float(A[-1, :, 0, 1:].mean(dim=0).max())
    assert f"{peak:.0%} of the row" in cards[0].text
    last = [matrix @ V[-1] for matrix in (torch.eye(10), A[-1], 2 * A[-1] - A[-1] @ A[-1])]
    alike = [float(similarity.mean_cosine(torch.cat([*heads], dim=-1)[1:])) for heads in last]
    assert "{:.2f} in V, {:.2f} in AV, {:.2f} in (2A − A²)V".format(*alike) in cards[4].text
    assert all(0 <= card.state["layer"] < 2 for card in cards)
    assert all(bool(card.task) == bool(card.wait) for card in cards)


def test_the_tours_words_hold_for_the_pair_that_opens() -> None:
    assert_words_hold(*load_pair().compare(f"example:{tour.PHOTOGRAPH}"))


def assert_words_hold(*traces: Trace) -> None:
    """What the cards say beyond numbers is said where it is so, and nowhere else.

    One map is dimmer and its row more spread out; the rows concentrate with depth, or the other way round.
    """
    cards = tour.steps(*traces)
    peaks = [round(100 * float(t.attention[-1, :, 0, t.prefix :].mean(dim=0).max())) for t in traces]
    rows = [t.attention[:, :, 0].double() for t in traces]
    nats = [torch.special.entr(row).sum(dim=-1).mean(dim=1) for row in rows]
    right = peaks[1] < peaks[0] and bool(nats[1][-1] > nats[0][-1])
    left = peaks[0] < peaks[1] and bool(nats[0][-1] > nats[1][-1])
    assert [f"Is the {side} map dimmer" in cards[0].text for side in ("right", "left")] == [right, left]
    assert ("Does a dim map" in cards[0].text) == (not right and not left)

    ways = [np.sign(round(float(line[-1]), 2) - round(float(line[0]), 2)) for line in nats]
    said = cards[2].text
    assert ("nats, falls from" in said) == (ways == [-1, -1])
    assert ("nats, rises from" in said) == ("from fewer places to more" in said) == (ways == [1, 1])
    assert ("nats, goes from" in said) == (ways not in ([-1, -1], [1, 1]))
    tokens = rows[0].shape[-1]
    wide, narrow = (all(half(line) for line in nats) for half in (
        lambda line: line[0].exp() >= tokens / 2, lambda line: line[-1].exp() <= tokens / 4
    ))  # fmt: skip
    assert ("nearly everywhere to a few places" in said) == (ways == [-1, -1] and wide and narrow)
    assert ("from more places to fewer" in said) == (ways == [-1, -1] and not (wide and narrow))


def concentrating(*sharpness: float) -> Trace:
    """Three layers whose rows look at fewer of ten places the sharper they are."""
    return make_trace(torch.cat([stochastic(1, 2, 10, 10, sharpness=one) for one in sharpness]), quadratics(1.0) * 3)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((0.1, 2.0, 8.0), (0.1, 2.0, 4.0), ("right map dimmer", "nearly everywhere to a few places")),
        ((0.1, 2.0, 4.0), (0.1, 2.0, 8.0), ("left map dimmer", "nearly everywhere to a few places")),
        ((3.0, 2.0, 8.0), (3.0, 2.0, 8.0), ("Does a dim map", "falls from", "from more places to fewer")),
        ((8.0, 2.0, 0.1), (8.0, 2.0, 0.2), ("rises from", "from fewer places to more")),
        ((8.0, 2.0, 0.1), (0.1, 2.0, 8.0), ("left map dimmer", "goes from")),
        ((2.0, 2.0, 2.0), (2.0, 2.0, 2.0), ("Does a dim map", "goes from")),
    ],
)
def test_the_tours_words_are_those_of_the_models(
    first: tuple[float, ...], second: tuple[float, ...], said: tuple[str, ...]
) -> None:
    traces = concentrating(*first), concentrating(*second)
    assert_words_hold(*traces)
    text = " ".join(card.text for card in tour.steps(*traces))
    assert all(words in text for words in said), text


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (8.0, 0.1, "the twicing model spreads"),
        (0.1, 8.0, "the standard model spreads"),
        (2.0, 2.0, "the two spread their last layer's attention about equally"),
    ],
)
def test_the_tours_answer_is_of_these_models(first: float, second: float, words: str) -> None:
    traces = concentrating(1.0, first), concentrating(1.0, second)
    answer = tour.answer(*traces)
    assert words in answer
    for trace in traces:
        rows = trace.attention[-1, :, 0].double()
        assert f"{float(torch.special.entr(rows).sum(dim=-1).mean()):.2f}" in answer


def test_the_last_card_sets_the_papers_figure_beside_the_pair() -> None:
    low, high = (
        make_trace(stochastic(1, 2, 10, 10), quadratics(1.0), tokens=normal(2, 10, 8) + shift) for shift in (0, 3)
    )
    assert "so it is here" in tour.steps(high, low)[-1].text
    assert "here it is not" in tour.steps(low, high)[-1].text


# --- handouts -----------------------------------------------------------------------------------------------------


def made(page: str, app: AppTest) -> str:
    """The text of a lesson's handout, made as a click makes it: in a thread that belongs to no visit."""
    (button,) = [one for one in app.get("download_button") if one.label == "Handout (PDF)"]
    with ThreadPoolExecutor(1) as pool:
        data = pool.submit(CALLABLES[page]).result()
    assert button.key == f"handout-{page}"
    (leaf,) = PdfReader(io.BytesIO(data)).pages
    return " ".join(leaf.extract_text().split())


CALLABLES: dict[str, Callable[[], bytes]] = {}
NAMES = {"regression": "smoothing", "eigenvalues": "eigenvalues", "dial": "dial", "tour": "tour"}


@pytest.fixture
def callables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the download buttons were given."""
    CALLABLES.clear()
    given = st.download_button

    def button(label: str, data: Callable[[], bytes], **options: object) -> bool:
        CALLABLES[str(options["key"]).removeprefix("handout-")] = data
        return bool(given(label, data=data, **options))

    monkeypatch.setattr(st, "download_button", button)


@pytest.mark.usefixtures("callables")
@pytest.mark.parametrize("page", PAGES)
def test_a_handout_is_one_page_and_needs_no_visit(page: str) -> None:
    text = made(NAMES[page], open_lesson(page))
    assert "Question." in text
    assert "Twicing Explorer" in text


@pytest.mark.usefixtures("callables")
def test_a_handout_has_the_pictures_as_they_stand() -> None:
    app = leave(open_lesson("regression"), lesson1_h=0.1)
    assert "h = 0.1, σ = 0.3" in made("smoothing", app)
    app = leave(open_lesson("dial"), dial_a=1.5)
    assert f"a = 1.5 in {facts().depth} blocks" in made("dial", app)
