"""Writes the tables of checkpoints/README.md anew from what `python -m explorer evaluate --json` measured.

Each run is a JSON beside the card, with the standard model first and the twicing model second. Text outside the
marks `<!-- NAME -->` and `<!-- end -->` is not touched.
"""

from __future__ import annotations

import json
from typing import Any

from explorer.models.sources import BUNDLED, BUNDLED_PAIR

RUNS = {
    "evaluation": "60 epochs, seed 0, twicing in all blocks (ships)",
    "epochs24": "24 epochs, seed 0, twicing in all blocks",
    "seed1": "24 epochs, seed 1, twicing in all blocks",
    "last3": "24 epochs, seed 0, twicing in [10-12]",
}
LAYERS = (0, 3, 6, 9, 10, 11, 12)
"""0 is the embedding, which has no residual."""

Found = dict[str, Any]


def main() -> None:
    """Reads the runs, writes the card."""
    card = BUNDLED / "README.md"
    card.write_text(written(card.read_text(encoding="utf-8")), encoding="utf-8")


def written(text: str) -> str:
    """The card's text with its tables made anew."""
    paths = {label: BUNDLED / f"{BUNDLED_PAIR}-{name}.json" for name, label in RUNS.items()}
    runs = {label: json.loads(path.read_text(encoding="utf-8")) for label, path in paths.items()}
    first = next(iter(runs.values()))
    for mark, table in {
        "accuracy": accuracy(first),
        "layers": layers(first),
        "eigenvalues": eigenvalues(first),
        "costs": costs(first),
        "runs": compare(runs),
    }.items():
        start, end = f"<!-- {mark} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found:
            raise SystemExit(f"The mark {mark} was expected in the card; it is not there.")
        text = f"{before}{start}{chr(10).join(table)}\n{end}{rest.partition(end)[2]}"
    return text


def accuracy(found: Found) -> list[str]:
    """Top-1 and top-5 of both models, their paired difference, and chance."""
    lines = ["| model | top-1 | top-5 |", "|---|---|---|"]
    lines += [f"| {variant} | {share(row['top1'])} | {share(row['top5'])} |" for variant, row in named(found)]
    (difference,) = found["differences"]
    lines.append(f"| twicing minus standard, points | {points(difference['top1'])} | {points(difference['top5'])} |")
    classes = found["models"][0]["classes"]
    return [*lines, f"| chance | {100 / classes:.1f}% | {500 / classes:.1f}% |"]


def layers(found: Found) -> list[str]:
    """Curves at a few layers, mean ± standard deviation between images."""
    heads = ["embedding", *(f"block {layer}" for layer in LAYERS[1:])]
    lines = [f"| {' | '.join(['', *heads])} |", "|---" * (len(heads) + 1) + "|"]
    for name, title, offset in (("similarity", "token similarity", 0), ("ratio", "‖A(V − AV)‖ / ‖AV‖", 1)):
        for variant, row in named(found):
            cells = [
                f"{row[name]['mean'][layer - offset]:.3f} ± {row[name]['std'][layer - offset]:.3f}"
                if layer >= offset
                else ""
                for layer in LAYERS
            ]
            lines.append(f"| {title}, {variant} | {' | '.join(cells)} |")
    return lines


def eigenvalues(found: Found) -> list[str]:
    """Counts over all layers, heads and measured images."""
    lines = [
        "| | standard | twicing |",
        "|---|---|---|",
    ]
    both = [row["eigenvalues"] for _, row in named(found)]
    wanted = {
        "eigenvalues of `A`": lambda one: f"{one['count']:,}",
        "real and not negative": lambda one: f"{100 * one['on_curve'] / one['count']:.1f}%",
        "leave the unit disc under 2λ − λ²": lambda one: f"{one['leaving']:,} ({leaving(one)})",
        "largest modulus under 2λ − λ²": lambda one: f"{one['largest']:.2f}",
    }
    return lines + [f"| {name} | {' | '.join(map(said, both))} |" for name, said in wanted.items()]


def leaving(one: Found) -> str:
    return f"{100 * one['leaving'] / one['count']:.2f}%"


def costs(found: Found) -> list[str]:
    """GFLOPs and milliseconds per image."""
    batches = list(found["models"][0]["ms_per_image"])
    lines = [
        f"| | GFLOPs | {' | '.join(f'ms per image, batches of {batch}' for batch in batches)} |",
        "|---" * (len(batches) + 2) + "|",
    ]
    for variant, row in named(found):
        times = " | ".join(f"{row['ms_per_image'][batch]:.2f}" for batch in batches)
        lines.append(f"| {variant} | {row['multiply_adds'] / 1e9:.3f} | {times} |")
    return [*lines, "", f"Medians of {found['rounds']} rounds in turn; {found['device']}."]


def compare(runs: dict[str, Found]) -> list[str]:
    """A row for each run."""
    lines = [
        "| run | standard, top-1 | twicing, top-1 | difference, points | similarity at the end: standard | twicing |",
        "|---|---|---|---|---|---|",
    ]
    for label, found in runs.items():
        (difference,) = found["differences"]
        models = found["models"]
        ends = [f"{row['similarity']['mean'][-1]:.3f} ± {row['similarity']['std'][-1]:.3f}" for row in models]
        shares = [share(row["top1"]) for row in models]
        lines.append(f"| {label} | {' | '.join([*shares, points(difference['top1']), *ends])} |")
    return lines


def named(found: Found) -> list[tuple[str, Found]]:
    return list(zip(("standard", "twicing"), found["models"], strict=True))


def share(of: list[float]) -> str:
    return "{:.1f}% ({:.1f} to {:.1f})".format(*(100 * one for one in of))


def points(of: list[float]) -> str:
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * one for one in of)).replace("-", "−")


if __name__ == "__main__":
    main()
