"""`python -m explorer attribute`: maps of what a class rests on, for images and two models."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.attribution.result import Attribution
    from explorer.attribution.settings import AttributionSettings, Method
    from explorer.attribution.trust import Trust
    from explorer.pictures.photographs import Photograph
    from explorer.serving.pair import ModelPair

_ABOUT = """\
Writes a folder for each image: METHOD-baseline.png and METHOD-twicing.png (the map over the crop the models saw,
both on one scale, red for the class and blue against it), maps.npz (the numbers) and settings.json (all of it).
With --faithfulness also faithfulness.csv (AUCs of deletion and insertion, infidelity, sensitivity), curves.csv
(deletion and insertion) and correlations.csv (rank correlations between methods and between the models).
An image that cannot be read is said and left out. Attention is not attribution: these maps are about a class."""
_IMAGE = "image file, or example:NAME for a bundled one, such as example:chelsea.png"


def add_attribute(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `attribute` and what runs it."""
    from explorer.attribution.settings import AttributionSettings, Method
    from explorer.cli.models import add_models
    from explorer.cli.options import declare

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _ABOUT
    parser.set_defaults(run=run)
    parser.add_argument("images", nargs="+", metavar="IMG", help=_IMAGE)
    parser.add_argument(
        "--method",
        default="integrated-gradients",
        metavar="NAME[,NAME...]",
        help=f"{', '.join(Method)}, or all (integrated-gradients)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; it is made if it is not there")
    parser.add_argument(
        "--class",
        dest="target",
        metavar="CLASS",
        help="name, WordNet id or number; each model's first choice by default",
    )
    declare(parser, AttributionSettings)
    parser.add_argument(
        "--faithfulness",
        action="store_true",
        help="measure how far each map can be trusted, and whether methods and models agree",
    )
    add_models(parser)


