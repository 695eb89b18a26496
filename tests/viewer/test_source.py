"""The components' modules as scripts, without a browser; that they parse and work is seen in `tests/browser`."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.viewer import source

DECLARED = re.compile(r"^(?:export )?(?:async )?(?:const|let|class|function) (\w+)", re.MULTILINE)
"""What a module gives a name to, where it is said in the one way that is read here."""


def text_of(name: str) -> str:
    return (source.JS / f"{name}.js").read_text(encoding="utf-8")


def imports(name: str) -> Iterator[tuple[str, str]]:
    """Module and name of each import."""
    for match in source.IMPORT.finditer(text_of(name)):
        yield from ((match[2], name) for name in re.split(r",\s*", match[1]))


COMPONENTS = pytest.mark.parametrize(
    "component", [source.VIEWER, source.LESSON, source.START], ids=["viewer", "lesson", "start"]
)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two modules, the second of which is still to be written."""
    (tmp_path / "first.js").write_text("export const one = 1;\n", encoding="utf-8")
    monkeypatch.setattr(source, "JS", tmp_path)
    return tmp_path / "second.js"


def test_every_module_is_there() -> None:
    assert sorted({*source.VIEWER, *source.LESSON, *source.START}) == sorted(
        path.stem for path in source.JS.glob("*.js")
    )


@COMPONENTS
def test_no_two_modules_give_the_same_name(component: tuple[str, ...]) -> None:
    counts = Counter(name for module in component for name in DECLARED.findall(text_of(module)))
    assert len(counts) > (80 if component == source.VIEWER else 40)
    assert [name for name, count in counts.items() if count > 1] == []


@COMPONENTS
def test_an_import_names_what_an_earlier_module_exports(component: tuple[str, ...]) -> None:
    exported: dict[str, set[str]] = {}
    for module in component:
        for origin, name in imports(module):
            assert name in exported.get(origin, ()), f"{module} imports {name} from {origin}"
        exported[module] = set(re.findall(r"^export (?:const|function) (\w+)", text_of(module), re.MULTILINE))


@COMPONENTS
def test_names_are_given_where_they_are_looked_for(component: tuple[str, ...]) -> None:
    """At the left edge stand comments, brackets, and declarations as above; a default only in the last module."""
    known = re.compile(r"(//|/\*\*| \*|[ })\]]|import \{|export default function|$)")
    for module in component:
        edge = [line for line in text_of(module).splitlines() if not known.match(line) and not DECLARED.match(line)]
        assert edge == []
        assert ("export default" in text_of(module)) == (module == component[-1])


@COMPONENTS
def test_nothing_but_imports_is_left_out(component: tuple[str, ...]) -> None:
    parts = [line for module in component for line in source.IMPORT.sub("", text_of(module)).splitlines()]
    assert [line for line in source.script(component).splitlines() if line] == [line for line in parts if line]
    lines = sum(text_of(module).count("\n") for module in component)
    imported = sum(m[0].count("\n") for module in component for m in source.IMPORT.finditer(text_of(module)))
    assert len(parts) == lines - imported


def test_imports_of_one_line_and_of_several_go(modules: Path) -> None:
    modules.write_text(
        'import { one } from "./first.js";\nimport {\n  one,\n} from "./first.js";\nlet two = one;\n', encoding="utf-8"
    )
    assert source.script.__wrapped__(("first", "second")) == "export const one = 1;\n\nlet two = one;\n"


@pytest.mark.parametrize(
    "line",
    [
        'import first from "./first.js";',
        'import * as first from "./first.js";',
        'import { one as two } from "./first.js";',
        'import "./first.js";',
        'import { one } from "https://example.org/first.js";',
        'import { one } from "../first.js";',
        'const first = await import("./first.js");',
    ],
)
def test_other_imports_are_refused(modules: Path, line: str) -> None:
    modules.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"An import of names of one of first, second was expected; .*import"):
        source.script.__wrapped__(("first", "second"))


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node; the browser's tests parse it too")
@COMPONENTS
def test_it_parses(tmp_path: Path, component: tuple[str, ...]) -> None:
    path = tmp_path / "component.mjs"
    path.write_text(source.script(component), encoding="utf-8")
    subprocess.run(["node", "--check", path], check=True)
