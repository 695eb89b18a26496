"""Weights from timm's place on the Hugging Face hub: downloaded once, kept in the hub's own cache, loaded strictly.

Only models that timm itself lists, whose blocks the explorer can trace, and only their safetensors files. What is in
the cache is used without a network; `HF_HUB_OFFLINE` and `HF_HOME` are respected. Files are downloaded one by one, none
that is larger than `EXPLORER_HUB_MIB` or would fill the disk, and none but what `EXPLORER_HUB_MODELS` names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from huggingface_hub import constants
from huggingface_hub.utils.tqdm import tqdm
from safetensors.torch import load_file
from timm.models import get_pretrained_cfg

from explorer.models import options, overflow, positions, registry
from explorer.models.checkpoints import LoadedModel
from explorer.models.declaration import UNDECLARED
from explorer.models.positions import Grids
from explorer.models.twicing import make_filtered
from explorer.types import STANDARD, ExplorerError, ModelCard, Progress

FILE = "model.safetensors"
PATIENCE = 3.0
"""Seconds to wait for the hub's first sign of life."""
SIZE_VARIABLE, NAMES_VARIABLE = "EXPLORER_HUB_MIB", "EXPLORER_HUB_MODELS"
LARGEST_MIB = 2048
"""Of a file, unless the environment says otherwise; a ViT-L has 1200."""
FREE_MIB = 2048
"""What a download leaves of the disk."""
_downloading = threading.Lock()


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Models of timm with weights on the hub, DeiT first; whether their blocks can be traced shows on loading."""
    listed = [name for module in registry.MODULES for name in timm.list_models(module=module, pretrained=True)]
    configured: list[tuple[str, Any]] = [(name, get_pretrained_cfg(name)) for name in listed]
    there = [name for name, cfg in configured if cfg is not None and cfg.hf_hub_id]
    return tuple(sorted(there, key=lambda name: not name.startswith("deit_")))


def offered() -> tuple[str, ...]:
    """Those of `names()` that fit a pattern of the environment's `EXPLORER_HUB_MODELS`, such as `deit_*`, or all."""
    patterns = os.environ.get(NAMES_VARIABLE, "").replace(",", " ").split()
    return tuple(name for name in names() if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns))


def load(
    name: str,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    input_size: int | None = None,
) -> LoadedModel:
    """Loads a model by its name in timm, such as `deit_tiny_patch16_224.fb_in1k`.

    `input_size` asks for so many pixels on a side: positions are resampled, and the card says so. Its filter is the
    standard one: nobody has published twicing weights there. Raises `ExplorerError` for a name timm does not list,
    blocks that cannot be traced, and weights that cannot be had or do not fit.
    """
    if name not in names():
        raise ExplorerError(f"The name of a model in timm's list was expected; {name[:80]!r} came.")
    if name not in offered():
        raise ExplorerError(f"A model that {NAMES_VARIABLE} names was expected; {name} came.")
    cfg: Any = get_pretrained_cfg(name)
    row = registry.architecture(name)  # refuses what cannot be traced before anything is downloaded
    sized: dict[str, Any] = {} if input_size is None else {"img_size": options.size_of(input_size)}
    preprocessing = registry.preprocessing_of(cfg, sized.get("img_size", row.input_size))
    built = registry.skeleton(name, cfg.num_classes, row.own_filter, **sized)
    if sized:
        positions.check_size(name, built)
    path = _fetch(name, cfg.hf_hub_id, progress)
    try:
        state = load_file(path)
        grids = Grids.of(state, built)
        module: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": state}, **sized)
    except Exception as error:  # whatever timm's conversion makes of a file that does not fit
        raise ExplorerError(f"{FILE} of {cfg.hf_hub_id} does not fit {name}.") from error
    if not all(bool(value.isfinite().all()) for value in module.state_dict().values()):
        raise ExplorerError(f"{FILE} of {cfg.hf_hub_id} holds values that are not finite.")
    make_filtered(module)
    overflow.check(f"{FILE} of {cfg.hf_hub_id}", module.eval())
    variant = registry.imagenet(module.num_classes)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    card = ModelCard(
        name=name,
        architecture=name,
        filter=row.own_filter,
        trained_filter=row.own_filter,
        classes=registry.class_names(variant) if variant else (),
        wnids=registry.wnids(variant) if variant else (),
        outputs=module.num_classes,
        preprocessing=preprocessing,
        recipe=cfg.notes or UNDECLARED,
        data=cfg.description or f"see huggingface.co/{cfg.hf_hub_id}",
        top1=None,
        git_revision=f"timm {timm.__version__}",
        digest=digest,
        source=f"hub: {cfg.hf_hub_id}",
        declared_by="timm, whose models are standard"
        if row.operator == STANDARD
        else f"timm, whose model has {row.operator} attention",
        license=cfg.license or UNDECLARED,
        is_resized=preprocessing.input_size != row.input_size,
        changes=(grids.change,) if grids and grids.differ else (),
    )
    return LoadedModel(card, module.to(device).eval().requires_grad_(False))


