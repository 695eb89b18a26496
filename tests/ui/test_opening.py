"""Which pair the app opens on: what `EXPLORER_PAIR` names, and nothing beside it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from explorer.models import sources
from explorer.ui import work
from explorer.ui.challenge.attacks import compute
from explorer.ui.shell import resources
from tests.helpers import assert_one_sentence, plain_text
from tests.pair import facts
from tests.ui.conftest import FRAME, Open
from tests.ui.test_pages import SWAPPED, assert_sound, header, swapped_key


@pytest.fixture
def anew() -> Iterator[None]:
    """Models are loaded again, and once more afterwards."""
    resources.loaded.cache_clear()
    yield
    resources.loaded.cache_clear()


def test_only_the_pair_that_is_named_is_loaded() -> None:
    assert tuple(card.source for card in resources.engine().cards) == sources.labels()
    assert [card.digest for card in resources.engine().cards] == [card.digest for card in facts().cards]


def test_the_results_are_those_beside_it() -> None:
    start = sources.prefix()
    assert list(compute.measured()) == [f"{start.parent.name}/{start.name}-{kind}.jsonl" for kind in ("fgsm", "pgd")]


def test_no_visitor_resets_what_all_share(open_app: Open) -> None:
    """What Streamlit does when any browser sends `clear_cache`."""
    open_app()
    rooms = resources.payloads, resources.curves, work.numbers, work.results
    before = [room() for room in rooms]
    engine = resources.engine()
    threads = threading.active_count()
    st.cache_data.clear()
    st.cache_resource.clear()
    open_app()
    assert resources.engine() is engine
    assert all(room() is known for room, known in zip(rooms, before, strict=True))
    assert threading.active_count() <= threads


@pytest.mark.usefixtures("anew")
def test_a_pair_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(tmp_path / "absent"))
    app = AppTest.from_file(str(FRAME), default_timeout=60).run()
    assert not app.exception
    (error,) = app.error
    assert_one_sentence(plain_text(error.value))
    assert sources.PAIR_VARIABLE in plain_text(error.value)


@pytest.mark.usefixtures("anew")
def test_a_pair_that_does_not_load_is_said_and_nothing_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variant in sources.VARIANTS:
        (tmp_path / f"mine-{variant}.safetensors").write_bytes(b"no weights")
    monkeypatch.setenv(sources.PAIR_VARIABLE, str(tmp_path / "mine"))
    app = AppTest.from_file(str(FRAME), default_timeout=60).run()
    assert not app.exception
    (error,) = app.error
    said = plain_text(error.value)
    assert said.startswith("EXPLORER_PAIR names no checkpoint that loads. mine-standard.safetensors")
    assert "mine-twicing.safetensors" in said


def test_the_tour_stays_on_it_whatever_the_sidebar_shows(open_app: Open) -> None:
    app = open_app()
    for box in app.sidebar.selectbox:
        box.set_value(swapped_key(box.label))
    app.switch_page("learn/tour.py").run()
    assert_sound(app)
    assert [SWAPPED in warning.value for warning in app.warning] == []
    assert [one["sha256"] for one in header(app)["provenance"]["models"]] == [card.digest for card in facts().cards]
    assert [model["name"] for model in header(app)["models"]] == [card.name for card in facts().cards]
