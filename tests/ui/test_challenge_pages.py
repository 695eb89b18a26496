"""The pages of attribution, corruptions and attacks, as a visitor meets them."""

import subprocess
import sys

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer.attribution.result import Method
from explorer.ui import attacking, work
from tests.ui.conftest import Open
from tests.ui.test_pages import assert_sound, charts, choose, numbers, png, texts, upload

TITLES = {"attribution": "Attribution", "corruptions": "Corruptions", "attacks": "Attacks"}


@pytest.fixture
def page(app: AppTest) -> Open:
    """Opens one of the pages for a new visitor."""

    def open(name: str) -> AppTest:
        app.switch_page(f"challenge/{name}.py").run()
        assert_sound(app)
        return app

    return open


def method(app: AppTest, one: Method) -> AppTest:
    app.selectbox(key="attribution-method").set_value(one).run()
    assert_sound(app)
    return app


@pytest.mark.parametrize("name", TITLES)
def test_a_page_opens_with_its_heading_and_a_sentence(page: Open, name: str) -> None:
    app = page(name)
    assert [title.value for title in app.title] == [TITLES[name]]
    assert len(app.main.markdown[0].value) > 40


def test_the_page_says_that_attention_is_not_attribution(page: Open) -> None:
    assert "attention is not attribution" in page("attribution").main.markdown[0].value


def test_captum_is_not_there_before_a_map_is_asked_for() -> None:
    modules = "explorer.ui.trust_view, explorer.ui.attack_view, explorer.ui.disturbing"
    code = f"import sys, {modules}; print('captum' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False"], done.stderr


@pytest.mark.parametrize("one", [Method.SALIENCY, Method.GRAD_CAM])
def test_both_models_share_a_scale_around_zero_or_from_it(page: Open, one: Method) -> None:
    app = method(page("attribution"), one)
    bars = [charts(app)[f"attribution-bar-{i}"]["data"][0]["x"] for i in (0, 1)]
    first, second = (numbers(bar) for bar in bars)
    np.testing.assert_array_equal(first, second)
    assert first[0] == pytest.approx(-first[-1] if one.is_signed else 0.0)


def test_integrated_gradients_say_their_convergence_delta(page: Open) -> None:
    app = method(page("attribution"), Method.INTEGRATED_GRADIENTS)
    assert (
        sum("convergence delta +" in caption.value or "convergence delta −" in caption.value for caption in app.caption)
        == 2
    )


def test_a_class_of_ones_own_changes_the_maps(page: Open) -> None:
    app = method(page("attribution"), Method.GRAD_CAM)
    before = numbers(charts(app)["attribution-bar-0"]["data"][0]["x"])[-1]
    other = app.selectbox(key="attribution-class").options[-1]
    app.selectbox(key="attribution-class").select(other).run()
    assert_sound(app)
    assert numbers(charts(app)["attribution-bar-0"]["data"][0]["x"])[-1] != before


def test_the_same_map_is_made_once(page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = method(page("attribution"), Method.GRAD_CAM)
    monkeypatch.setattr("explorer.attribution.methods.attribute", None)
    choose(app, "attribution-grid", "pixels")


def test_the_cache_is_bounded_in_bytes() -> None:
    assert work.results().capacity <= 64 * 2**20


def work_page() -> None:
    """A page whose work is cancelled in its first run, as a click on Cancel does it."""
    import streamlit as st

    from explorer.ui import work

    key = ("settings", st.session_state.get("setting", 0))

    def make(progress: object) -> int:
        st.session_state["runs"] = st.session_state.get("runs", 0) + 1
        if st.session_state["runs"] == 1:
            work._stop("work", key)
            st.rerun()
        return 7

    st.session_state["made"] = work.offered("work", key, work.line(st.container()), "Working …", make, False)


def test_what_was_cancelled_stays_so_until_it_or_something_else_is_asked_for() -> None:
    app = AppTest.from_function(work_page).run()
    assert (app.session_state["runs"], app.session_state["made"]) == (1, None)
    assert [one.value for one in app.caption] == ["Cancelled."]
    app.run()
    assert app.session_state["runs"] == 1
    app.button(key="work-work").click().run()
    assert (app.session_state["runs"], app.session_state["made"]) == (2, 7)
    app.session_state["work-stopped"] = ("settings", 0)
    app.session_state["setting"] = 1
    app.run()
    assert (app.session_state["runs"], app.session_state["made"]) == (3, 7)


def test_faithfulness_and_agreement_come_on_demand(page: Open) -> None:
    app = method(page("attribution"), Method.GRAD_CAM)
    assert "trust-deletion" not in charts(app)
    app.button(key="trust-work").click().run()
    assert_sound(app)
    assert {"trust-deletion", "trust-insertion"} <= charts(app).keys()
    assert "agreement-between" in charts(app)


def test_a_corruption_says_what_it_is_and_changes_the_answer_bars(page: Open) -> None:
    app = page("corruptions")
    before = charts(app)["answers-0"]
    app.selectbox(key="corruption-kind").select("Contrast").run()
    assert_sound(app)
    assert charts(app)["answers-0"] != before
    choose(app, "corruption-severity", "custom")
    assert app.slider(key="corruption-strength").value == 2.5
    app.slider(key="corruption-strength").set_value(0.0).run()
    assert_sound(app)
    drift = charts(app)["corruption-attention"]["data"]
    assert all(np.abs(numbers(line["y"])).max() < 1e-6 for line in drift)


def test_all_severities_of_all_images_come_on_demand(page: Open) -> None:
    app = page("corruptions")
    app.segmented_control(key="corruption-over").set_value(app.segmented_control(key="corruption-over").options[1])
    app.run()
    app.button(key="corruption-work").click().run()
    assert_sound(app)
    lines = [line for line in charts(app)["corruption-sweep"]["data"] if line.get("name")]
    assert [len(numbers(line["y"])) for line in lines] == [6, 6]


def test_the_papers_preset_and_its_unit_are_said(page: Open) -> None:
    app = page("attacks")
    assert "0.15/255" in app.segmented_control(key="attack-preset").help
    said = " ".join(texts(app))
    assert "FGSM, eps 4/255" in said


def test_an_attack_of_no_budget_changes_nothing(page: Open) -> None:
    app = choose(page("attacks"), "attack-preset", "custom")
    choose(app, "attack-kind", "FGSM")
    app.slider(key="attack-eps").set_value(0.0).run()
    assert_sound(app)
    rows = app.dataframe[0].value
    assert all(first == now for first, now in (text.split(" → ") for text in rows["Loss, nats"]))


def test_numbers_of_the_paper_stand_beside_measured_ones(page: Open) -> None:
    app = page("attacks")
    table = app.dataframe[1].value
    assert table["Paper: DeiT"].tolist() == ["72.00%", "29.88%", "8.16%"]
    assert table["Paper: DeiT-Twicing"].tolist() == ["72.60%", "32.28%", "9.15%"]
    for result in attacking.measured().values():
        assert len(result.ranks) >= 1000


def test_uploads_are_attacked_with_their_own_predictions_as_labels(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacking, "SWEEP_EPS", (0.0, 8.0))
    upload(app, ("a.png", png(1)))
    app.switch_page("challenge/attacks.py").run()
    assert_sound(app)
    assert any("own clean prediction" in caption.value for caption in app.caption)
    app.button(key="attack-sweep-work").click().run()
    assert_sound(app)
    lines = [line for line in charts(app)["attack-sweep"]["data"] if line.get("name")]
    assert all(numbers(line["y"])[0] == 1.0 for line in lines)
