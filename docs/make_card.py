"""Makes the tables of checkpoints/README.md out of what was measured, and measures anew what other weights made stale.

    make card                                          writes the tables; names what is stale, if anything is
    make card ARGS="--data VAL.parquet --photographs FOLDER [--run RUN]"     measures that first

Measured files lie beside the card and begin as the weights do; each holds the digests of what it measured. Text outside
the marks `<!-- NAME -->` and `<!-- end -->` is not touched.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from explorer import files
from explorer.figures.words import listed
from explorer.measures import similarity
from explorer.models import load, sources
from explorer.models.sources import BUNDLED, BUNDLED_PAIR, VARIANTS
from explorer.paper import reported
from explorer.runs import measured, robustness_file
from explorer.types import ModelCard

Report = dict[str, Any]

LAYERS = (0, 1, 2, 3, 4, 6, 8, 9, 10, 11, 12)
"""Those of the table of curves; 0 is the embedding."""
IMAGES = {"evaluation": 2000, "fgsm": 200, "pgd": 40}
"""How many validation images are shown, drawn by their names: fewer are a part of more."""
COMMANDS = {
    "evaluation.json": f"evaluate {{weights}} --data {{data}} --images {IMAGES['evaluation']} --measures 100 "
    "--times 1,8 --json {out}",
    "photographs.json": "evaluate {weights} --data {photographs} --json {out}",
    "fgsm.jsonl": f"robustness {{data}} {{pair}} --images {IMAGES['fgsm']} --eps 0,0.25,0.5,1,4 --out {{out}}",
    "pgd.jsonl": f"robustness {{data}} {{pair}} --images {IMAGES['pgd']} --attack pgd --step-size 0.6 --random-start "
    "--eps 0,4 --out {out}",
}
"""What measures each file, as arguments of `python -m explorer`."""
SIZES = (224, 336, 448)
"""Pixels a side at which top-1 is measured, in one file: rows that are there are not measured again."""
SIZED = {"photographs": "{photographs}", "validation": f"{{data}} --images {measured.SIZED_IMAGES}"}
"""The images of such a row."""
PATCH = 16
"""Pixels a side of the pair's patches."""
IMAGES_OF = {"photographs": "photographs", "validation": "validation images"}