def _fetch(name: str, repository: str, progress: Progress | None) -> Path:
    """The file in the hub's cache, downloaded if it is not there yet."""
    cached = huggingface_hub.try_to_load_from_cache(repository, FILE)
    if isinstance(cached, str):
        return Path(cached)
    if constants.HF_HUB_OFFLINE:
        raise ExplorerError(f"{name} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it.")
    if not _answers():
        raise ExplorerError(f"{name} is not in the hub's cache, and {constants.ENDPOINT} cannot be reached from here.")
    if not _downloading.acquire(blocking=False):
        raise ExplorerError("Another model is being downloaded; please try again when it is there.")
    try:
        _check_room(name, _size(repository) / 2**20)
        bar = None if progress is None else _reporting(progress)
        return Path(huggingface_hub.hf_hub_download(repository, FILE, etag_timeout=PATIENCE, tqdm_class=bar))
    except ExplorerError:
        raise
    except Exception as error:  # the hub's client raises many kinds
        raise ExplorerError(f"{FILE} of {repository} could not be downloaded ({type(error).__name__}).") from error
    finally:
        _downloading.release()


def _size(repository: str) -> int:
    """Bytes of the file, as the hub says."""
    size = huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, FILE), timeout=PATIENCE).size
    if size is None:
        raise ExplorerError(f"The size of {FILE} of {repository} was expected; the hub did not say it.")
    return size


def _check_room(name: str, mib: float) -> None:
    """Raises `ExplorerError` for a file larger than the operator allows, or for which the disk has no room."""
    said = os.environ.get(SIZE_VARIABLE, "").strip() or str(LARGEST_MIB)
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise ExplorerError(f"{SIZE_VARIABLE} was expected to be a whole number of MiB; {said[:40]!r} came.")
    if mib > int(said):
        raise ExplorerError(f"{name} has {mib:.0f} MiB; at most {said} are downloaded, as {SIZE_VARIABLE} says.")
    cache = Path(constants.HF_HUB_CACHE).absolute()
    free = shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free / 2**20
    if free - mib < FREE_MIB:
        raise ExplorerError(
            f"{name} has {mib:.0f} MiB, and the disk of the hub's cache {free:.0f} free, of which {FREE_MIB} stay free."
        )


def _answers() -> bool:
    """Whether the hub answers at all; in a thread, because looking up its address can block beyond any limit."""
    answered = threading.Event()

    def ask() -> None:
        try:
            huggingface_hub.get_session().head(constants.ENDPOINT, timeout=PATIENCE)
            answered.set()
        except Exception:
            return

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(PATIENCE + 0.5)


def _reporting(progress: Progress) -> Any:
    """A class like tqdm's that reports instead of drawing."""

    class Reporting(tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            was_drawn: bool | None = super().update(n)
            progress(int(self.n), int(self.total or 0))
            return was_drawn

    return Reporting
