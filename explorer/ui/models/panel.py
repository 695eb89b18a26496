"""The Models page's words and answers: what is known of each model, and what is declared of a new one."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from explorer.models import checkpoints, packed, registry
from explorer.models.checkpoints import Inspection
from explorer.models.trace import ModelSize
from explorer.paper import operators
from explorer.settings import Option
from explorer.types import ExplorerError, ModelCard
from explorer.ui.shell import resources

LOCKED_VARIABLE = "EXPLORER_MODELS_LOCKED"
DEIT_CROP = 0.875
"""DeiT's own code evaluates so: 256 px resized, 224 cut out."""


class TrainedWith(Option):
    """Which operator weights had."""

    STANDARD = "standard: A"
    EVERYWHERE = "twicing: 2A − A² in every block"
    SOME = "twicing in some blocks"


def is_locked() -> bool:
    """Whether visitors can neither load nor unload: as the operator says, else wherever another machine can come in."""
    said = os.environ.get(LOCKED_VARIABLE, "").strip()
    return said != "0" if said else not _is_for_this_machine()


def _is_for_this_machine() -> bool:
    """Whether the server listens to this machine alone, and under no name that a proxy would bring."""
    hosts = [st.get_option("server.address"), *(st.get_option("server.allowedHosts") or ())]
    return all(map(_is_loopback, hosts))


def _is_loopback(host: str | None) -> bool:
    """A server without an address listens on all."""
    try:
        return host == "localhost" or ipaddress.ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return False


def facts(card: ModelCard, size: ModelSize) -> dict[str, str]:
    """What the page says of a model, label by label."""
    pre = card.preprocessing
    height, width = pre.input_size
    shrunk = f", through {pre.source_size[0]} px" if pre.source_size else ""
    return {
        "Weights": f"{card.source}, SHA-256 {card.digest[:12]}",
        "Architecture": card.architecture,
        "Operator": f"{card.operator} ({_coefficients(card)}), as declared by {card.declared_by}",
        "Parameters": f"{size.parameters / 1e6:.2f} M",
        "Cost": f"{size.multiply_adds / 1e9:.3g} GFLOPs per image (multiply-adds, as papers count)",
        "Input": f"{height} x {width} px{shrunk}, {pre.crop_mode} crop of {pre.crop_pct:g}{_whose_crop(card)}, "
        f"{pre.interpolation}; mean {_numbers(pre.mean)}, std {_numbers(pre.std)}",
        **({"Changed": " ".join(card.changes)} if card.changes else {}),
        **({"Linear layers": _packed(size)} if card.is_packed else {}),
        "Classes": card.chance,
        "Top-1": "not declared" if card.top1 is None else f"{card.top1:.1f}%",
        "Data and terms": card.data,
        "Licence of the weights": card.license,
        "Recipe": card.recipe,
        "Revision": card.git_revision,
    }


def _packed(size: ModelSize) -> str:
    return (
        f"on a second copy of their weights as oneDNN lays it out, {size.packed / 2**20:.0f} MiB, which is quicker "
        f"here; numbers differ by rounding ({packed.VARIABLE}=0 leaves it out)"
    )


def _whose_crop(card: ModelCard) -> str:
    """Where nobody declares the crop: that it is timm's, and what DeiT's own code has."""
    if card.declares_crop:
        return ""
    deit = f'; DeiT\'s own code has {DEIT_CROP:g}, as "crop_pct": {DEIT_CROP:g} declares'
    return f" (timm's, not declared{deit if _is_deit(card.architecture) else ''})"


def _is_deit(architecture: str) -> bool:
    return architecture.startswith("deit_")


def _coefficients(card: ModelCard) -> str:
    if len(set(card.filter)) == 1:
        return f"{card.filter[0]} in all {len(card.filter)} blocks"
    return f"{', '.join(map(str, card.filter))}, block by block"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def unload(key: str) -> None:
    """For a button: unloads a model, and keeps why not for `refusal`."""
    try:
        resources.engine().remove(key)
    except ExplorerError as error:
        st.session_state[f"refused-{key}"] = str(error)


def refusal(key: str) -> str | None:
    """Why a model was not unloaded in this run."""
    reason: str | None = st.session_state.pop(f"refused-{key}", None)
    return reason


