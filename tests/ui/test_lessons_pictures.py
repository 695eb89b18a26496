"""The lessons on a photograph: every part, setting and handout, under AppTest on the pair that opens."""

import json
import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer.figures.print import handout
from explorer.lessons import nonlocal_means as nlm
from explorer.lessons import quality
from explorer.ui import learn
from explorer.ui.learn import attention_filter, filters, nonlocal_means
from explorer.ui.learn.denoising import DenoisingSettings
from explorer.ui.shell.session import Pair, View, plain
from explorer.ui.shell.sidebar import example_photos
from tests.helpers import assert_one_sentence, plain_text
from tests.pair import facts
from tests.ui.conftest import Open
from tests.ui.test_pages import assert_sound, charts, choose, comparison, numbers, png, texts, upload

SMALL = {"lesson2-window": 5, "lesson2-patch": 3}
OpenLesson = Callable[[str], AppTest]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photographs of 96 px instead of 256: the same pages in a fraction of the time."""
    monkeypatch.setattr(nlm, "working_view", partial(nlm.working_view, longest=96))


@pytest.fixture
def open_lesson(open_app: Open) -> OpenLesson:
    """A lesson as a new visitor finds it; nonlocal means with a small window, which is quick."""

    def open(name: str) -> AppTest:
        app = open_app()
        for key, value in SMALL.items():
            app.session_state[key] = value
        app.switch_page(f"learn/{name}.py").run()
        assert_sound(app)
        return app

    return open


def part(app: AppTest, lesson: int, name: str) -> AppTest:
    return choose(app, f"lesson{lesson}-part", name)


def pictures(app: AppTest) -> list[str]:
    """The alt texts of the pictures on the page, each with a source."""
    html = " ".join(one.proto.body for one in app.main.get("html"))
    return re.findall(r'<img src="data:image/png;base64,[^"]{40,}" alt="([^"]+)">', html)


def wipe(app: AppTest) -> dict:
    (component,) = [one for one in app.main.get("bidi_component") if one.key == "lesson2-wipe"]
    return json.loads(component.proto.json)


# --- nonlocal means -----------------------------------------------------------------------------------------------


def test_the_lesson_on_nonlocal_means_part_by_part(open_lesson: OpenLesson) -> None:
    app = open_lesson("nonlocal_means")
    assert app.title[0].value == "2. Smoothing an image"
    assert len(pictures(app)) == 3
    sent = wipe(app)
    assert (sent["before"]["name"], sent["after"]["name"]) == ("once AV", "twiced (2A − A²)V")
    assert sent["before"]["source"] != sent["after"]["source"]
    app.selectbox(key="lesson2-left").set_value("clean").run()
    assert wipe(app)["before"]["alt"] == "The photograph, clean"
    for which in ("all of it", "only structure", "only noise"):
        app = choose(part(app, 2, "What was lost"), "lesson2-lost", which)
        assert len(pictures(app)) == 2
    assert len(pictures(part(app, 2, "Again and again"))) == 8
    assert set(charts(app)) == {"lesson2-psnr", "lesson2-ssim"}


def test_the_table_has_the_numbers_of_the_definition(open_lesson: OpenLesson) -> None:
    app = open_lesson("nonlocal_means")
    clean = nlm.working_view(example_photos()[0].image.rgb)
    V = nlm.add_noise(clean, 0.1)
    *_, last = nlm.windowed(V, nlm.MeansSettings(0.14, 3, 5))
    assert last.result is not None
    once = last.result.apply(V)
    expected = [quality.quality(one, clean) for one in (V, once, once + last.result.apply(V - once))]
    table = app.table[0].value
    assert list(table["PSNR, dB"]) == [f"{one.psnr:.2f}" for one in expected]
    assert list(table["SSIM"]) == [f"{one.ssim:.3f}" for one in expected]


def test_what_is_better_is_said_as_it_is(open_lesson: OpenLesson) -> None:
    app = open_lesson("nonlocal_means")
    app.select_slider(key="lesson2-patch").set_value(5)
    app.select_slider(key="lesson2-window").set_value(13)
    app.slider(key="lesson2-ratio").set_value(0.7).run()
    assert any("smoothing once is **" in one.value for one in app.markdown)
    app.slider(key="lesson2-ratio").set_value(2.0).run()
    assert any("twicing comes **" in one.value for one in app.markdown)
    assert_sound(app)


def test_the_matrix_of_a_crop(open_lesson: OpenLesson) -> None:
    app = part(open_lesson("nonlocal_means"), 2, "The weight matrix")
    app.select_slider(key="lesson2-crop").set_value(16).run()
    assert_sound(app)
    lines = charts(app)["lesson2-spectrum"]["data"]
    z, mapped = (numbers(line["y"]) for line in lines[:2])
    assert len(z) == 256
    assert z[0] == pytest.approx(1.0)
    np.testing.assert_allclose(mapped, 2 * z - z**2, atol=1e-12)
    app.slider(key="lesson2-row-16").set_value(1).run()
    app.slider(key="lesson2-across").set_value(100).run()
    assert_sound(app)
    assert any(alt.startswith("Weights of pixel 1, 8") for alt in pictures(app))


@pytest.mark.parametrize("size", [(60, 80), (14, 90)])
def test_a_photograph_of_ones_own(open_lesson: OpenLesson, size: tuple[int, int]) -> None:
    app = upload(open_lesson("nonlocal_means"), ("*mine*.png", png(size=size)))
    for name in nonlocal_means.PARTS:
        part(app, 2, name)
    assert not any("*mine*" in text for text in texts(app))


def test_a_photograph_too_small_is_refused_in_a_sentence(open_lesson: OpenLesson) -> None:
    app = upload(open_lesson("nonlocal_means"), ("tiny.png", png(size=(6, 9))))
    assert not app.exception
    (error,) = app.error
    assert_one_sentence(plain_text(error.value))


def test_stopped_work_stays_stopped_until_asked(open_lesson: OpenLesson) -> None:
    app = open_lesson("nonlocal_means")
    (photo, *_), chosen = example_photos(), DenoisingSettings(patch=3, window=5, noise=0.11)
    app.session_state["lesson2-stopped"] = photo.digest, chosen, (1,)
    app.slider(key="lesson2-noise").set_value(0.11).run()
    assert_sound(app)
    assert not pictures(app)
    app.button(key="lesson2-go-on").click().run()
    assert len(pictures(app)) == 3


def test_the_handout_of_nonlocal_means() -> None:
    photo = example_photos()[0]
    drawn = nonlocal_means.pictures_of(photo, DenoisingSettings(patch=3, window=5))
    assert len(drawn) == 6
    assert_is_one_page(nonlocal_means, drawn)


def assert_is_one_page(lesson: object, drawn: object) -> None:
    data = handout.draw(lesson.TITLE, lesson.WORDS, lesson.ASKED, drawn)
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", data)) == 1


@pytest.mark.parametrize(("name", "key"), [("nonlocal_means", "lesson2-ratio"), ("attention_filter", "lesson4-h")])
def test_a_handout_is_made_outside_a_visit_of_what_is_chosen(
    open_lesson: OpenLesson, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    """Streamlit calls for a download from a thread that knows no session."""
    asked: list[Callable[[], list[tuple[str, object]]]] = []
    monkeypatch.setattr(learn, "handout", lambda *arguments: asked.append(arguments[-1]))
    app = open_lesson(name)
    app.slider(key=key).set_value(0.6).run()
    assert any("h = 0.6" in sentence for sentence, _ in asked[-1]())


# --- attention as a filter ----------------------------------------------------------------------------------------


def test_the_lesson_on_attention_part_by_part(open_lesson: OpenLesson) -> None:
    app = open_lesson("attention_filter")
    assert len(app.table[0].value) == len(attention_filter.SYMBOLS)
    nlm_facts = app.dataframe[0].value.iloc[0]
    assert (nlm_facts["complex λ"], nlm_facts["real λ < 0"]) == ("0", "0")
    assert list(app.dataframe[0].value["block applies"]) == ["A", "A", "2A − A²"]
    assert len(pictures(part(app, 4, "One patch's weights"))) == 3
    rows, columns = facts().grid
    app.slider(key=f"lesson4-row-{rows}").set_value(rows).run()
    assert f"Weights of the patch in row {rows}, column {(columns + 1) // 2} under Nonlocal means" in pictures(app)
    for values in ("mean colour", "all pixels"):
        app = choose(part(app, 4, "Filter the photograph"), "lesson4-values", values)
        assert len(pictures(app)) == 15
    assert any("counterfactual" in one.value for one in app.warning)
    app.toggle(key="lesson4-stretch").set_value(True).run()
    assert_sound(app)


def test_the_ringed_head_is_the_chosen_one(open_lesson: OpenLesson) -> None:
    app = open_lesson("attention_filter")
    app.slider(key=f"lesson4-layer-1-{facts().depth}").set_value(5).run()
    app.slider(key=f"lesson4-head-1-{facts().heads}").set_value(3).run()
    lines = charts(part(app, 4, "All heads"))["lesson4-heads"]["data"]
    trace = comparison(app).twicing
    ring = next(line for line in lines[2:] if line["marker"]["symbol"] == "circle-open" and line["x"][0] > 4)
    heads = numbers(lines[2]["y"]).reshape(trace.depth, trace.heads)
    assert numbers(ring["y"])[0] == pytest.approx(heads[4, 2])


def test_the_answer_counts_the_heads(open_lesson: OpenLesson) -> None:
    app = open_lesson("attention_filter")
    lines = charts(part(app, 4, "All heads"))["lesson4-heads"]["data"]
    answer = next(one.value for one in app.markdown if one.value.startswith("Part 4 shows it at once"))
    all_heads = [y for line in lines if (y := numbers(line["y"])).size == facts().depth * facts().heads]
    for of_model, card in zip(all_heads, facts().cards, strict=True):
        heads = of_model.reshape(facts().depth, facts().heads)
        said = f"in {plain(card.name)} {(heads > 0.5).sum()} of {heads.size} heads have a likeness over 0.5"
        assert said in answer
        assert f"and {(heads < 0).sum()} one below 0" in answer.partition(said)[2].partition(";")[0]
        if (heads > 0.5).any():
            most = int((heads > 0.5).sum(axis=1).argmax()) + 1
            assert f"most of them in layer {most}, and" in answer.partition(said)[2]


def test_the_handout_of_attention(open_lesson: OpenLesson) -> None:
    app = open_lesson("attention_filter")
    view: View = app.session_state["view"]
    assert isinstance(view.pair, Pair)
    drawn = attention_filter.pictures_of(view, filters.FilterSettings())
    assert len(drawn) == 6
    assert_is_one_page(attention_filter, drawn)
