"""The start page under AppTest, on the pair that opens: what it is sent, what leads to it and away from it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from docs import make_opening
from explorer.models import sources
from explorer.pictures import examples
from explorer.ui.opening import draw, stored
from explorer.ui.shell import links, preload, resources
from tests.ui.conftest import FRAME
from tests.ui.test_pages import SWAPPED, assert_sound, swapped_key
from tests.viewer.test_start import Sent


def visit() -> AppTest:
    return AppTest.from_file(str(FRAME), default_timeout=60).run()


def sent(app: AppTest) -> bytes:
    (component,) = [each for each in app.main.get("bidi_component") if each.key == "start"]
    data: bytes = component.proto.bytes
    return data


def test_it_is_what_opens_and_is_sent_the_pair() -> None:
    app = visit()
    assert_sound(app)
    header = Sent(sent(app)).header
    cards = resources.engine().cards
    assert [model["name"] for model in header["models"]] == [card.title for card in cards]
    assert [each["sha256"] for each in header["provenance"]["models"]] == [card.digest for card in cards]
    assert header["link"]["image"] == examples.EXAMPLES[0].file
    assert len(sent(app)) < 400_000


def test_it_says_that_an_operator_is_swapped() -> None:
    app = visit()
    box = app.sidebar.selectbox[0]
    box.set_value(swapped_key(box.label)).run()
    assert_sound(app)
    assert any(SWAPPED in warning.value for warning in app.warning)
    assert "operator swapped" in Sent(sent(app)).header["models"][0]["name"]


@pytest.mark.parametrize("name", links.OF_VIEWER)
def test_an_address_of_before_leads_to_the_attention_page(name: str) -> None:
    assert links.is_of_viewer({name: "1"})
    assert not links.is_of_viewer({"embed": "true"})


def test_what_is_painted_early_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The component is drawn once, before the models are there, and not again by the page in the same run."""
    payload = sent(visit())
    order: list[str] = []
    mount = draw.mount
    monkeypatch.setattr(draw, "mount", lambda data: (order.append("painted"), mount(data)))
    monkeypatch.setattr(preload, "is_running", lambda first_page=False: first_page)
    monkeypatch.setattr(preload, "opening", lambda: payload)
    monkeypatch.setattr(preload, "wait", lambda first_page=False: order.append("waited"))
    app = visit()
    assert_sound(app)
    assert order == ["painted", "waited"]
    assert sent(app) == payload


def test_what_is_painted_early_gives_way_to_another_view(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = sent(visit())
    running = iter([True])
    monkeypatch.setattr(preload, "is_running", lambda first_page=False: next(running, False))
    monkeypatch.setattr(preload, "opening", lambda: payload.replace(b"DeiT", b"Deit"))
    monkeypatch.setattr(preload, "wait", lambda first_page=False: None)
    app = visit()
    assert_sound(app)
    assert sent(app) == payload


def test_another_pair_is_never_opened_with_stored_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert stored.of_files() is None  # the suite's own pair is named
    monkeypatch.delenv(sources.PAIR_VARIABLE)
    assert stored.of_files() == stored.FILE.read_bytes()
    said = stored.provenance_of(stored.FILE.read_bytes())
    (tmp_path / "checkpoints").mkdir()
    for model in said["models"]:
        (tmp_path / model["source"]).write_bytes(b"other weights")
    monkeypatch.setattr(stored, "CHECKPOINTS", tmp_path / "checkpoints")
    assert stored.of_files() is None


def test_the_stored_bytes_are_of_what_ships() -> None:
    payload = stored.FILE.read_bytes()
    assert len(payload) < 1_000_000
    said = stored.provenance_of(payload)
    assert said["image"] == hashlib.sha256(examples.read(examples.EXAMPLES[0])).hexdigest()
    files = [sources.bundled(variant) for variant in sources.VARIANTS]
    assert [model["source"] for model in said["models"]] == [sources.label(path) for path in files]
    assert [model["sha256"] for model in said["models"]] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    ]


def test_the_bundled_pair_opens_where_its_maps_are_clearest() -> None:
    assert make_opening.clearest_layer() == sources.CLEAREST_LAYER
    assert stored.header_of(stored.FILE.read_bytes())["layer"] == sources.CLEAREST_LAYER - 1


def test_the_stored_bytes_are_what_the_command_makes_today() -> None:
    """Up to rounding: another machine adds in another order."""
    before, now = Sent(stored.FILE.read_bytes()), Sent(make_opening.from_bundled())
    colours = [each.part(each.header["steps"], "u1").astype(int) for each in (before, now)]
    assert np.abs(colours[0] - colours[1]).max() <= 2
    for old, new in zip(before.header["models"], now.header["models"], strict=True):
        maps = [each.part(model["maps"], "<f4") for each, model in ((before, old), (now, new))]
        np.testing.assert_allclose(maps[0], maps[1], atol=1e-4)
        assert json.dumps({**old, "maps": 0, "picture": 0}) == json.dumps({**new, "maps": 0, "picture": 0})
    for key in ("layers", "layer", "link", "palettes", "colours", "provenance"):
        assert before.header[key] == now.header[key]
    np.testing.assert_allclose(before.header["alike"], now.header["alike"], atol=2e-4)