def main() -> None:
    """Measures what is stale where the data are given, then writes the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="Parquet file of the validation images")
    parser.add_argument("--photographs", type=Path, help="folder whose file names hold WordNet ids")
    parser.add_argument("--run", type=Path, help="folder of the run that made the weights, for its curve")
    options = parser.parse_args()
    if options.run:
        files.write_atomically(beside("log.csv"), curve(options.run).encode())
    for name in stale():
        if not options.data or not options.photographs:
            sys.exit(f"{beside(name).name} is not of the weights that ship; --data and --photographs measure it anew.")
        measure(name, options)
    for name, side in missing_sizes():
        if not options.data or not options.photographs:
            print(
                f"Top-1 at {side} px on {name} was not measured of the weights that ship; --data and --photographs do."
            )
        else:
            measure_size(name, side, options)
    card = BUNDLED / "README.md"
    files.write_atomically(card, written(card.read_text(encoding="utf-8")).encode())


def beside(name: str) -> Path:
    """A measured file of the bundled pair."""
    return BUNDLED / f"{BUNDLED_PAIR}-{name}"


def stale() -> list[str]:
    """The measured files that are not there, of other weights, of too few images, or without a number of the card."""
    digests = [load(sources.bundled(variant)).card.digest for variant in VARIANTS]
    return [
        name
        for name in COMMANDS
        if not beside(name).is_file()
        or measured_digests(name) != digests
        or measured_images(name) < fewest(name)
        or (name == "evaluation.json" and any("vanishing" not in row["eigenvalues"] for _, row in named(report(name))))
    ]


def fewest(name: str) -> int:
    """So many images a measured file holds at least; of photographs, as many as there are."""
    return IMAGES.get(name.partition(".")[0], 1)


def measured_digests(name: str) -> list[str]:
    """The weights that a file is of."""
    is_sweep = name.endswith(".jsonl")
    models = robustness_file.read(beside(name)).settings["models"] if is_sweep else report(name)["models"]
    return [model["sha256"] for model in models]


def measured_images(name: str) -> int:
    """So many images a file holds."""
    if name.endswith(".jsonl"):
        return len(robustness_file.read(beside(name)).ranks)
    return int(report(name)["models"][0]["images"])


def report(name: str) -> Report:
    """What `evaluate` wrote."""
    read: Report = json.loads(beside(name).read_text(encoding="utf-8"))
    return read


def measure(name: str, options: argparse.Namespace) -> None:
    """Runs the command behind a file, beginning anew unless it holds a part of the same."""
    standard, twicing = (str(sources.bundled(variant)) for variant in VARIANTS)
    places = {
        "{weights}": [standard, twicing],
        "{pair}": ["--baseline", standard, "--twicing", twicing],
        "{data}": [str(options.data)],
        "{photographs}": [str(options.photographs)],
        "{out}": [str(beside(name))],
    }
    if beside(name).is_file() and measured_digests(name) != [
        load(Path(path)).card.digest for path in (standard, twicing)
    ]:
        beside(name).unlink()
    arguments = [word for part in COMMANDS[name].split() for word in places.get(part, [part])]
    subprocess.run([sys.executable, "-m", "explorer", *arguments], check=True)


def missing_sizes() -> list[tuple[str, int]]:
    """Images and sizes at which top-1 of the weights that ship was not measured."""
    known = sized([load(sources.bundled(variant)).card for variant in VARIANTS]) or {}
    return [(name, side) for side in SIZES for name in SIZED if name not in known.get(side, {})]


def sized(cards: Sequence[ModelCard]) -> dict[int, dict[str, measured.SizedAccuracy]] | None:
    """What was measured of the bundled pair, whichever pair opens."""
    return measured.sizes(cards, BUNDLED / BUNDLED_PAIR)


def measure_size(name: str, side: int, options: argparse.Namespace) -> None:
    """Adds a row to the file of sizes, which begins anew where it is of other weights."""
    cards = [load(sources.bundled(variant)).card for variant in VARIANTS]
    places = {"{data}": [str(options.data)], "{photographs}": [str(options.photographs)]}
    data = [word for part in SIZED[name].split() for word in places.get(part, [part])]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        models = [str(sources.bundled(variant)) for variant in VARIANTS]
        command = ["evaluate", *models, "--data", *data, "--input-size", str(side), "--json", str(out)]
        subprocess.run([sys.executable, "-m", "explorer", *command], check=True)
        of = json.loads(out.read_text(encoding="utf-8"))
    path = beside(measured.SIZES)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if sized(cards) else []
    row = {"data": name, "input_size": side, "images": of["models"][0]["images"]}
    row |= {"top1": [model["top1"] for model in of["models"]], "difference": of["differences"][0]["top1"]}
    text = json.dumps({"models": [card.digest for card in cards], "rows": [*rows, row]}, indent=1)
    files.write_atomically(path, f"{text}\n".encode())


def curve(run: Path) -> str:
    """The lines of a run's logs up to its newest decay, and that decay's, as CSV."""
    names = (
        "step",
        "images",
        "decay",
        "size",
        "loss",
        "crops_top1",
        "validation_loss",
        "validation_top1",
        "core_seconds",
    )
    stream = io.StringIO()
    rows = csv.DictWriter(stream, ("model", *names), extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    for variant in VARIANTS:
        lines = [json.loads(line) for line in (run / variant / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        newest = max(line["decay"] or 0 for line in lines)
        kept = [line for line in lines if line["decay"] == newest or (line["decay"] is None and line["step"] <= newest)]
        rows.writerows({"model": variant, **line} for line in kept)
    return stream.getvalue()


def written(text: str) -> str:
    """The card's text with its tables made anew."""
    evaluation, photographs = report("evaluation.json"), report("photographs.json")
    for mark, table in {
        "accuracy": accuracy(evaluation),
        "claims": claims(evaluation),
        "layers": layers(evaluation),
        "eigenvalues": eigenvalues(evaluation),
        "attacks": attacks(),
        "photographs": accuracy(photographs),
        "costs": costs(evaluation),
        "sizes": by_size(),
    }.items():
        start, end = f"<!-- {mark} -->\n", "<!-- end -->"
        before, marked, rest = text.partition(start)
        if not marked:
            raise SystemExit(f"The mark {mark} was expected in the card; it is not there.")
        text = f"{before}{start}{chr(10).join(table)}\n{end}{rest.partition(end)[2]}"
    return text


