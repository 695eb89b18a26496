"""Makes the README's figures by running the commands that the README shows.

make gallery
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from explorer.cli import main as explorer  # noqa: E402


def commands() -> list[list[str]]:
    """The arguments of every figure command in the README that writes to docs/figures."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^(?:\.venv/bin/)?python -m explorer (figure .*docs/figures/.*)$", text, re.MULTILINE)
    return [shlex.split(one) for one in found]


def main() -> int:
    return max(explorer(arguments) for arguments in commands())


if __name__ == "__main__":
    sys.exit(main())
