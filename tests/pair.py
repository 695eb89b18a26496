"""The suite's own pair: random weights from a seed, with attention far from uniform, and drawn results beside them.

It is made once for a run of the suite, so that tests cost what it costs, whatever ships. Another one is written by
`python -m tests.pair PREFIX --architecture deit_tiny_patch16_224 --classes 7`, for `pytest --pair PREFIX`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path

import numpy as np

from explorer.disturb.settings import Attack, Kind
from explorer.models import checkpoints, registry, sources
from explorer.models.declaration import declare
from explorer.models.sources import VARIANTS
from explorer.pictures import examples
from explorer.runs import robustness_file
from explorer.runs.robustness import PAPER_EPS
from explorer.runs.robustness_file import Result
from explorer.types import STANDARD, TWICING, ModelCard, Size
from tests.helpers import randomise

NAME = "random-deit-tiny-patch8-64"
ARCHITECTURE = "deit_tiny_patch8_64"
SHOWN = {one.wnid: one.class_name for one in examples.EXAMPLES if one.wnid and one.class_name}
CLASSES: Mapping[str, str] = {"n01774384": "black widow", "n02056570": "king penguin", **SHOWN}
"""Names by WordNet id: those the examples show, between others."""
IMAGES = 1000
_SEEDS = (9, 8)
"""Of the two models: with these their answers differ, between photographs and from each other."""
_SPREAD = 4.5
"""Standard deviation of the attention's logits: at 0 attention is uniform, far above it looks at one token."""


def write(prefix: Path, architecture: str = ARCHITECTURE, classes: Mapping[str, str] = CLASSES) -> Path:
    """Two models and a result of each attack, whose names begin with `prefix`; each file appears whole or not at all.

    Only the names of the results are those of measured ones: the ranks in them are drawn.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    row, cards = registry.architecture(architecture), []
    for variant, a, seed in zip(VARIANTS, (STANDARD, TWICING), _SEEDS, strict=True):
        filter = registry.uniform_filter(row.depth, a)
        model = registry.create(architecture, len(classes), filter)
        path = prefix.parent / f"{prefix.name}-{variant}.safetensors"
        declared = declare(
            name=f"Random {row.title}{'-Twicing' * (variant == 'twicing')}",
            architecture=architecture,
            filter=filter,
            classes=tuple(classes.values()),
            wnids=tuple(classes),
            preprocessing=registry.preprocessing(row),
            recipe=f"random weights from seed {seed}, not trained",
            data="none",
            top1=None,
            git_revision="made by the tests",
        )
        checkpoints.save(path, randomise(model, seed, (_SPREAD / model.embed_dim) ** 0.5).state_dict(), declared)
        cards.append(checkpoints.load(path).card)
    for attack, eps in ((Attack(), PAPER_EPS), (Attack(Kind.PGD, steps=20, step_size=0.15 / 255), (0.0, 4 / 255))):
        path = prefix.parent / f"{prefix.name}-{attack.kind.value.lower()}.jsonl"
        path.write_bytes(_drawn(cards, attack, eps))
    return prefix


def _drawn(cards: Sequence[ModelCard], attack: Attack, eps: Sequence[float]) -> bytes:
    """A result file of no images: ranks from a seed, which grow with the budget."""
    settings = robustness_file.header(cards, attack, eps, 25, "ranks drawn from a seed, of no images", transfer=False)
    steps = np.random.default_rng(len(eps)).integers(0, 3, (IMAGES, len(cards), len(eps)))
    ranks = np.minimum(1 + steps.cumsum(axis=-1) // 2, len(cards[0].classes)).tolist()
    by_image = {str(i): tuple(map(tuple, rows)) for i, rows in enumerate(ranks)}
    return robustness_file.dumps(Result(settings, by_image), dict.fromkeys(by_image, 0))


@dataclass(frozen=True)
class Facts:
    """What tests may expect of the pair that opens, read off its two files."""

    cards: tuple[ModelCard, ...]
    grid: Size
    depth: int
    heads: int
    tokens: int

    def patch(self, down: float, right: float) -> tuple[int, int, int]:
        """Row and column, from 1, of the patch at a place of the picture in shares, and its token."""
        row, column = (int(share * count) for share, count in zip((down, right), self.grid, strict=True))
        return row + 1, column + 1, self.tokens - self.grid[0] * self.grid[1] + row * self.grid[1] + column

    def address(self, down: float, right: float) -> str:
        """How an address names that patch: by its centre, as the browser writes numbers."""
        row, column, _ = self.patch(down, right)
        middle = ((row - 0.5) / self.grid[0], (column - 0.5) / self.grid[1])
        return "%2C".join(str(Decimal(share).quantize(Decimal("1.0000"), ROUND_HALF_UP)) for share in middle)


def facts() -> Facts:
    """Of the pair that opens now, which is another one in tests of what ships."""
    return _facts(sources.prefix())


@cache
def _facts(prefix: Path) -> Facts:
    models = [checkpoints.load(sources.opening(variant)) for variant in VARIANTS]
    body = models[0].module
    height, width = body.patch_embed.grid_size
    return Facts(
        cards=tuple(model.card for model in models),
        grid=(height, width),
        depth=len(body.blocks),
        heads=body.blocks[0].attn.num_heads,
        tokens=body.num_prefix_tokens + height * width,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--architecture", default=ARCHITECTURE, help="a name of the registry or of timm")
    parser.add_argument("--classes", type=int, default=len(CLASSES), metavar="N", help="so many classes of no name")
    options = parser.parse_args()
    classes = {f"n9{number:07}": f"class {number}" for number in range(options.classes)}
    print(write(options.prefix, options.architecture, classes))


if __name__ == "__main__":
    main()
