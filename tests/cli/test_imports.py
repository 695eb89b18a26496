"""What each command that needs a model imports, named package by package; a new one is to be meant, and named here.

Every package costs whoever starts the command: together at most 0.6 of what torch does (`bench/start.py`).
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.models import sources
from tests.pair import CLASSES

ROOT = Path(__file__).parents[2]

EVERY = {"PIL", "explorer", "jaxtyping", "msgspec", "safetensors", "timm", "torchvision"}
PAIR = EVERY | {"filelock", "huggingface_hub"}
"""A model may be named that is on the hub."""
COLOURS = {"cycler", "dateutil", "kiwisolver", "matplotlib", "packaging", "pyparsing"}
"""matplotlib without anything to draw on: captum's attributions of language models import its colours."""
PRINT = COLOURS | {"fontTools", "mpl_toolkits", "threadpoolctl"}
IMPORTS = {
    "figure": PAIR | PRINT | {"cachetools"},
    "compare": PAIR | PRINT | {"cachetools"},
    "similarity": PAIR | {"cachetools"},
    "attribute": PAIR | COLOURS | {"cachetools", "captum"},
    "corruptions": PAIR | {"cachetools"},
    "robustness": PAIR | COLOURS | {"captum", "pyarrow"},
    "evaluate": EVERY | {"filelock", "pyarrow", "threadpoolctl"},
    "explorer.view": PAIR | {"cachetools"},
}
"""Beyond what `import torch` does, which the environment decides."""

CODE = """
import os, sys

def packages():
    return {name for name in sys.modules if "." not in name and not name.startswith("_")} - {*sys.stdlib_module_names}

before = packages()
import torch
torchs = packages() | before
from explorer import startup
startup.import_timm()
for line in sys.stdin.read().splitlines():
    name, *words = line.split("\\t")
    if not (child := os.fork()):
        if name == "explorer.view":
            import explorer
            explorer.view(words[0]).save(words[1])
            code = 0
        else:
            from explorer import cli
            out, sys.stdout = sys.stdout, open(os.devnull, "w")
            code = cli.main([name, *words])
            sys.stdout = out
        print(name, code, *sorted(packages() - torchs), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="every command starts where torch is there, as a fork")
def test_each_import_of_each_command_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "labelled" / next(iter(CLASSES))
    folder.mkdir(parents=True)
    picture = folder / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(picture)
    model = f"{os.environ[sources.PAIR_VARIABLE]}-{sources.VARIANTS[0]}.safetensors"
    arguments = {
        "figure": ("heatmaps", "--images", picture, "--out", tmp_path / "a.pdf"),
        "compare": (picture, "--out", tmp_path / "compare"),
        "similarity": (folder, "--out", tmp_path / "a.csv"),
        "attribute": (picture, "--method", "grad-cam", "--out", tmp_path / "maps"),
        "corruptions": (picture, "--kind", "gaussian-noise", "--severities", "1", "--out", tmp_path / "b.csv"),
        "robustness": (folder.parent, "--eps", "0,4", "--out", tmp_path / "c.jsonl"),
        "evaluate": (model, "--data", folder.parent),
        "explorer.view": (picture, tmp_path / "a.html"),
    }
    lines = ["\t".join([name, *map(str, words)]) for name, words in arguments.items()]
    done = subprocess.run(
        [sys.executable, "-c", CODE], input="\n".join(lines), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = {name: (code, {*packages}) for name, code, *packages in map(str.split, done.stdout.splitlines())}
    assert {name: code for name, (code, _) in answers.items()} == dict.fromkeys(IMPORTS, "0"), done.stderr
    assert {name: packages for name, (_, packages) in answers.items()} == IMPORTS
