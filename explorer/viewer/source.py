"""The components' scripts: modules of `js/` as one, so that they run without a build step wherever text can be put."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

JS = Path(__file__).parent / "js"
VIEWER = (
    "dom", "sections", "arithmetic", "state", "pieces", "payload", "readings", "paint", "comparison",
    "keys", "maps", "wipe", "strips", "charts", "tools", "sentence", "viewer", "adapters",
)  # fmt: skip
"""Each imports from those before it alone; none gives a name that another one gives."""
LESSON = ("dom", "sections", "paint", "amounts", "axes", "plot", "lesson")
"""In the same way, what draws the lessons' charts."""
START = ("dom", "sections", "paint", "pictures", "curtain", "start")
"""In the same way, what draws the start page."""
IMPORT = re.compile(r'^import \{\s*(\w+(?:,\s*\w+)*),?\s*\} from "\./(\w+)\.js";\n', re.MULTILINE)
"""The one kind of import there is: names as they are, of one of these modules."""


@cache
def script(modules: tuple[str, ...] = VIEWER) -> str:
    """One module, which exports what its parts export: their texts without the imports, which name what stands above.

    Raises `ValueError` for an import of another kind.
    """
    text = "\n".join(IMPORT.sub("", (JS / f"{name}.js").read_text(encoding="utf-8")) for name in modules)
    if other := re.search(r"^import\b.*|\bimport\(.*", text, re.MULTILINE):
        raise ValueError(f"An import of names of one of {', '.join(modules)} was expected; {other[0]} came.")
    return text
