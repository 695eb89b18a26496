"""One budget for all that a server remembers: the table adds up, the documents say so, and no cache is beside it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from explorer.measures.spectrum import Spectrum
from explorer.serving import cache
from explorer.serving.cache import SHARES, cache_of, limit
from explorer.serving.engine import LocalEngine
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence
from tests.studio.helpers import model

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("explorer/serving/cache.py", "explorer/serving/worker.py")
"""The cache, and the worker, which is given its limit."""
REMEMBERING = {
    *("cache", "lru_cache", "once", "cache_data", "cache_resource", "cached", "cachedmethod"),
    *("ByteLRU", "LRUCache", "TTLCache", "OrderedDict", "WeakValueDictionary", "WeakKeyDictionary"),
}
SMALL = {
    "explorer/figures/print/page.py:_installed": "the names of the installed fonts",
    "explorer/figures/print/text.py:_width": "1000 numbers",
    "explorer/figures/style.py:lookup_table": "768 bytes for each of a few colour maps",
    "explorer/figures/screen/chart.py:_template": "plotly's own template, once",
    "explorer/lessons/sweeps.py:negative_eigenvalues": "64 times two numbers for each of 50 bandwidths",
    "explorer/measures/spectrum.py:_threads": "the threads that decompose",
    "explorer/models/hub.py:names": "timm's list of names",
    "explorer/models/pixels.py:_statistics": "8 times six numbers",
    "explorer/models/registry.py:_from_timm": "256 rows of a table",
    "explorer/models/registry.py:_imagenet": "8 lists of classes, of ImageNet's variants",
    "explorer/models/registry.py:shapes": "64 times the shapes of an architecture",
    "explorer/paper/operators.py:polynomials": "1024 times a few numbers",
    "explorer/paper/theory.py:_gauss_legendre": "nodes and weights of few orders",
    "explorer/pictures/labelled.py:_group": "one row group of a Parquet file the operator offers, while it is walked",
    "explorer/pictures/labelled.py:_groups": "8 times the lengths of a file's row groups",
    "explorer/pictures/labelled.py:_sha256": "8192 digests",
    "explorer/pictures/labelled.py:labels": "lives as long as one listing is being made",
    "explorer/settings.py:kinds": "the types of a few records' fields",
    "explorer/pictures/heic.py:can_read": "whether a library is there",
    "explorer/startup.py:_captums_drawing": "a stand-in for pyplot, once",
    "explorer/studio/record.py:versions": "a few words",
    "explorer/studio/templates/__init__.py:_templates": "the templates, once",
    "explorer/ui/challenge/attacks/compute.py:measured": "the sweeps beside the pair that opens",
    "explorer/ui/challenge/labelled/controls.py:_listed": "8 listings of at most 2000 names, for a while",
    "explorer/ui/explore/pieces.py:WeakValueDictionary()": "views by address, which live in sessions and go with them",
    "explorer/ui/models/panel.py:_inspected": "64 times what a file declares",
    "explorer/ui/shell/resources.py:digest": "the digests of the bundled photographs",
    "explorer/ui/shell/resources.py:loaded": "the models, which have a limit of their own",
    "explorer/ui/shell/uploads.py:WeakValueDictionary()": "sessions with uploads, which go when Streamlit lets them go",
    "explorer/viewer/source.py:script": "the viewer's program, once",
}
"""What stands outside the table, and why it may: none of it grows with visitors."""


def sources() -> Iterator[Path]:
    yield ROOT / "app.py"
    for folder in ("explorer", "pages"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def name_of(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def share_of(function: ast.AST) -> str | None:
    """The line of the table, of a function that does nothing but to make its cache."""
    if not isinstance(function, ast.FunctionDef):
        return None
    body = [node for node in function.body if not isinstance(node, ast.Expr)]
    match body:
        case [ast.Return(value=ast.Call(func=ast.Name(id="cache_of"), args=[ast.Constant(value=str(name))]))]:
            return name
    return None


def remembering(text: str) -> tuple[list[str], list[str]]:
    """The names of the shares that a module's functions make, and of what else in it remembers."""
    tree = ast.parse(text)
    shares, others = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(name_of(each) in REMEMBERING for each in node.decorator_list):
            share = share_of(node)
            (others.append(node.name) if share is None else shares.append(share))
        if isinstance(node, ast.Call) and name_of(node) in REMEMBERING:
            decorators = [each for other in ast.walk(tree) for each in getattr(other, "decorator_list", ())]
            if node not in decorators:
                others.append(f"{name_of(node)}()")
    return shares, others


