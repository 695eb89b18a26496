"""`python -m explorer attribute`: maps of what a class rests on, for images and two models."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.attribution.result import Attribution, Method, Settings
    from explorer.models import LoadedModel
    from explorer.photographs import Photograph
    from explorer.serving.pair import ModelPair
    from explorer.types import Progress

_ABOUT = """\
Writes a folder for each image: METHOD-baseline.png and METHOD-twicing.png (the map over the crop the models saw,
both on one scale, red for the class and blue against it), maps.npz (the numbers) and settings.json (all of it).
An image that cannot be read is said and left out. Attention is not attribution: these maps are about a class."""
_IMAGE = "image file, or example:NAME for a bundled one, such as example:chelsea.png"


def add_attribute(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `attribute` and what runs it."""
    from explorer.cli.figures import add_models

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _ABOUT
    parser.set_defaults(run=run)
    parser.add_argument("images", nargs="+", metavar="IMG", help=_IMAGE)
    parser.add_argument(
        "--method",
        default="integrated-gradients",
        metavar="NAME[,NAME...]",
        help="saliency, input-x-gradient, integrated-gradients (default), gradient-shap, occlusion, feature-ablation, "
        "grad-cam, weighted-rollout, or all",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; it is made if it is not there")
    parser.add_argument(
        "--class",
        dest="target",
        metavar="CLASS",
        help="name, WordNet id or number; each model's first choice by default",
    )
    parser.add_argument(
        "--baseline-picture", default="mean colour", help="mean colour (default), black, white, blurred"
    )
    parser.add_argument("--steps", type=int, default=50, help="of integrated-gradients (50)")
    parser.add_argument("--samples", type=int, default=16, help="of gradient-shap (16)")
    parser.add_argument("--window", type=int, help="side of occlusion's square in pixels; a patch by default")
    parser.add_argument("--stride", type=int, help="its step in pixels; half its side by default")
    parser.add_argument("--seed", type=int, default=0, help="of gradient-shap's noise (0)")
    add_models(parser)


def run(options: argparse.Namespace) -> int:
    """Runs `attribute`; the bar counts maps and is drawn on a terminal only."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    from explorer.cli.figures import free_name, load_pair_of
    from explorer.photographs import EXAMPLE, photograph
    from explorer.types import ExplorerError

    methods, settings = _methods(options.method), _settings(options)
    pair = load_pair_of(options)
    targets = _targets(pair, options.target)
    failed = 0
    taken: set[str] = set()
    with tqdm(total=2 * len(methods) * len(options.images), unit=" maps", disable=not sys.stderr.isatty()) as bar:
        for source in options.images:
            try:
                one = photograph(source)
                folder = options.out / free_name(Path(one.name.removeprefix(EXAMPLE)).stem, taken)
                _write(one, pair, methods, settings, targets, folder, bar)
            except ExplorerError as error:
                tqdm.write(f"explorer: {error}", file=sys.stderr)
                failed += 1
            else:
                print(folder)
    return 1 if failed else 0


def _methods(text: str) -> list[Method]:
    from explorer.attribution.result import Method, method_called

    return list(Method) if text == "all" else list(dict.fromkeys(method_called(part) for part in text.split(",")))


def _settings(options: argparse.Namespace) -> Settings:
    from explorer.attribution.result import Baseline, Settings
    from explorer.types import ExplorerError

    try:
        baseline = Baseline(options.baseline_picture)
    except ValueError:
        raise ExplorerError(
            f"A baseline out of {', '.join(Baseline)} was expected; {options.baseline_picture[:40]!r} came."
        ) from None
    return Settings(
        seed=options.seed,
        baseline=baseline,
        steps=options.steps,
        samples=options.samples,
        window=options.window,
        stride=options.stride,
    )


def _targets(pair: ModelPair, name: str | None) -> list[int | None]:
    from explorer.attribution.classes import class_index

    if name is None:
        return [None, None]
    return [
        pair.engine.run(card.key, lambda model, tell: class_index(model.card, model.module.num_classes, name))
        for card in pair.cards
    ]


def _write(
    one: Photograph,
    pair: ModelPair,
    methods: list[Method],
    settings: Settings,
    targets: list[int | None],
    folder: Path,
    bar: Any,
) -> None:
    import io

    import numpy as np

    from explorer import files, images
    from explorer.attribution.methods import attribute
    from explorer.figures import maps as figures
    from explorer.figures.style import Range
    from explorer.types import ExplorerError

    image = one.open()
    made: dict[str, list[Attribution]] = {}
    for method in methods:
        for card, target in zip(pair.cards, targets, strict=True):
            seen = images.model_view(image.rgb, card.preprocessing)

            def made_by(
                model: LoadedModel, tell: Progress, seen: Any = seen, method: Method = method, to: int | None = target
            ) -> Attribution:
                return attribute(model, seen, method, to, settings, tell)

            found = pair.engine.run(card.key, made_by)
            made.setdefault(method.slug, []).append(found)
            bar.update()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExplorerError(f"{folder} cannot be made: {files.reason(error)}.") from error
    arrays = {}
    for slug, both in made.items():
        values = [found.values.numpy() for found in both]
        span = Range.of(*values, signed=both[0].method.is_signed)
        for role, card, array in zip(("baseline", "twicing"), pair.cards, values, strict=True):
            drawn = figures.draw(
                images.sharp_view(image.rgb, card.preprocessing), array, span, figures.Look(opacity=0.9)
            )
            files.write_atomically(folder / f"{slug}-{role}.png", figures.png(drawn))
            arrays[f"{slug}, {role}"] = array
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # its signature takes no dict of arrays
    files.write_atomically(folder / "maps.npz", stream.getvalue())
    text = json.dumps(_told(one.name, image.digest, pair, settings, made), indent=2, ensure_ascii=False) + "\n"
    files.write_atomically(folder / "settings.json", text.encode())


def _told(
    name: str, digest: str, pair: ModelPair, settings: Settings, made: dict[str, list[Attribution]]
) -> dict[str, Any]:
    """Everything the numbers depend on, and where colours end."""
    from dataclasses import asdict
    from importlib.metadata import version

    from explorer.attribution.classes import class_name
    from explorer.version import VERSION

    roles = ("baseline", "twicing")
    return {
        "image": {"name": name, "sha256": digest},
        "models": {
            role: {"name": card.title, "source": card.source, "sha256": card.digest, "filter": list(card.filter)}
            for role, card in zip(roles, pair.cards, strict=True)
        },
        "settings": asdict(settings),
        "maps": {
            slug: {
                "method": str(both[0].method),
                "on": str(both[0].on),
                "colours_end_at": max(float(found.values.abs().max()) for found in both),
                **{
                    role: {
                        "class": found.target,
                        "class_name": class_name(card, found.target),
                        "convergence_delta": found.delta,
                    }
                    for role, card, found in zip(roles, pair.cards, both, strict=True)
                },
            }
            for slug, both in made.items()
        },
        "device": str(pair.engine.device),
        "versions": {"explorer": VERSION} | {name: version(name) for name in ("torch", "timm", "captum", "numpy")},
    }