@st.cache_resource(show_spinner="Looking into the file …", max_entries=64)
def _inspected(path: str, stamps: Sequence[tuple[int, int]]) -> checkpoints.Inspection:
    return checkpoints.inspect(Path(path))


def inspected(path: Path) -> checkpoints.Inspection:
    """What a file, or the JSON beside it, says of the weights; looked into again when one of them changes."""
    try:
        stats = [file.stat() for file in (path, path.with_suffix(".json")) if file == path or file.exists()]
    except OSError as error:
        raise ExplorerError(f"{path.name} cannot be read: {error.strerror}.") from error
    return _inspected(str(path), [(stat.st_mtime_ns, stat.st_size) for stat in stats])


def questions(inspection: Inspection, key: str) -> dict[str, Any]:
    """Asks what the file does not declare; its shapes and its training code's name for the model fill in answers."""
    if inspection.named:
        st.caption(
            f"Its training code called the model “{inspection.named}”; that fills in the answers, please check them."
        )
    if inspection.likeness:
        st.caption(f"By the shapes of its weights it looks like {inspection.likeness}.")
    names, likeness = registry.names(), inspection.likeness
    architecture = st.selectbox(
        "Architecture",
        names,
        index=names.index(likeness.architecture) if likeness else None,
        placeholder=f"none of {len(names)} known ones fits by its shapes; type to search",
        accept_new_options=True,
        key=f"{key}-architecture",
        help="Any of timm's plain, DeiT, EVA and rotary vision transformers.",
    )
    kind = st.radio(
        "These weights were trained with",
        list(TrainedWith),
        index=(1 if inspection.looks_twicing else 0) if inspection.named else None,
        key=f"{key}-filter",
        help="Twicing adds no parameters, so the file cannot show it. A wrong answer makes every picture wrong.",
    )
    if architecture is None or kind is None:
        raise ExplorerError("An architecture and an operator are needed: the file declares neither.")
    row = registry.architecture(architecture)
    depth = row.depth
    first, last = (
        st.slider("Blocks that twice", 1, depth, (max(1, depth - 2), depth), key=f"{key}-blocks")
        if kind == TrainedWith.SOME
        else (1, depth)
    )
    filter = row.own_filter if kind == TrainedWith.STANDARD else registry.twicing_in(depth, first, last)
    return {"architecture": architecture, "filter": operators.written(filter)}


def additions(inspection: Inspection, architecture: str | None, key: str) -> dict[str, Any]:
    """Asks what a declaration may leave out: what the outputs stand for, and how much of a picture DeiT sees."""
    added: dict[str, Any] = {}
    if inspection.variant and st.checkbox(
        f"Its outputs are the classes of {inspection.variant}, in timm's order",
        key=f"{key}-classes",
        help="As many there are; otherwise they are called by their numbers.",
    ):
        added["classes"] = inspection.variant
    if architecture and _is_deit(architecture) and not inspection.declares_crop:
        own = registry.preprocessing(registry.architecture(architecture)).crop_pct
        crops = {own: f"{own:g}, timm's", DEIT_CROP: f"{DEIT_CROP:g}, as DeiT's own code evaluates"}
        crop = st.segmented_control(
            "Crop",
            list(crops),
            format_func=crops.__getitem__,
            default=own,
            required=True,
            key=f"{key}-crop",
            help="The share of a picture's side that the model sees.",
        )
        if crop != own:
            added["crop_pct"] = crop
    return added


def suggested_size(inspection: Inspection, architecture: str | None) -> int | None:
    """The input size that the positions of undeclared weights are for, where it is not the architecture's own."""
    like = inspection.likeness
    if inspection.is_declared or like is None or like.architecture != architecture:
        return None
    return None if like.side == registry.architecture(architecture).input_size[0] else like.side


def input_size(key: str, suggested: int | None = None) -> int | None:
    """Asks for another input size than the architecture's or the declared one; None where nobody does."""
    size: int | None = st.number_input(
        "Input size, px",
        min_value=16,
        max_value=2048,
        value=suggested,
        placeholder="as declared, or as the architecture has it",
        key=f"{key}-size",
        help="Pixels on a side. Positions of another size are resampled, and the model's card says so.",
    )
    return size
