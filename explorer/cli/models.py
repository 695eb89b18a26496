"""The options that name two models, and the models they name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.models import LoadedModel
    from explorer.serving.pair import ModelPair
    from explorer.types import Filter


def add_models(parser: argparse.ArgumentParser) -> None:
    """Declares which two models, under which filters, on which device."""
    for role in ("baseline", "twicing"):
        parser.add_argument(
            f"--{role}",
            metavar="FILE",
            help="checkpoint (FILE#model_ema for a set in it), or hub:NAME of timm; by default of the pair that opens, "
            "which EXPLORER_PAIR names",
        )
        parser.add_argument(
            f"--{role}-filter",
            metavar="A[,A...]",
            help="another filter than the trained one: 1 standard, 2 twicing, for all blocks or one for each",
        )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")


def load_pair_of(options: argparse.Namespace) -> ModelPair:
    """The models that `add_models` declares."""
    from explorer.serving.pair import load_pair

    return load_pair(
        options.baseline,
        options.twicing,
        baseline_filter=_filter(options.baseline_filter),
        twicing_filter=_filter(options.twicing_filter),
        device=options.device,
    )


def load_models_of(options: argparse.Namespace) -> tuple[LoadedModel, LoadedModel]:
    """The same models without an engine."""
    from explorer.models.named import load_under
    from explorer.serving import device as devices

    device = devices.device_called(options.device)
    return (
        load_under(options.baseline, "standard", device, _filter(options.baseline_filter)),
        load_under(options.twicing, "twicing", device, _filter(options.twicing_filter)),
    )


def _filter(text: str | None) -> Filter | float | None:
    from explorer.cli.options import each

    if text is None:
        return None
    values = each(text, float, "filter")
    return values[0] if len(values) == 1 else values