def run(options: argparse.Namespace) -> int:
    """Runs `attribute`; the bar counts maps and is drawn on a terminal only."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    from explorer import files
    from explorer.attribution.settings import AttributionSettings
    from explorer.cli.figure import free_name
    from explorer.cli.models import load_pair_of
    from explorer.cli.options import given
    from explorer.pictures.photographs import EXAMPLE, photograph
    from explorer.types import ExplorerError

    methods, settings = _methods(options.method), AttributionSettings(**given(options, AttributionSettings))
    pair = load_pair_of(options)
    targets = _targets(pair, options.target)
    failed = 0
    taken: set[str] = set()
    with tqdm(total=2 * len(methods) * len(options.images), unit=" maps", disable=not sys.stderr.isatty()) as bar:
        for source in options.images:
            try:
                photo = photograph(source)
                folder = options.out / free_name(Path(photo.name.removeprefix(EXAMPLE)).stem, taken)
                _write(photo, pair, methods, settings, targets, folder, bar, options.faithfulness)
            except files.UnwrittenError:
                raise  # the next image would be written no better
            except ExplorerError as error:
                tqdm.write(f"explorer: {error}", file=sys.stderr)
                failed += 1
            else:
                print(folder)
    return 1 if failed else 0


def _methods(text: str) -> list[Method]:
    from explorer.attribution.settings import Method

    return list(Method) if text == "all" else list(dict.fromkeys(Method.called(part) for part in text.split(",")))


def _targets(pair: ModelPair, name: str | None) -> list[int | None]:
    from explorer.models.classes import class_index

    if name is None:
        return [None, None]
    return [class_index(card, name) for card in pair.cards]


def _write(
    photo: Photograph,
    pair: ModelPair,
    methods: list[Method],
    settings: AttributionSettings,
    targets: list[int | None],
    folder: Path,
    bar: Any,
    is_judged: bool,
) -> None:
    import io

    import numpy as np

    from explorer import files
    from explorer.attribution import trust
    from explorer.figures import maps as figures
    from explorer.figures.settings import Look
    from explorer.figures.style import Range
    from explorer.jobs.attributions import AttributionJob, TrustJob
    from explorer.pictures import preprocess
    from explorer.serving.engine import ask
    from explorer.types import ROLES

    image = photo.open()
    maps: dict[str, list[Attribution]] = {}
    judged: dict[str, list[Trust]] = {}
    for method in methods:
        for card, target in zip(pair.cards, targets, strict=True):
            job = AttributionJob(method, target, settings)
            attribution = ask(pair.engine, job, [image], card.key)
            maps.setdefault(method.value, []).append(attribution)
            if is_judged:
                jobs = [TrustJob(job, quantity, attribution) for quantity in trust.QUANTITIES]
                measured = trust.Trust(*(ask(pair.engine, trust_job, [image], card.key) for trust_job in jobs))
                judged.setdefault(method.value, []).append(measured)
            bar.update()
    files.make_folder(folder)
    arrays = {}
    for slug, both in maps.items():
        values = [of_model.values.numpy() for of_model in both]
        span = Range.of(*values, signed=both[0].method.is_signed)
        for role, card, array in zip(ROLES, pair.cards, values, strict=True):
            drawn = figures.draw(preprocess.sharp_view(image.rgb, card.preprocessing), array, span, Look(opacity=0.9))
            files.write_atomically(folder / f"{slug}-{role}.png", figures.png(drawn))
            arrays[f"{slug}, {role}"] = array
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # its signature takes no dict of arrays
    files.write_atomically(folder / "maps.npz", stream.getvalue())
    metadata = _metadata(photo.name, image.digest, pair, settings, maps)
    if is_judged:
        metadata["faithfulness"] = dict(trust.DEFINITIONS)
        for name, rows in _tables(pair, maps, judged).items():
            files.write_atomically(folder / f"{name}.csv", rows.encode())
    text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    files.write_atomically(folder / "settings.json", text.encode())


def _tables(pair: ModelPair, maps: dict[str, list[Attribution]], judged: dict[str, list[Trust]]) -> dict[str, str]:
    """CSV by name: numbers by map, curves by map and share, and rank correlations by two maps."""
    from explorer.attribution.trust import agreement
    from explorer.models.classes import class_name
    from explorer.types import ROLES

    kinds = ("deletion", "insertion")
    numbers: list[tuple[Any, ...]] = [
        ("method", "model", "class", *(f"{kind}_auc{end}" for end in ("", "_at_random") for kind in kinds),
         "infidelity_logits2", "sensitivity")
    ]  # fmt: skip
    curves: list[tuple[Any, ...]] = [
        ("method", "model", "share", *(f"{kind}{end}" for end in ("", "_at_random") for kind in kinds))
    ]
    for slug, both in judged.items():
        for role, card, attribution, trust in zip(ROLES, pair.cards, maps[slug], both, strict=True):
            four = [getattr(which, kind) for which in (trust.curves, trust.at_random) for kind in kinds]
            aucs = [curve.auc for curve in four]
            numbers.append(
                (slug, role, class_name(card, attribution.target), *aucs, trust.infidelity, trust.sensitivity)
            )
            columns = [four[0].share.tolist(), *(curve.probability.tolist() for curve in four)]
            curves += [(slug, role, *row) for row in zip(*columns, strict=True)]
    within, between = agreement(list(zip(*maps.values(), strict=True)))
    pairs: list[tuple[Any, ...]] = [("method", "model", "other_method", "other_model", "rank_correlation")]
    for role, table in zip(ROLES, within, strict=True):
        pairs += [(a, role, b, role, table[i, j]) for i, a in enumerate(maps) for j, b in enumerate(maps) if i < j]
    pairs += [(slug, ROLES[0], slug, ROLES[1], value) for slug, value in zip(maps, between, strict=True)]
    return {"faithfulness": _csv(numbers), "curves": _csv(curves), "correlations": _csv(pairs)}


def _csv(rows: list[tuple[Any, ...]]) -> str:
    import csv
    import io

    from explorer import files

    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(map(files.cells, rows))
    return stream.getvalue()


def _metadata(
    name: str, digest: str, pair: ModelPair, settings: AttributionSettings, maps: dict[str, list[Attribution]]
) -> dict[str, Any]:
    """Everything the numbers depend on, and where colours end."""
    from dataclasses import asdict

    from explorer import provenance
    from explorer.models.classes import class_name
    from explorer.types import ROLES

    return {
        "image": provenance.of_image(name, digest),
        "models": provenance.of_pair(pair.cards),
        "settings": asdict(settings),
        "maps": {
            slug: {
                "method": both[0].method.label,
                "on": str(both[0].on),
                "unit": both[0].method.unit or None,
                "colours_end_at": max(float(attribution.values.abs().max()) for attribution in both),
                **{
                    role: {
                        "class": attribution.target,
                        "class_name": class_name(card, attribution.target),
                        "convergence_delta": attribution.delta,
                    }
                    for role, card, attribution in zip(ROLES, pair.cards, both, strict=True)
                },
            }
            for slug, both in maps.items()
        },
        "device": str(pair.engine.device),
        "versions": provenance.versions(("torch", "timm", "captum", "numpy")),
    }
