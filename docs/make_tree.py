"""Writes the tree of rooms into README.md: for each the first sentence of its docstring.

What is imported stands above what imports it, as in the contract on layers in pyproject.toml.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
START, END = "<!-- rooms -->\n", "<!-- end -->"
COLUMN, WIDTH = 21, 120


def main() -> None:
    """Reads the docstrings, writes the README."""
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")


def written(text: str) -> str:
    """The README's text with the tree made anew; what is outside the marks is not touched."""
    before, mark, rest = text.partition(START)
    if not mark:
        raise SystemExit(f"The mark {START.strip()} was expected in the README; it is not there.")
    return f"{before}{START}```text\n{chr(10).join(tree())}\n```\n{END}{rest.partition(END)[2]}"


def tree() -> Iterator[str]:
    """The lines of the tree."""
    yield from entry("app.py", ROOT / "app.py")
    yield from entry("pages/", ROOT / "pages" / "frame.py")
    yield "explorer/"
    for room in rooms():
        module = ROOT / "explorer" / f"{room}.py"
        if module.exists():
            yield from entry(f"  {room}.py", module)
        else:
            yield from entry(f"  {room}/", ROOT / "explorer" / room / "__init__.py")


def rooms() -> Iterator[str]:
    """What the package holds, from the lowest layer up; `__main__` is no room."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(each["layers"] for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    for layer in reversed(layers):
        yield from (room for room in layer.split(" | ") if room != "__main__")


def entry(name: str, module: Path) -> list[str]:
    """A room's name and what it is, in as many lines as that takes."""
    sentence = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    sentence = " ".join(sentence.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
    if not sentence:
        raise SystemExit(f"{module.relative_to(ROOT)} was expected to say in a docstring what it is; it has none.")
    return textwrap.wrap(f"{name:{COLUMN}}{sentence}", WIDTH, subsequent_indent=" " * COLUMN)


if __name__ == "__main__":
    main()
