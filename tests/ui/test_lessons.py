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
from tests.helpers import make_trace, normal, stochastic
from tests.pair import facts
from tests.ui.conftest import FRAME
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
    app = open_lesson("regression")
    before = charts(app)["lesson1-curves"]["layout"]["font"]["size"]
    app.toggle(key="large-text").set_value(True).run()
    assert_sound(app)
    assert charts(app)["lesson1-curves"]["layout"]["font"]["size"] > before
    assert any("font-size: 21px" in one.proto.body for one in app.get("html"))


# --- lesson 1 -----------------------------------------------------------------------------------------------------


def test_the_curves_are_the_smoothers() -> None:
    app = pick(open_lesson("regression"), "lesson1-h", 0.1)
    smoother = regression.smoother(200, kernels.KERNELS["Gaussian"], 0.1)
    observed = regression.observe(regression.TRUTHS["waves"], 200, 0.3, 0)
    drawn = {trace["name"]: numbers(trace["y"]) for trace in charts(app)["lesson1-curves"]["data"]}
    np.testing.assert_allclose(drawn["smoothed, AV"], smoother.matrix @ observed.values)
    A = smoother.matrix
    np.testing.assert_allclose(drawn["twiced, AV + A(V − AV)"], (2 * A - A @ A) @ observed.values)


def test_the_steps_come_one_at_a_time() -> None:
    app = open_lesson("regression")
    pick(app, "lesson1-step", "smooth")
    assert "lesson1-residuals" not in charts(app)
    assert len(charts(app)["lesson1-curves"]["data"]) == 3
    pick(app, "lesson1-step", "residual")
    assert "lesson1-residuals" in charts(app)


def test_a_kernel_with_negative_eigenvalues_says_so() -> None:
    app = open_lesson("regression")
    assert not any("eigenvalues are negative" in one.value for one in app.warning)
    pick(app, "lesson1-kernel", "box")
    assert any("eigenvalues are negative" in one.value for one in app.warning)


def test_new_noise_is_another_draw() -> None:
    app = open_lesson("regression")
    before = numbers(charts(app)["lesson1-curves"]["data"][0]["y"])
    app.button(key="lesson1-again").click().run()
    assert not np.allclose(before, numbers(charts(app)["lesson1-curves"]["data"][0]["y"]))


def test_monte_carlo_is_drawn_over_the_exact_curves() -> None:
    app = pick(open_lesson("regression"), "lesson1-part", "Bias and variance")
    assert not any(trace["name"] == "exact" for trace in charts(app)["lesson1-risk"]["data"])
    app.button(key="lesson1-monte-carlo").click().run()
    assert_sound(app)
    drawn = {trace["name"]: trace for trace in charts(app)["lesson1-risk"]["data"]}
    assert "exact" in drawn
    exact = risk.exact_sweep(
        regression.TRUTHS["waves"], 200, 0.3, kernels.KERNELS["Gaussian"], numbers(drawn["K: MSE"]["x"])
    )
    np.testing.assert_allclose(numbers(drawn["K: MSE"]["y"]), exact.standard.mse, rtol=0.25)


def test_where_twicing_raises_the_bias_stands_below_the_chart() -> None:
    app = pick(open_lesson("regression"), "lesson1-part", "Bias and variance")
    assert not app.warning
    pick(app, "lesson1-kernel", "box")
    (warning,) = app.warning
    assert "At **1 of 24 bandwidths**, the widest h = 0.250, twicing raises the bias" in warning.value


def test_the_order_and_the_folds() -> None:
    app = pick(open_lesson("regression"), "lesson1-part", "Why: the order of the bias")
    legend = [trace.get("name", "") for trace in charts(app)["lesson1-order"]["data"]]
    assert any(name.startswith("K: h<sup>2.0") or name.startswith("K: h<sup>1.9") for name in legend)
    pick(app, "lesson1-part", "Again and again")
    pick(app, "lesson1-fold", 50)
    assert any(trace["name"] == "50-fold twicing" for trace in charts(app)["lesson1-folds"]["data"])


# --- lesson 3 -----------------------------------------------------------------------------------------------------


def test_the_halves_are_halves() -> None:
    for n in (1, 2, 12, 48):
        standard, twicing = eigenvalues._halves(n)
        assert theory.standard_power(np.array(standard), n) == pytest.approx(0.5)
        assert theory.twicing_power(np.array(twicing), n) == pytest.approx(0.5)


def test_the_family_breaks_outside_one_and_two() -> None:
    app = pick(open_lesson("eigenvalues"), "lesson3-part", "The family")
    for a, broken in ((2.0, 0), (2.5, 1), (0.5, 1)):
        pick(app, "lesson3-a", a)
        (verdict,) = [one for one in texts(app) if one.startswith(f"a = {a:g}:")]
        assert verdict.count("**no**") == broken


def test_the_models_own_eigenvalues_are_counted() -> None:
    app = pick(open_lesson("eigenvalues"), "lesson3-part", "The models' own")
    pick(app, "lesson3-layer", facts().depth)
    lines = [one for one in texts(app) if "leave the unit disc" in one]
    assert len(lines) == 2
    assert all(f" of {facts().heads * facts().tokens} eigenvalues" in one for one in lines)


def test_capacity_by_quadrature_is_the_exact_one() -> None:
    app = pick(open_lesson("eigenvalues"), "lesson3-part", "Eigencapacity")
    (table,) = [one.value for one in app.dataframe]
    np.testing.assert_allclose(table["exact"], table["by quadrature"], rtol=1e-4)


# --- lesson 5 -----------------------------------------------------------------------------------------------------


def test_the_dial_at_one_is_the_model_as_trained() -> None:
    app = pick(open_lesson("dial"), "dial-a", 1.0)
    before, now, _ = (numbers(trace["y"]) for trace in charts(app)["dial-similarity"]["data"])
    np.testing.assert_allclose(before, now, rtol=1e-5)
    assert any("Operator swapped, not trained" in one.value for one in app.warning)


def test_the_dial_changes_only_the_blocks_chosen() -> None:
    depth = facts().depth
    first = depth - max(1, depth // 4) + 1
    app = pick(open_lesson("dial"), "dial-blocks", f"[{first}–{depth}]")
    before, now, trained = (numbers(trace["y"]) for trace in charts(app)["dial-similarity"]["data"])
    np.testing.assert_allclose(before[:first], now[:first], rtol=1e-5)
    assert not np.allclose(before[first:], now[first:], rtol=1e-3)
    engine = resources.engine()
    (card,) = [one for one in engine.cards if not one.is_standard]
    assert len(trained) == len(card.filter) + 1


def test_the_dial_leaves_no_model_behind() -> None:
    app = open_lesson("dial")
    known = len(resources.engine()._models)  # type: ignore[attr-defined]
    for a in (0.5, 1.5, 2.5):
        pick(app, "dial-a", a)
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
    trace = make_trace(A, (1.0, 2.0), values=V)
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
    return make_trace(torch.cat([stochastic(1, 2, 10, 10, sharpness=one) for one in sharpness]), (1.0,) * 3)


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
    low, high = (make_trace(stochastic(1, 2, 10, 10), (1.0,), tokens=normal(2, 10, 8) + shift) for shift in (0, 3))
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
    app = pick(open_lesson("regression"), "lesson1-h", 0.1)
    assert "h = 0.1, σ = 0.3" in made("smoothing", app)
    app = pick(open_lesson("dial"), "dial-a", 1.5)
    assert f"a = 1.5 in {facts().depth} blocks" in made("dial", app)
