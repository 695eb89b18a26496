"""The options that name two models, and the models they name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.models import LoadedModel
    from explorer.serving.pair import ModelPair


def add_models(parser: argparse.ArgumentParser) -> None:
    """Declares which two models, under which operators, on which device."""
    for role in ("baseline", "twicing"):
        parser.add_argument(
            f"--{role}",
            metavar="FILE",
            help="checkpoint (FILE#model_ema for a set in it), or hub:NAME of timm; by default of the pair that opens, "
            "which EXPLORER_PAIR names",
        )
        parser.add_argument(
            f"--{role}-operator",
            f"--{role}-filter",
            dest=f"{role}_operator",
            metavar="NAME",
            help="another operator than the trained one: standard, twicing, twicing@10-12, quadratic=1.5, "
            "neutreno=0.6, linear-twicing, ...; for all blocks, for some, or one for each",
        )
        parser.add_argument(f"--{role}-packed", action="store_true", help=argparse.SUPPRESS)  # where the other is not
    parser.add_argument(
        "--input-size",
        metavar="N[,N]",
        help="pixels on a side of the models' input instead of what they declare, for both or one for each (0: as "
        "declared); positions are resampled where they are for another size",
    )
    parser.add_argument(
        "--packed",
        action="store_true",
        help="linear layers compute on a second copy of their weights as oneDNN lays it out, quicker on some CPUs; "
        "numbers differ by rounding, and what is written says so",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")


def load_pair_of(options: argparse.Namespace, *, bfloat16: bool = False) -> ModelPair:
    """The models that `add_models` declares."""
    from explorer.serving.pair import load_pair

    return load_pair(
        options.baseline,
        options.twicing,
        baseline_filter=options.baseline_operator,
        twicing_filter=options.twicing_operator,
        input_size=_input_sizes(options.input_size),
        packed=_packed(options),
        bfloat16=bfloat16,
        device=options.device,
        engine=getattr(options, "engine", None),
    )


def load_models_of(options: argparse.Namespace) -> tuple[LoadedModel, LoadedModel]:
    """The same models without an engine."""
    from explorer.models import with_packed_layers
    from explorer.models.named import load_under
    from explorer.serving import device as devices

    device = devices.device_called(options.device)
    size, other = _input_sizes(options.input_size)
    first = load_under(options.baseline, "standard", device, options.baseline_operator, size)
    second = load_under(options.twicing, "twicing", device, options.twicing_operator, other)
    is_packed, other_is = _packed(options)
    return with_packed_layers(first) if is_packed else first, with_packed_layers(second) if other_is else second


def _packed(options: argparse.Namespace) -> tuple[bool, bool]:
    """Of either model."""
    return options.packed or options.baseline_packed, options.packed or options.twicing_packed


def _input_sizes(text: str | None) -> tuple[int | None, int | None]:
    """Of either model; None where it is as declared."""
    from explorer.cli.options import each
    from explorer.types import ROLES, ExplorerError

    sizes = each(text or "0", int, "input-size")
    if len(sizes) > len(ROLES) or min(sizes) < 0:
        raise ExplorerError(f"input-size: pixels such as 224, or 224,384, were expected; {text!r:.60} came.")
    return sizes[0] or None, sizes[-1] or None
