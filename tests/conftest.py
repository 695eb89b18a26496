"""Shared fixtures: tiny random models, seeded. The axis annotations of the package are checked while tests run."""

from jaxtyping import install_import_hook

install_import_hook("explorer", "tests.check")

# Everything of ours is imported after the hook, or its annotations would go unchecked.
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402
from torch import Tensor  # noqa: E402

from explorer.models import checkpoints, registry  # noqa: E402
from explorer.models.registry import Architecture  # noqa: E402
from explorer.types import Filter, Preprocessing  # noqa: E402
from tests.helpers import CLASSES, TINY, randomise  # noqa: E402

# Tiny tensors gain nothing from a second thread, and wait long for it where other work holds the cores.
torch.set_num_threads(1)

TINY_OPTIONS = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}

MakeModel = Callable[..., VisionTransformer]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutations", type=int, default=5000, metavar="N", help="how many mutated image files to decode")
    parser.addoption(
        "--renew-golden", action="store_true", help="draw the stored figures anew; look at them afterwards"
    )


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a small architecture that is known while the test runs: 16 patches, 2 blocks, 2 heads of 16."""
    row = Architecture("Tiny random", "deit_tiny_patch16_224", (32, 32), depth=2, options=TINY_OPTIONS)
    monkeypatch.setitem(registry.ARCHITECTURES, TINY, row)
    return TINY


@pytest.fixture
def make_model(tiny: str) -> MakeModel:
    """Builds tiny models in eval mode, with weights large enough that attention is far from uniform."""

    def make(
        filter: Filter = (1.0, 2.0), dtype: torch.dtype = torch.float32, seed: int = 0, **options: object
    ) -> VisionTransformer:
        model = registry.create(tiny, len(CLASSES), filter, **options)
        return randomise(model, seed).to(dtype).eval()

    return make


@pytest.fixture
def images() -> Tensor:
    """Three float32 images for the tiny model."""
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing(input_size=(32, 32), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


@pytest.fixture
def declared(tiny: str, preprocessing: Preprocessing) -> dict[str, object]:
    """Complete metadata of a tiny twicing checkpoint."""
    return checkpoints.declare(
        name="Tiny-Twicing",
        architecture=tiny,
        filter=(1.0, 2.0),
        classes=CLASSES,
        wnids=tuple(f"n{i}" for i in range(len(CLASSES))),
        preprocessing=preprocessing,
        recipe="none",
        data="random",
        top1=12.5,
        git_revision="abc",
    )


@pytest.fixture
def checkpoint(tmp_path: Path, make_model: MakeModel, declared: dict[str, object]) -> Path:
    """A sound checkpoint file of a tiny twicing model."""
    path = tmp_path / "tiny.safetensors"
    checkpoints.save(path, make_model().state_dict(), declared)
    return path
