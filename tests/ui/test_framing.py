"""The crop of a photograph: chosen, in the address, in a saved view, and what the models then see."""

from __future__ import annotations

import json

import pytest
from starlette.formparsers import MultiPartParser
from streamlit import get_option
from streamlit.testing.v1 import AppTest

from explorer import views
from explorer.pictures import examples, images
from explorer.pictures.crops import Cropping, parse
from explorer.pictures.photographs import photograph
from explorer.pictures.preprocess import fate
from explorer.serving import cache
from explorer.serving.names import VARIABLE, EngineName
from explorer.ui.shell import resources, uploads
from explorer.ui.shell.framing import Framing
from tests.ui.conftest import FRAME, gallery
from tests.ui.test_pages import assert_sound, header, png, upload

FIRST = examples.EXAMPLES[0]
PART = "0.1000,0.2000,0.7000,0.6000"


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.sidebar.caption).replace("\\", "")


def frame(app: AppTest, key: str, framing: Framing) -> AppTest:
    app.segmented_control(key=f"framing-{key}").set_value(framing).run()
    assert_sound(app)
    return app


def test_the_models_see_what_is_chosen_and_the_link_says_it(app: AppTest) -> None:
    before = header(app)
    whole = photograph(FIRST).open()
    assert before["provenance"]["image"] == whole.digest
    assert "The models see the middle" in (sentence := fate(whole.size, resources.engine().cards[0].preprocessing))
    assert sentence in captions(app)
    after = header(frame(app, FIRST.file, Framing.SQUASH))
    assert after["provenance"]["image"] == Cropping().of(whole).digest
    assert after["link"] == {**before["link"], "crop": "squash"}
    assert [model["top"] for model in after["models"]] != [model["top"] for model in before["models"]]
    assert "Squashed into a square." in captions(app)
    assert [item["title"] for item in gallery(app)["items"]] == [item.name for item in examples.EXAMPLES]
    assert header(frame(app, FIRST.file, Framing.CENTRE)) == before


@pytest.mark.parametrize("text", [PART, "squash"])
def test_an_address_names_a_crop(text: str) -> None:
    app = AppTest.from_file(str(FRAME), default_timeout=60)
    app.query_params["image"], app.query_params["crop"] = FIRST.file, text
    app.run()
    assert_sound(app)
    assert header(app)["provenance"]["image"] == parse(text).of(photograph(FIRST).open()).digest
    assert header(app)["link"]["crop"] == text


def test_a_strange_crop_in_an_address_is_passed_over() -> None:
    app = AppTest.from_file(str(FRAME), default_timeout=60)
    app.query_params["image"], app.query_params["crop"] = FIRST.file, "0,0,9,9"
    app.run()
    assert_sound(app)
    assert "crop" not in header(app)["link"]


def test_a_saved_view_brings_its_crop(app: AppTest) -> None:
    saved = views.pack(views.Bundle("mine.png", png(3), {"layer": "2", "crop": PART}))
    upload(app, ("view.zip", saved))
    assert_sound(app)
    assert header(app)["provenance"]["image"] == parse(PART).of(images.decode(png(3))).digest
    (hand,) = [each for each in app.sidebar.get("bidi_component") if each.key == "crop"]
    assert json.loads(hand.proto.json)["part"] == [0.1, 0.2, 0.7, 0.6]


def test_the_uploader_comes_first_and_says_what_happens_to_a_photograph(app: AppTest) -> None:
    first = app.sidebar.caption[0].value
    seconds = uploads._PATIENCE * get_option("server.disconnectedSessionTTL")
    assert f"{seconds:.0f} s after you close the tab" in first
    assert f"{cache.total_mib()} MiB" in first
    assert "memory" in first
    assert "sent nowhere" in first


def test_with_replicas_the_uploader_says_where_a_photograph_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, EngineName.RAY)
    assert "sent to the replicas that compute alone" in uploads.promise()


def test_no_file_that_may_be_uploaded_touches_the_disk() -> None:
    uploads.bounded_uploads()
    assert MultiPartParser.spool_max_size > get_option("server.maxUploadSize") * 2**20