def test_the_table_adds_up_to_the_budget() -> None:
    assert sum(share.mib for share in SHARES.values()) == cache.TOTAL_MIB
    assert sum(map(limit, SHARES)) == cache.TOTAL_MIB * 2**20


@pytest.mark.parametrize("path", ["README.md", "docs/adr/0009-*.md"])
def test_the_documents_say_the_budget(path: str) -> None:
    (document,) = ROOT.glob(path)
    text = " ".join(document.read_text(encoding="utf-8").split())
    (said,) = re.findall(r"shares? (\d+) MiB[;,] [^.]*`EXPLORER_CACHE_MIB", text)
    assert int(said) == cache.TOTAL_MIB


def test_the_adr_says_the_largest_shares() -> None:
    (document,) = ROOT.glob("docs/adr/0009-*.md")
    text = " ".join(document.read_text(encoding="utf-8").split())
    sizes = SHARES["traces"].mib, SHARES["payloads"].mib, SHARES["photographs"].mib
    assert "{} of traces (eight of DeiT-Small), {} of what the viewer is sent".format(*sizes) in text
    assert f"{sizes[2]} of photographs" in text


def test_every_cache_is_in_the_table_or_small_for_a_reason() -> None:
    shares, others = [], set()
    for path in sources():
        relative = path.relative_to(ROOT).as_posix()
        if relative in PACKAGES:
            continue
        of_table, beside = remembering(path.read_text(encoding="utf-8"))
        shares += of_table
        others |= {f"{relative}:{name}" for name in beside}
    assert others == set(SMALL)
    assert sorted([*shares, "traces"]) == sorted(SHARES)  # the engine takes the traces' limit itself


@pytest.mark.parametrize(
    "text",
    [
        "@lru_cache(maxsize=8)\ndef f(): return 1",
        "@functools.cache\ndef f(): return 1",
        "@st.cache_data\ndef f(): return 1",
        "@st.cache_resource(show_spinner=False)\ndef f(): return ByteLRU(5)",
        "def f():\n    @cache\n    def g(): return 1",
        "KEPT = OrderedDict()",
        "KEPT = weakref.WeakValueDictionary()",
    ],
)
def test_a_cache_beside_the_table_is_noticed(text: str) -> None:
    shares, others = remembering(text)
    assert others
    assert not shares


def test_a_trace_of_the_size_the_table_names() -> None:
    """DeiT-Small: 12 blocks, 6 heads of 64, 197 tokens."""
    nbytes = 4 * (12 * 6 * 197 * (197 + 64) + 13 * 197 * 384 + 1000)
    assert limit("traces") // nbytes == 8
    assert limit("payloads") // 5_600_000 == 8


@pytest.mark.parametrize("given", ["64", " 1024 ", "512", ""])
def test_another_budget_is_divided_alike(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(cache.VARIABLE, given)
    total = int(given or cache.TOTAL_MIB)
    assert sum(map(limit, SHARES)) == total * 2**20
    assert cache_of("payloads").capacity == limit("payloads") == total * 2**20 // 8
    engine = LocalEngine([model()], torch.device("cpu"))
    engine.close()
    assert engine._worker._cache.capacity == limit("traces") == total * 2**20 * 3 // 8


@pytest.mark.parametrize("given", ["63", "-512", "0.5", "much", "1e3", "512 MiB", "٥١٢", "9" * 30, "a\nb"])
def test_a_budget_that_is_none_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(cache.VARIABLE, given)
    with pytest.raises(ExplorerError, match="whole number of MiB from 64 on") as caught:
        limit("traces")
    assert_one_sentence(str(caught.value))


def test_what_is_small_counts_what_it_weighs() -> None:
    curves, thumbnails, spectra = cache_of("curves"), cache_of("thumbnails"), cache_of("spectra")
    curves.put("a", torch.zeros(13))
    assert curves.nbytes == 13 * 4 + 1024
    thumbnails.put("a", "data:" + "x" * 95)
    assert thumbnails.nbytes == 100
    spectra.put("a", [Spectrum(torch.zeros(6, 197, dtype=torch.complex128), *torch.zeros(2, 6, 197).double(), 0)] * 2)
    assert spectra.nbytes == 2 * 6 * 197 * (16 + 8 + 8)
