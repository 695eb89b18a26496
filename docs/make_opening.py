"""Makes what the start page shows before anything is loaded: the bundled pair on the first example.

make opening
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from explorer.models import load, sources  # noqa: E402
from explorer.models.trace import trace  # noqa: E402
from explorer.pictures import examples, preprocess  # noqa: E402
from explorer.places import VARIANTS  # noqa: E402
from explorer.traces import Comparison  # noqa: E402
from explorer.types import ImageInput  # noqa: E402
from explorer.ui.opening import stored  # noqa: E402
from explorer.ui.shell import pair  # noqa: E402
from explorer.viewer import start  # noqa: E402


def from_bundled() -> bytes:
    """The bytes, computed from the bundled pair's files."""
    example = examples.EXAMPLES[0]
    image: ImageInput = examples.load(example)
    models = [load(sources.bundled(variant)) for variant in VARIANTS]
    traces = []
    for model in models:
        preprocessing = model.card.preprocessing
        pixels = preprocess.batch([preprocess.model_view(image.rgb, preprocessing)], preprocessing)
        traces.extend(trace(model.module, pixels))
    cards = [model.card for model in models]
    baseline, twicing = map(pair.short, cards)
    link = {"image": example.file, "baseline": baseline, "twicing": twicing}
    return start.pack(image, Comparison(*traces), cards, link)


def main() -> None:
    payload = from_bundled()
    stored.FILE.write_bytes(payload)
    print(f"{stored.FILE.relative_to(ROOT)}: {len(payload):,} bytes")


if __name__ == "__main__":
    main()
