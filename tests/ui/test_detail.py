"""The control of how fine maps are: one size for all pages, kept apart in links, saved views and what is remembered."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from explorer import views
from explorer.runs import measured
from explorer.ui.shell import detail, resources
from explorer.ui.shell.session import Pair
from tests.helpers import assert_one_sentence
from tests.pair import facts
from tests.ui.conftest import FRAME, Open
from tests.ui.test_pages import assert_sound, png, upload


def sides() -> tuple[int, int, int]:
    own = facts().cards[0].preprocessing.input_size[0]
    patch = own // facts().grid[0]
    return own, patch * round(1.5 * facts().grid[0]), 2 * own


def control(app: AppTest) -> object:
    (group,) = [each for each in app.main.get("button_group") if each.label == "Detail"]
    return group


def sent(app: AppTest) -> dict[str, object]:
    """The header of what the viewer was sent."""
    data = next(each for each in app.main.get("bidi_component") if each.key == "viewer").proto.bytes
    data = data[4 + int.from_bytes(data[:4], "little") :]
    return json.loads(data[8 : 8 + int.from_bytes(data[4:8], "little")])


def grids(app: AppTest) -> list[list[int]]:
    return [model["grid"] for model in sent(app)["models"]]


def test_the_control_offers_half_as_many_patches_more_and_twice_as_many(opened: Open) -> None:
    app = opened()
    height, width = facts().grid
    assert control(app).options == [f"{n}x{n}" for n in (height, round(1.5 * height), 2 * height)]
    assert control(app).value == sides()[0]
    assert grids(app) == [[height, width]] * 2
    assert "input_size" not in sent(app)["link"]


def test_a_finer_size_is_that_of_every_page_and_stands_in_the_link(app: AppTest) -> None:
    own, _, finest = sides()
    before = sent(app)["link"]
    control(app).set_value(finest).run()
    assert_sound(app)
    assert grids(app) == [[2 * facts().grid[0]] * 2] * 2
    assert sent(app)["link"] == {**before, "input_size": str(finest)}  # the same models
    assert sum("resampled to" in caption.value for caption in app.sidebar.caption) == 2
    for page in ("similarity", "residual", "spectrum"):
        app.switch_page(f"explore/{page}.py").run()
        assert_sound(app)
        assert control(app).value == finest
    control(app).set_value(own).run()
    app.switch_page("explore/attention.py").run()
    assert grids(app) == [list(facts().grid)] * 2


@pytest.mark.parametrize(("asked", "place"), [("finest", 2), ("7", 0), ("99999999", 0), ("x", 0), ("", 0)])
def test_an_address_names_a_size_and_others_than_offered_are_passed_over(asked: str, place: int) -> None:
    app = AppTest.from_file(str(FRAME), default_timeout=60).switch_page("explore/attention.py")
    app.query_params["input_size"] = str(sides()[2]) if asked == "finest" else asked
    app.run()
    assert_sound(app)
    assert control(app).value == sides()[place]


def test_a_saved_view_is_opened_at_its_size(app: AppTest) -> None:
    own, _, finest = sides()
    for state, expected in (({"input_size": str(finest), "layer": "2"}, finest), ({"layer": "2"}, own)):
        upload(app, ("view.zip", views.pack(views.Bundle("x.png", png(expected), state))))
        assert_sound(app)
        assert control(app).value == expected


def test_the_operator_says_which_sizes_visitors_may_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    own, middle, _ = sides()
    pair = Pair(*facts().cards)
    for card in resources.engine().cards:
        assert card.key in {each.key for each in pair.cards}
    monkeypatch.setenv(detail.VARIABLE, f"{middle}, {own + 1}")
    assert list(detail.offered(pair)) == [own, middle]
    monkeypatch.setenv(detail.VARIABLE, str(own))
    assert list(detail.offered(pair)) == [own]
    monkeypatch.setenv(detail.VARIABLE, "224px")
    with pytest.raises(Exception, match=detail.VARIABLE) as caught:
        detail.offered(pair)
    assert_one_sentence(str(caught.value))


def test_accuracy_is_that_of_these_weights_or_said_to_be_missing(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def words(app: AppTest) -> str:
        (caption,) = [each.value for each in app.main.caption if each.value.startswith("Input ")]
        return caption

    assert "was not measured" in words(opened())
    own, middle, finest = sides()
    row = measured.SizedAccuracy(30, ((0.8, 0.6, 0.9), (0.7, 0.5, 0.8)), (-0.1, -0.2, 0.0))
    worse = measured.SizedAccuracy(30, ((0.6, 0.4, 0.7), (0.5, 0.3, 0.6)), (-0.1, -0.2, 0.0))
    monkeypatch.setattr(measured, "sizes", lambda cards: {own: {"photographs": row}, finest: {"photographs": worse}})
    app = AppTest.from_file(str(FRAME), default_timeout=60).switch_page("explore/attention.py").run()
    assert "80% (60 to 90)" in words(app)
    assert "at " not in words(app).partition("images:")[2]
    control(app).set_value(finest).run()
    assert f"60% (40 to 70) (at {own} px 80% (60 to 90))" in words(app)
    control(app).set_value(middle).run()
    assert "What this size does to the accuracy was not measured." in words(app)


def test_numbers_of_other_weights_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    cards = facts().cards
    prefix = tmp_path / "pair"
    monkeypatch.setattr(measured.sources, "prefix", lambda: prefix)
    assert measured.sizes(cards) is None
    row = {"data": "photographs", "input_size": 64, "images": 3, "top1": [[1, 0, 1]] * 2, "difference": [0, 0, 0]}
    for digests, is_known in (([card.digest for card in cards], True), ([cards[0].digest] * 2, False)):
        (tmp_path / f"pair-{measured.SIZES}").write_text(json.dumps({"models": digests, "rows": [row]}))
        assert (measured.sizes(cards) is not None) == is_known
    (tmp_path / f"pair-{measured.SIZES}").write_text("[]")
    assert measured.sizes(cards) is None
