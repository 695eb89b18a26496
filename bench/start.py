"""What a command imports before it can work, to `import torch`: fresh processes in turn, medians of processor time.

Only the outermost imports count, wherever they stand in the code, of what a command needs for one photograph.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from bench.common import Row
from explorer.models import sources
from explorer.types import ImageInput

ROUNDS = 5
GOAL = 1.6
_CODE = """
import builtins, importlib, os, sys, threading, time
seconds, within = 0.0, threading.local()

def timed(importing):
    def call(*args, **named):
        global seconds
        if getattr(within, "import_", False):
            return importing(*args, **named)
        within.import_, begun = True, time.thread_time()
        try:
            return importing(*args, **named)
        finally:
            within.import_ = False
            seconds += time.thread_time() - begun
    return call

builtins.__import__, importlib.import_module = timed(builtins.__import__), timed(importlib.import_module)
name, *words = sys.argv[1:]
out, sys.stdout = sys.stdout, open(os.devnull, "w")
if name == "torch":
    import torch
elif name == "explorer.view":
    import explorer
    explorer.view(words[0]).save(words[1])
else:
    from explorer import cli
    assert cli.main([name, *words]) == 0
print(seconds, file=out)
"""


def rows(decoded: Sequence[ImageInput]) -> Iterator[Row]:
    """A row for each command that needs a model."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        commands = {"torch": ("torch",)} | _commands(root, decoded[0])
        seconds: dict[str, list[float]] = {title: [] for title in commands}
        for number in range(ROUNDS):
            for title, words in commands.items():
                out = root / f"{title.replace(' ', '-')}-{number}"
                out.mkdir()
                seconds[title].append(_imports(word.replace("{out}", str(out)) for word in words))
    torch = statistics.median(seconds.pop("torch"))
    for title, values in seconds.items():
        ratio = statistics.median(values) / torch
        yield Row(f"imports of `{title}` to `import torch`", round(ratio, 2), "x", GOAL, note=f"torch {torch:.2f} s")


def _commands(root: Path, image: ImageInput) -> dict[str, tuple[str, ...]]:
    folder = root / "labelled" / "n01774384"
    folder.mkdir(parents=True)
    photograph, model = str(folder / "a.jpg"), str(sources.bundled("standard"))
    Image.fromarray(image.rgb).save(photograph)
    return {
        "figure heatmaps": ("figure", "heatmaps", "--images", photograph, "--out", "{out}/a.pdf"),
        "compare": ("compare", photograph, "--out", "{out}/a"),
        "similarity": ("similarity", str(folder), "--out", "{out}/a.csv"),
        "attribute": ("attribute", photograph, "--method", "grad-cam", "--out", "{out}/a"),
        "corruptions": ("corruptions", photograph, "--severities", "1", "--out", "{out}/a.csv"),
        "robustness": ("robustness", str(folder.parent), "--eps", "0,4", "--out", "{out}/a.jsonl"),
        "evaluate": ("evaluate", model, "--data", str(folder.parent)),
        "explorer.view": ("explorer.view", photograph, "{out}/a.html"),
    }


def _imports(words: Iterator[str]) -> float:
    """Seconds of processor time in a process of its own. Raises `CalledProcessError` where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *words], env=os.environ, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)
