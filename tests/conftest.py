"""Shared fixtures: tiny random models, seeded. The axis annotations of the package are checked while tests run.

The app, the shell and Python open on a pair of the suite's own (`tests/pair.py`) in every test but those of the fixture
`shipped`, which are of the pair that ships; `pytest --pair PREFIX` runs all of them on another pair.
"""

from tests import annotations

annotations.check("explorer")

from explorer import startup  # noqa: E402

startup.import_timm()  # without torch's compiler, as every command does: two seconds of each process

# Everything of ours is imported after the hook, or its annotations would go unchecked.
import os  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402
from torch import Tensor  # noqa: E402

from explorer.models import LoadedModel, checkpoints, packed, registry, sources  # noqa: E402
from explorer.models.declaration import declare  # noqa: E402
from explorer.models.registry import Architecture  # noqa: E402
from explorer.types import Filter, Preprocessing  # noqa: E402
from tests import pair  # noqa: E402
from tests.helpers import CLASSES, TINY, quadratics, randomise  # noqa: E402

# Tiny tensors gain nothing from a second thread, and wait long for it where other work holds the cores.
torch.set_num_threads(1)

TINY_OPTIONS = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}

MOST_SHIPPED = 40

FIRST = (
    "browser/test_browser",
    "browser/test_shipped",
    "browser/test_viewer",
    "browser/test_lessons",
    "browser/test_challenge",
    "studio/test_files",
    "cli/test_figure",
    "ui/test_challenge_pages",
    "ui/test_studio_page",
    "models/test_weights",
    "test_install",
    "test_server",
    "training/test_processes",
    "training/test_run",
    "ui/test_preload",
    "ui/test_lessons",
    "cli/test_disks",
    "pictures/test_images_mutated",
    "test_class",
    "test_guards",
    "test_architecture",
)
"""The modules that take longest come first, or one of two workers waits for the last of them."""

MakeModel = Callable[..., VisionTransformer]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutations", type=int, default=5000, metavar="N", help="how many mutated image files to decode")
    parser.addoption(
        "--renew-golden", action="store_true", help="draw the stored figures anew; look at them afterwards"
    )
    parser.addoption("--pair", metavar="PREFIX", help="what the files of another pair begin with, to test it instead")


def pytest_configure(config: pytest.Config) -> None:
    """Says which pair opens before anything is loaded; xdist's workers and every server of a test inherit it."""
    if hasattr(config, "workerinput"):
        return
    if given := config.getoption("pair"):
        prefix = Path(os.path.abspath(given))
        for end in ("standard.safetensors", "twicing.safetensors", "fgsm.jsonl", "pgd.jsonl"):
            if not Path(f"{prefix}-{end}").is_file():
                raise pytest.UsageError(
                    f"--pair was expected to name two models and their results; {prefix}-{end} is none."
                )
    else:
        folder = tempfile.TemporaryDirectory(prefix="explorer-")
        config.add_cleanup(folder.cleanup)
        prefix = pair.write(Path(folder.name) / "pair" / pair.NAME)
    os.environ[sources.PAIR_VARIABLE] = str(prefix)
    os.environ[packed.VARIABLE] = "0"  # or a server's numbers would depend on what else the machine does


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest first, and marks the tests of what ships, for `-m shipped`.

    Those stay few, or a larger pair would make the suite slow.
    """
    places = {f"tests/{name}.py": place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(FIRST)))
    shipped = [item for item in items if "shipped" in getattr(item, "fixturenames", ())]
    for item in shipped:
        item.add_marker("shipped")
    if len(shipped) > MOST_SHIPPED:
        raise pytest.UsageError(
            f"At most {MOST_SHIPPED} tests of the pair that ships were expected; {len(shipped)} came."
        )


@pytest.fixture(scope="module")
def shipped(pytestconfig: pytest.Config) -> Iterator[None]:
    """For all tests of a module: the pair that ships opens, as where no variable is set; with `--pair`, that one.

    What these tests expect they read off its files, so that they hold for whatever ships.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        if not pytestconfig.getoption("pair"):
            monkeypatch.delenv(sources.PAIR_VARIABLE)
        _forget()
        yield
    _forget()


def _forget() -> None:
    """What the app keeps for all visitors: models above all."""
    if streamlit := sys.modules.get("streamlit"):
        streamlit.cache_resource.clear()
        streamlit.cache_data.clear()
    for room, name in (("shell.resources", "loaded"), ("challenge.attacks.compute", "measured")):
        if module := sys.modules.get(f"explorer.ui.{room}"):
            getattr(module, name).cache_clear()


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
        filter: Filter = quadratics(1.0, 2.0), dtype: torch.dtype = torch.float32, seed: int = 0, **options: object
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
    return declare(
        name="Tiny-Twicing",
        architecture=tiny,
        filter=quadratics(1.0, 2.0),
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


@pytest.fixture
def loaded(checkpoint: Path) -> LoadedModel:
    """The model of that file."""
    return checkpoints.load(checkpoint)
