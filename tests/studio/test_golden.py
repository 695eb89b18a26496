"""Figures as they looked when somebody looked at them.

`pytest tests/studio/test_golden.py --renew-golden` draws them anew; look at every file before it is committed. The
tolerance is the mean absolute difference of pixel values in 0 to 255: other processors and fonts' rasterisers move
edges by a fraction of a pixel, a panel that is missing or misplaced costs several units.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.serving.pair import ModelPair
from tests.studio.helpers import made, swapped

FOLDER = Path(__file__).parent / "golden"
TOLERANCE = 1.0
SETTINGS: dict[str, tuple[str, int, dict[str, object]]] = {
    "heatmaps": ("heatmaps", 2, {"layers": (1, 3), "heads": "all", "row_labels": True, "letters": True}),
    "evolution": ("evolution", 1, {"picture": "original", "scale": "figure"}),
    "evolution-swapped": ("evolution", 1, {"query": "0.6,0.4", "heads": "1", "preset": "cvpr-column"}),
    "similarity": ("similarity", 3, {}),
    "dynamics": ("dynamics", 1, {"letters": True}),
    "dynamics-alone": ("dynamics", 0, {"iterations": (1, 2, 6, 12)}),
    "spectrum": ("spectrum", 1, {"letters": True}),
    "spectrum-swapped": ("spectrum", 1, {"layers": (1, 3)}),
    "residual": ("residual", 2, {"heads": "max"}),
    "matrices": ("matrices", 1, {"query": "0.3,0.6", "scale": "map", "smooth": False}),
    "attribution": ("attribution", 2, {"row_labels": True, "method": "integrated-gradients"}),
    "corruption": ("corruption", 2, {"corruption": "occlusion", "row_labels": True, "letters": True, "layers": (3,)}),
    "corruption-swapped": ("corruption", 1, {"query": "0.6,0.4", "layers": (1, 3), "matrix": "a"}),
    "attack": ("attack", 2, {"attack": "pgd", "steps": 3, "row_labels": True, "letters": True}),
    "attack-swapped": ("attack", 1, {"eps": 2.0, "target": "fox", "preset": "cvpr-column"}),
    "robustness": ("robustness", 2, {"letters": True}),
    "robustness-swapped": ("robustness", 1, {"preset": "cvpr-column"}),
    "operators": ("operators", 1, {"operators": "standard,twicing,neutreno,linear-twicing,twicing@2-3"}),
    "operators-swapped": ("operators", 2, {"operators": "resformer,boosting=2", "weights": "twicing", "heads": "1"}),
    "matrices-bare": ("matrices", 1, {"bare": True, "font": "sans", "scale": "figure", "picture": "model"}),
}


def drawn(name: str) -> np.ndarray:
    template, count, settings = SETTINGS[name]
    models: ModelPair | None = swapped() if name.endswith("swapped") else None
    picture = made(template, count, models, dpi=40, **settings).file(".png")
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_figure_looks_as_it_did(name: str, request: pytest.FixtureRequest) -> None:
    shown = drawn(name)
    path = FOLDER / f"{name}.png"
    if request.config.getoption("--renew-golden"):
        FOLDER.mkdir(exist_ok=True)
        Image.fromarray(shown).save(path, optimize=True)
    known = np.asarray(Image.open(path).convert("RGB")).astype(float)
    assert shown.shape == known.shape
    assert np.abs(shown - known).mean() < TOLERANCE


def test_the_tolerance_sees_what_is_wrong() -> None:
    """Another layer of the same images is beyond it."""
    known = np.asarray(Image.open(FOLDER / "matrices-bare.png").convert("RGB")).astype(float)
    template, count, settings = SETTINGS["matrices-bare"]
    picture = made(template, count, dpi=40, layers=(1,), **settings).file(".png")
    other = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    assert np.abs(other - known).mean() > 2 * TOLERANCE


def test_no_golden_figure_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SETTINGS)
