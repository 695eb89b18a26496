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

    monkeypatch.setattr(resources, "engine_of", slowly)
    resources.loaded.cache_clear()
    preload.start()
    assert preload.is_running()
    app = AppTest.from_file(str(FRAME), default_timeout=60).run()
    assert not app.exception
    assert not preload.is_running(first_page=True)
    preload.wait()
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


def run(code: str) -> str:
    """What a process of its own prints, in which nothing is imported yet."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FRAME.parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_first_page_imports_no_tables_and_no_charts_for_print() -> None:
    code = f"""
import sys
from explorer.ui.shell import preload
preload.load_first_page()
from streamlit.testing.v1 import AppTest
before = set(sys.modules)
app = AppTest.from_file({str(FRAME)!r}, default_timeout=60).run()
assert not app.exception and not app.error
print([name for name in ("pandas", "pyarrow", "matplotlib", "scipy", "skimage", "captum") if name in sys.modules])
print([name for name in sys.modules if name not in before and name.startswith("explorer")])
"""
    assert run(code).splitlines() == ["[]", "[]"]


def test_a_server_answers_before_torch_is_there() -> None:
    """What `app.py` imports at once; the first picture does not wait for more."""
    assert run("import sys; from explorer.ui.shell import preload; print('torch' in sys.modules)") == "False"


LATER = {
    "explorer.models.onnx_graph": "the shell's import of DINOv2",
    "explorer.processes": "limits that a process beside the server sets itself",
    "explorer.startup": "torch's compiler, which nothing uses",
    "explorer": "Python's own words for a notebook",
    "explorer.notebook": "the notebook",
    "explorer.pictures.heic": "the process that decodes",
    "explorer.serving.chosen": "Ray, with the engine that is asked for before any page",
}
"""Modules with imports that no page makes."""


def test_whatever_a_page_imports_is_there_before_it_runs() -> None:
    """Every import inside of a function of what pages use; a page that imports beside others finds half of a module."""
    code = f"""
import ast, importlib.util, sys
from explorer.ui.shell import preload
preload.load_first_page()
preload.import_other_pages()
missing = set()
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] != "explorer" or name in {sorted(LATER)!r} or name.startswith("explorer.cli"):
        continue
    tree = ast.parse(open(module.__file__, encoding="utf-8").read())
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for node in ast.walk(function):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            missing |= {{(name, each) for each in names if each not in sys.modules}}
print(sorted(missing))
"""
    assert run(code) == "[]"


def test_pages_import_no_package() -> None:
    """Not one that no page had before; plotly's own charts come one by one, each a module that needs no other."""
    code = f"""
import sys
from pathlib import Path
from explorer.ui.shell import preload
preload.load_first_page()
preload.import_other_pages()
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(FRAME)!r}, default_timeout=60).run()
before = set(sys.modules)
for page in sorted(Path({str(FRAME.parent)!r}).glob("*/*.py")):
    app.switch_page(str(page.relative_to({str(FRAME.parent)!r}))).run()
    assert not app.exception and not app.error, page
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(sorted(new - {{name.partition(".")[0] for name in before}} - sys.stdlib_module_names))
print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in ("explorer", "pandas", "torch")))
"""
    assert run(code).splitlines() == ["[]", "[]"]
