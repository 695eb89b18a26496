"""Makes what the start page shows before anything is loaded: the bundled pair on the first example.

make opening
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from explorer.models import LoadedModel, load, sources  # noqa: E402
from explorer.models.trace import trace  # noqa: E402
from explorer.pictures import examples, preprocess  # noqa: E402
from explorer.places import VARIANTS  # noqa: E402
from explorer.traces import Comparison  # noqa: E402
from explorer.types import ImageInput  # noqa: E402
from explorer.ui.opening import stored  # noqa: E402
from explorer.ui.shell import pair  # noqa: E402
from explorer.viewer import start  # noqa: E402

LATE = 2 / 3
"""Of the depth: the blocks before see edges and places, whatever the photograph shows."""


def from_bundled() -> bytes:
    """The bytes, computed from the bundled pair's files."""
    example = examples.EXAMPLES[0]
    image = examples.load(example)
    models = _models()
    cards = [model.card for model in models]
    baseline, twicing = map(pair.short, cards)
    link = {"image": example.file, "baseline": baseline, "twicing": twicing}
    return start.pack(image, _comparison(models, image), cards, link)


def clearest_layer() -> int:
    """The layer, from 1, that the bundled pair is to open at.

    Of the late blocks, the one where a tenth of the patches has most of the row of CLS: of the two models the one that
    is less concentrated, mean over all examples.
    """
    models = _models()
    pairs = [_comparison(models, examples.load(example)) for example in examples.EXAMPLES]
    shares = torch.stack(
        [torch.stack([start.concentration(each) for each in compared]).amin(dim=0) for compared in pairs]
    )
    means = shares.mean(dim=0)
    first = round(LATE * len(means))
    return first + int(means[first:].argmax()) + 1


def _models() -> list[LoadedModel]:
    return [load(sources.bundled(variant)) for variant in VARIANTS]


def _comparison(models: list[LoadedModel], image: ImageInput) -> Comparison:
    traces = []
    for model in models:
        preprocessing = model.card.preprocessing
        pixels = preprocess.batch([preprocess.model_view(image.rgb, preprocessing)], preprocessing)
        traces.extend(trace(model.module, pixels))
    return Comparison(*traces)


def main() -> None:
    if (layer := clearest_layer()) != sources.CLEAREST_LAYER:
        sys.exit(f"sources.CLEAREST_LAYER is {sources.CLEAREST_LAYER}; of these weights it is to be {layer}.")
    payload = from_bundled()
    stored.FILE.write_bytes(payload)
    print(f"{stored.FILE.relative_to(ROOT)}: layer {layer}, {len(payload):,} bytes")


if __name__ == "__main__":
    main()
