"""Curves of a folder beside a plain loop over the same files, and whether memory grows with their number.

The plain loop decodes a file after the other, as the folder command does, and runs two stock timm models with fused
attention on batches of the same eight images. Rounds are interleaved; each measures the whole folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import timm
import torch
from PIL import Image
from torch import Tensor

from bench.common import Row, medians
from explorer.models import LoadedModel, create, registry, sources, uniform_filter
from explorer.pictures import images, preprocess
from explorer.runs import similarity
from explorer.serving.pair import ModelPair, load_pair
from explorer.types import ExplorerError, ImageInput, ModelCard, Preprocessing

FILES = 48
ROUNDS = 7
DEPTHS = FEW, _, MANY = 100, 1_000, 10_000
PREPROCESSING = Preprocessing((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), crop_pct=0.9)


def rows(decoded: Sequence[ImageInput]) -> Iterator[Row]:
    """Time per image of the bundled pair and of DeiT-Tiny, and in bfloat16."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "images"
        root.mkdir()
        for number in range(FILES):
            picture = Image.fromarray(decoded[number % len(decoded)].rgb)
            picture.save(root / f"{number:03}.jpg", quality=80 + number % 16)
        for title, pair in (("bundled pair", bundled()), ("DeiT-Tiny", random_pair())):
            yield from _time(title, root, pair)
        yield _bfloat16(root)


def bundled() -> ModelPair:
    return load_pair(sources.bundled("standard"), sources.bundled("twicing"), device="cpu")


def random_pair(side: int = 224, depth: int = 12, **options: int) -> ModelPair:
    """DeiT-Tiny, or less of it; neither speed nor memory depends on the weights."""
    name = "deit_tiny_patch16_224"
    pre = replace(PREPROCESSING, input_size=(side, side))
    pair = []
    for a in (1.0, 2.0):
        filter = uniform_filter(depth, a)
        card = ModelCard(name, name, filter, filter, (), (), 0, pre, "none", "none", None, "none", f"random {a}")
        module = create(name, 1000, filter, img_size=side, depth=depth, **options).eval()
        pair.append(LoadedModel(card, module.requires_grad_(False)))
    return load_pair(*pair, device="cpu")


def _time(title: str, root: Path, pair: ModelPair) -> Iterator[Row]:
    card = pair.baseline
    row = registry.architecture(card.architecture)
    stock = [timm.create_model(row.timm_name, **row.options).eval() for _ in range(2)]
    pre = card.preprocessing
    paths = sorted(root.iterdir())
    chunks = [paths[start : start + similarity.CHUNK] for start in range(0, len(paths), similarity.CHUNK)]
    ready = [_batch(chunk, pre) for chunk in chunks]

    @torch.inference_mode()
    def forwards(batches: Iterator[Tensor]) -> list[Tensor]:
        return [model(batch) for batch in batches for model in stock]

    tasks: dict[str, Callable[[int], object]] = {
        "forwards": lambda _: forwards(iter(ready)),
        "loop": lambda _: forwards(_batch(chunk, pre) for chunk in chunks),
        "folder": lambda _: list(similarity.measure(root, pair, root.parent / "curves.csv")),
    }
    seconds = medians(tasks, [0], ROUNDS)
    per_image = {task: 1e3 * taken / len(paths) for task, taken in seconds.items()}
    note = (
        f"{torch.get_num_threads()} CPU threads, median of {ROUNDS} interleaved rounds over {len(paths)} images; per "
        f"image {per_image['folder']:.1f} ms, loop {per_image['loop']:.1f} ms, forwards {per_image['forwards']:.1f} ms"
    )
    for against, what, goal in (
        ("loop", "x decoding and two plain forwards", 1.05),
        ("forwards", "x two plain forwards", None),
    ):
        ratio = round(seconds["folder"] / seconds[against], 3)
        yield Row(f"folder command, {title}, to {what[2:]}", ratio, what, goal, note=note)


def _bfloat16(root: Path) -> Row:
    """The bundled pair rounded to bfloat16, where the CPU computes in it, to stock models in float32."""
    name, unit = "folder command, bundled pair in bfloat16, to two plain forwards", "x two plain forwards in float32"
    try:
        pair = load_pair(bfloat16=True, device="cpu")
    except ExplorerError as error:
        return Row(name, None, unit, 0.6, note=str(error).rstrip("."))
    (_, row) = _time("bundled pair", root, pair)
    return Row(name, row.value, unit, 0.6, note=row.note)


def _batch(paths: Sequence[Path], pre: Preprocessing) -> Tensor:
    return preprocess.batch([preprocess.model_view(images.decode(path.read_bytes()).rgb, pre) for path in paths], pre)


# Not `ru_maxrss`, which a process inherits from the one that starts it.
_RUN = """
import sys, time
from pathlib import Path
from bench.folder import random_pair
from explorer.runs import similarity
pair, started = random_pair(32, 2, embed_dim=48), time.perf_counter()
for _ in similarity.measure(Path(sys.argv[1]), pair, Path(sys.argv[2])):
    pass
print(time.perf_counter() - started)
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def depths(decoded: Sequence[ImageInput]) -> Iterator[Row]:
    """Time per image and memory of folders of 100 to 10,000 small photographs under many names.

    The pair is small, so that the number of images is all that differs, and what grows with it is seen.
    """
    note = "a pair of 2 blocks at 32 px, a fresh process, one run"
    peaks = {}
    with tempfile.TemporaryDirectory() as name:
        for count in DEPTHS:
            root = Path(name) / str(count)
            root.mkdir()
            for number in range(count):
                source = root / f"{number % FEW:05}.jpg"
                if number < FEW:
                    Image.fromarray(decoded[number % len(decoded)].rgb).resize((96 + number % 32, 96)).save(source)
                else:
                    os.link(source, root / f"{number:05}.jpg")
            command = [sys.executable, "-c", _RUN, str(root), str(Path(name) / f"{count}.csv")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr)
            seconds, peaks[count] = map(float, done.stdout.split())
            yield Row(
                f"folder of {count:,} images: time", round(1e3 * seconds / count, 2), "ms an image", None, note=note
            )
            yield Row(f"folder of {count:,} images: peak memory", round(peaks[count]), "MiB", None, note=note)
    yield Row(
        f"folder command, peak memory of {MANY:,} images beyond that of {FEW}",
        round(peaks[MANY] - peaks[FEW], 1),
        "MiB",
        10,
        note=f"{note.removesuffix(', one run')} each, of {peaks[FEW]:.0f} and {peaks[MANY]:.0f} MiB",
    )
