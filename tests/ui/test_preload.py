"""Loading ahead: the first visitor waits for it, and what fails is said by the page."""

import subprocess
import sys
import time
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from explorer.serving.engine import LocalEngine
from explorer.ui.shell import preload, resources
from tests.ui.conftest import FRAME


def test_the_first_visitor_waits_and_nothing_is_loaded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def slowly(*arguments: Any, **options: Any) -> LocalEngine:
        time.sleep(0.5)
        made.append(LocalEngine(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(resources, "LocalEngine", slowly)
    resources.loaded.clear()
    preload.start()
    assert preload.is_running()
    app = AppTest.from_file(str(FRAME), default_timeout=60).run()
    assert not app.exception
    assert not preload.is_running()
    assert made == [resources.engine()]


def test_a_failure_ahead_is_logged_and_left_to_the_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("no device")

    monkeypatch.setattr(resources, "engine", broken)
    preload.start()
    preload.wait()
    assert "Loading ahead failed" in caplog.text


def test_the_first_page_imports_no_tables_and_no_charts_for_print() -> None:
    code = f"""
import sys
from explorer.ui.shell import preload
preload.start()
preload.wait()
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(FRAME)!r}, default_timeout=60).run()
assert not app.exception and not app.error
print([name for name in ("pandas", "pyarrow", "matplotlib", "scipy", "skimage", "captum") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FRAME.parents[1], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
