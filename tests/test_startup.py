"""timm without torch's compiler, in processes of their own: this one has imported it already."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_compiler_is_not_imported() -> None:
    code = """
import gc, sys
from explorer import startup
with startup.no_collecting():
    startup.import_timm()
    assert not gc.isenabled()
import torch
assert gc.isenabled() and "partial" not in repr(torch.compiler.disable)
print([name for name in sys.modules if name.startswith("torch._dynamo")])
"""
    assert run(code) == "[]"


def test_what_asked_for_the_compiler_gets_it_when_called() -> None:
    code = """
from explorer import startup
startup.import_timm()
from timm.layers import disable_compiler
from torchvision.ops.roi_align import is_compile_supported
import sys
@disable_compiler
def add(a, b): return a + b
assert add.__name__ == "add" and "torch._dynamo" not in sys.modules
assert add(1, b=2) == 3 and is_compile_supported("cpu") in (True, False)
print("torch._dynamo" in sys.modules)
"""
    assert run(code) == "True"


def test_the_hubs_library_comes_when_timm_asks_it_and_its_errors_are_the_real_ones() -> None:
    code = """
import os, sys, tempfile
os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=tempfile.mkdtemp())
from explorer import startup
startup.import_timm()
import timm
print("huggingface_hub" in sys.modules, "huggingface_hub.utils" in sys.modules)
from timm.models import _hub
assert not issubclass(FileNotFoundError, _hub.EntryNotFoundError)
try:
    timm.create_model("deit_tiny_patch16_224.fb_in1k", pretrained=True)
except Exception as error:
    print(type(error).__name__)
from huggingface_hub import errors, snapshot_download
print(*(getattr(_hub, name) is getattr(errors, name) for name in ("EntryNotFoundError", "RepositoryNotFoundError")))
from explorer.models import hub
"""
    assert run(code).splitlines() == ["False False", "LocalEntryNotFoundError", "True True"]


def test_loading_the_pair_imports_no_compiler() -> None:
    code = """
import sys
from explorer import startup
startup.import_timm()
from explorer.models import load, sources
assert [load(sources.opening(variant)) for variant in sources.VARIANTS]
print([name for name in sys.modules if name.startswith("torch._dynamo")])
"""
    assert run(code) == "[]"


def test_captum_comes_without_what_it_draws_with_until_that_is_asked_for() -> None:
    code = """
import sys
from explorer import startup
startup.captum_without_drawing()
import captum.attr, captum.metrics, captum.robust
from captum.attr import visualization
from captum.attr._core.llm_attr import draw_mask_border
print([name for name in ("matplotlib.pyplot", "IPython", "mpl_toolkits") if name in sys.modules])
assert callable(visualization.visualize_image_attr) and "matplotlib.pyplot" in sys.modules
from captum.attr._utils import visualization as real
assert real.visualize_image_attr is visualization.visualize_image_attr
assert real.__file__.endswith("visualization.py") and draw_mask_border.func is startup._draw
try:
    draw_mask_border()
except TypeError as error:
    print(error)
"""
    missing = run(code).splitlines()
    assert missing[0] == "[]"
    assert "draw_mask_border() missing" in missing[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="heaps of glibc")
def test_what_is_large_goes_back_to_the_system() -> None:
    """Between large blocks lie small ones that stay, as between what two visitors were sent."""
    code = """
from explorer import startup
startup.small_heaps()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
block = bytearray(8 * 2**20)
del block
before = resident()
large, small = [], []
for _ in range(30):
    large.append(bytearray(6 * 2**20))
    small.append(bytearray(100_000))
grown = resident() - before
large.clear()
print(grown, resident() - before)
"""
    grown, left = map(float, run(code).split())
    assert grown > 170
    assert left < 20
