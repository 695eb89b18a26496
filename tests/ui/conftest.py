"""The real app on the pair that opens, without a browser."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

FRAME = Path(__file__).parents[2] / "pages" / "frame.py"

Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def open_app() -> Open:
    """Opens the app as a new visitor, on the attention page or another."""

    def open(page: str = "attention") -> AppTest:
        app = AppTest.from_file(str(FRAME), default_timeout=60).switch_page(f"explore/{page}.py").run()
        torch.set_num_threads(1)  # the app takes every core; tests share theirs with other work
        return app

    return open


@pytest.fixture(scope="session")
def opened(open_app: Open) -> Open:
    """A page as a new visitor finds it, opened once: for tests that only look."""
    return cache(open_app)


@pytest.fixture
def app(open_app: Open) -> AppTest:
    """A new visitor on the attention page."""
    return open_app()


def gallery(app: AppTest) -> dict[str, object]:
    """What the gallery was sent: its items and the chosen one's key."""
    (component,) = [one for one in app.sidebar.get("bidi_component") if one.key == "gallery"]
    sent: dict[str, object] = json.loads(component.proto.json)
    return sent