def accuracy(of: Report) -> list[str]:
    """Top-1 and top-5 of both models, their paired difference, and chance."""
    images = of["models"][0]["images"]
    lines = [f"| {images:,} images | top-1 | top-5 |", "|---|---|---|"]
    lines += [f"| {variant} | {share(row['top1'])} | {share(row['top5'])} |" for variant, row in named(of)]
    (difference,) = of["differences"]
    lines.append(f"| twicing minus standard, points | {points(difference['top1'])} | {points(difference['top5'])} |")
    classes = of["models"][0]["classes"]
    return [*lines, f"| chance | {100 / classes:.1f}% | {500 / classes:.1f}% |"]


def claims(of: Report) -> list[str]:
    """What the paper claims of twicing, beside this pair: holds here, does not, or was not tested."""
    clean, under_fgsm, under_pgd = reported.TOP1
    (difference,) = of["differences"]
    fgsm, pgd = (robustness_file.read(beside(name)) for name in ("fgsm.jsonl", "pgd.jsonl"))
    operations = [f"{row['multiply_adds'] / 1e9:.2f}" for _, row in named(of)]
    real = [real_share(row["eigenvalues"]) for _, row in named(of)]
    rows = [
        ("accuracy is a little higher", papers(clean), *gained(difference["top1"])),
        (
            "tokens are less alike after every block, and stay below three-quarters",
            "Fig. 2, Fig. 8",
            *kept_apart(of, "similarity", "after", below=reported.THREE_QUARTERS),
        ),
        (
            "the same of attention's outputs",
            "not in the paper; so measured in the code of Elliptical Attention, by the same group",
            *kept_apart(of, "output_similarity", "in"),
        ),
        ("more answers hold under FGSM at 4/255", papers(under_fgsm), *gained(at(fgsm, 4))),
        ("more answers hold under PGD at 4/255", papers(under_pgd), *gained(at(pgd, 4))),
        (
            "eigenvalues in [0, 1] stay there",
            "Sec. 3.2, for real ones",
            f"of those of A that are not 0 in float32 {' and '.join(real)} are real and not negative",
            "assumes what A here is not",
        ),
        (
            "maps lie on more of the object",
            "Fig. 1, 10, 11",
            "maps of both lie on objects, as those of the start did",
            "no evidence either way",
        ),
        ("twicing costs little", papers(reported.GFLOPS, " GFLOPs"), f"{' → '.join(operations)} GFLOPs", "holds here"),
        ("SPSA; ImageNet-A, -R, -C; segmentation; language; [7-12], [10-12]", "its other tables", "", "not tested"),
    ]
    lines = ["| the paper's claim for twicing | where, standard → twicing | here | verdict |", "|---|---|---|---|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def papers(row: reported.Reported, unit: str = "%") -> str:
    return f"{row.where}: {row.standard:.2f} → {row.twicing:.2f}{unit}"


def kept_apart(of: Report, name: str, where: str, below: float = 1.0) -> tuple[str, str]:
    """Where the twicing model's curve of a similarity lies, and whether that is under the standard one's throughout."""
    standard, twicing = (torch.tensor(row[name]["mean"])[-depth(of) :] for _, row in named(of))
    order = similarity.order(twicing, standard)
    by_word = {"less alike": order.below, "more alike": order.above, "as alike": order.level}
    blocks = ", ".join(
        f"{word} {where} {'blocks' if len(layers) > 1 else 'block'} {listed(layers)}"
        for word, layers in by_word.items()
        if layers
    )
    return f"{blocks}; at most {twicing.max():.2f}", verdict(
        len(order.below) == len(twicing) and bool(twicing.max() < below)
    )


def depth(of: Report) -> int:
    """Blocks of the models: the curve of the tokens begins with the embedding."""
    return len(of["models"][0]["filter"])


def verdict(holds: bool) -> str:
    return "holds here" if holds else "does not hold here"


def gained(of: Sequence[float]) -> tuple[str, str]:
    """A paired difference, and whether it is above noise."""
    _, low, high = of
    return f"{points(of)} points", verdict(low > 0) if low > 0 or high < 0 else "not decided: within noise"


def at(result: robustness_file.Result, eps: float) -> tuple[float, float, float]:
    return result.difference(place_of(result, eps))


def place_of(result: robustness_file.Result, eps: float) -> int:
    return [round(255 * each, 6) for each in result.settings["eps"]].index(eps)


def layers(of: Report) -> list[str]:
    """Curves at a few layers, mean ± standard deviation between images."""
    heads = ["embedding", *(str(layer) for layer in LAYERS[1:])]
    lines = [f"| {' | '.join(['', *heads])} |", "|---" * (len(heads) + 1) + "|"]
    for name, title, offset in (
        ("similarity", "similarity of tokens", 0),
        ("output_similarity", "of attention outputs", 1),
        ("ratio", "‖A(V − AV)‖ / ‖AV‖", 1),
    ):
        for variant, row in named(of):
            cells = [
                f"{row[name]['mean'][layer - offset]:.2f} ± {row[name]['std'][layer - offset]:.2f}"
                if layer >= offset
                else ""
                for layer in LAYERS
            ]
            lines.append(f"| {title}, {variant} | {' | '.join(cells)} |")
    return lines


def eigenvalues(of: Report) -> list[str]:
    """Counts over all layers, heads and measured images."""
    both = [row["eigenvalues"] for _, row in named(of)]
    said: dict[str, Callable[[Report], str]] = {
        "eigenvalues of `A`": lambda row: f"{row['count']:,}",
        "not to be told from 0 in float32": lambda row: f"{100 * row['vanishing'] / row['count']:.1f}%",
        "real and not negative, of the others": real_share,
        "leave the unit disc under 2λ − λ²": lambda row: (
            f"{row['leaving']:,} ({100 * row['leaving'] / row['count']:.2f}%)"
        ),
        "largest modulus under 2λ − λ²": lambda row: f"{row['largest']:.2f}",
    }
    rows = [f"| {name} | {' | '.join(map(words, both))} |" for name, words in said.items()]
    return ["| | standard | twicing |", "|---|---|---|", *rows]


def real_share(row: Report) -> str:
    """Real and not negative among the eigenvalues that can be told from 0."""
    return f"{100 * row['on_curve'] / (row['count'] - row['vanishing']):.1f}%"


def attacks() -> list[str]:
    """Top-1 of both models under each attack and budget, and the paired difference."""
    lines = ["| attack | eps, 255ths | images | standard | twicing | difference, points |", "|---|---|---|---|---|---|"]
    for name, title in (("fgsm.jsonl", "FGSM"), ("pgd.jsonl", "PGD, 20 steps of 0.15 eps, random start")):
        result = robustness_file.read(beside(name))
        for place, eps in enumerate(result.settings["eps"]):
            shares = [
                (row.accuracy[place].top1, *row.accuracy[place].interval(row.accuracy[place].top1))
                for row in result.white_box
            ]
            cells = [
                title if eps else "none",
                f"{255 * eps:g}",
                str(len(result.ranks)),
                *map(share, shares),
                points(result.difference(place)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def by_size() -> list[str]:
    """Top-1 of both models at each size of the input, and the paired difference of the two."""
    known = sized([load(sources.bundled(variant)).card for variant in VARIANTS])
    if not known:
        return ["Not measured of these weights."]
    lines = ["| input | patches | images | standard | twicing | twicing minus standard, points |", "|---" * 6 + "|"]
    for side, by_data in sorted(known.items()):
        for name, row in by_data.items():
            cells = [f"{side} px", f"{side // PATCH}x{side // PATCH}", f"{row.images} {IMAGES_OF[name]}"]
            lines.append(f"| {' | '.join([*cells, *map(share, row.top1), points(row.difference)])} |")
    return lines


def costs(of: Report) -> list[str]:
    """GFLOPs and milliseconds per image."""
    batches = list(of["models"][0]["ms_per_image"])
    lines = [
        f"| | GFLOPs | {' | '.join(f'ms per image, batches of {batch}' for batch in batches)} |",
        "|---" * (len(batches) + 2) + "|",
    ]
    for variant, row in named(of):
        times = " | ".join(f"{row['ms_per_image'][batch]:.1f}" for batch in batches)
        lines.append(f"| {variant} | {row['multiply_adds'] / 1e9:.2f} | {times} |")
    return [*lines, "", f"Medians of {of['rounds']} rounds in turn; {of['device']}."]


def named(of: Report) -> list[tuple[str, Report]]:
    return list(zip(VARIANTS, of["models"], strict=True))


def share(of: Sequence[float]) -> str:
    return "{:.1f}% ({:.1f} to {:.1f})".format(*(100 * part for part in of))


def points(of: Sequence[float]) -> str:
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * part for part in of)).replace("-", "−")


if __name__ == "__main__":
    main()
