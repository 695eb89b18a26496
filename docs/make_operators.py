"""Makes the README's tables of operators out of the registries and of what each does to the bundled standard weights.

    python docs/make_operators.py                             writes the tables; names what is stale, if anything is
    python docs/make_operators.py --data VAL.parquet [--images 200]     measures what is missing first

`operators.json` beside this file holds the digest of the weights that it measured. An operator is finished before the
next begins and written then, so that a run that was ended goes on. Text outside the marks is not touched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from explorer import files
from explorer.measures import similarity
from explorer.measures.settings import Definition
from explorer.models import LoadedModel, load, sources, with_filter
from explorer.models.trace import states
from explorer.paper import operators
from explorer.paper.filters import FILTERS, FilterKind
from explorer.paper.kernels import KERNELS
from explorer.pictures import labelled, preprocess
from explorer.pictures.labelled import Item

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "operators.json"
README = ROOT / "README.md"
BEYOND = ("linear-twicing",)
"""Measured beside every filter on softmax attention and every kernel under the standard filter."""
BATCH = 8


def main() -> None:
    """Measures what is missing where the data are given, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="Parquet file of the validation images")
    parser.add_argument("--images", type=int, default=200, help="so many of them, drawn by their names (200)")
    options = parser.parse_args()
    if options.data:
        measure(options.data, options.images)
    for word in stale():
        print(f"{word} was not measured on the weights that ship; --data does.")
    files.write_atomically(README, written(README.read_text(encoding="utf-8")).encode())


def words() -> list[str]:
    """Every operator of the tables, under the default of its number."""
    names = [*FILTERS, *(kernel for kernel in KERNELS if kernel != "softmax"), *BEYOND]
    return [str(operators.named(name)) for name in names]


def stale() -> list[str]:
    """Operators that were not measured, or on other weights."""
    known = measured()
    is_of_these = known.get("weights", {}).get("sha256") == load(sources.bundled("standard")).card.digest
    return [word for word in words() if not is_of_these or word not in known["operators"]]


def measured() -> dict[str, Any]:
    """What was measured; nothing where there is no file."""
    read: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.is_file() else {}
    return read


def measure(data: Path, images: int) -> None:
    """Top-1 and token similarity of the standard weights under each operator that is missing, over the same images."""
    model = load(sources.bundled("standard"))
    model.module.requires_grad_(False)
    items = labelled.from_paths([data], [model.card]).at_most(images).items
    begun = {"weights": {"name": model.card.name, "sha256": model.card.digest}, "images": len(items)}
    known = measured()
    if any(known.get(key) != value for key, value in begun.items()):
        known = {**begun, "operators": {}}
    for word in words():
        if word not in known["operators"]:
            known["operators"][word] = _of_operator(model, word, items)
            files.write_atomically(MEASURED, (json.dumps(known, indent=1) + "\n").encode())
            print(word, known["operators"][word], flush=True)


@torch.inference_mode()
def _of_operator(model: LoadedModel, word: str, items: Sequence[Item]) -> dict[str, float]:
    """Hits; similarity of the tokens after the last block and its mean over all blocks, mean over images."""
    module = with_filter(model, operators.in_blocks(word, len(model.card.filter))).module
    pre, hits, curves = model.card.preprocessing, 0, []
    pictures = [(item, preprocess.model_view(image.rgb, pre)) for item, image in labelled.decoded(items, print)]
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        tokens = list(states(module, preprocess.batch([view for _, view in part], pre)))
        logits = module.forward_head(module.norm(tokens[-1]))
        hits += sum(int(top) in item.labels for top, (item, _) in zip(logits.argmax(dim=-1), part, strict=True))
        of_block = [similarity.of_tokens(each, Definition(), module.num_prefix_tokens) for each in tokens[1:]]
        curves.append(torch.stack(of_block).double())  # (L, B)
    curve = torch.cat(curves, dim=1).mean(dim=1)
    return {
        "hits": hits,
        "images": len(pictures),
        "last": round(float(curve[-1]), 4),
        "mean": round(float(curve.mean()), 4),
    }


def written(text: str) -> str:
    """The README's text with both tables made anew."""
    for mark, table in {"filters": filters(), "kernels": kernels(), "measured": [sentence()]}.items():
        start, end = f"<!-- {mark} -->\n", "<!-- end -->"
        before, marked, rest = text.partition(start)
        if not marked:
            raise SystemExit(f"The mark {mark} was expected in the README; it is not there.")
        text = f"{before}{start}{chr(10).join(table)}\n{end}{rest.partition(end)[2]}"
    return text


def filters() -> list[str]:
    """A row for each filter, on softmax attention."""
    rows = [
        f"| {_word(name, kind)} | `U = {kind.equation}` | {kind.source} | {_numbers(str(operators.named(name)))} |"
        for name, kind in FILTERS.items()
    ]
    return [
        "| filter | what it puts out | source | similarity, last block (mean) | top-1 |",
        "|---|---|---|---|---|",
        *rows,
    ]


def kernels() -> list[str]:
    """A row for each kernel, under the standard filter."""
    rows = [
        f"| `{name}` | `A = {kind.equation}` | {kind.source} | {_numbers('standard' if name == 'softmax' else name)} |"
        for name, kind in KERNELS.items()
    ]
    return ["| kernel | its matrix | source | similarity, last block (mean) | top-1 |", "|---|---|---|---|---|", *rows]


def _word(name: str, kind: FilterKind) -> str:
    if kind.parameter is None:
        return f"`{name}`"
    span = f"{kind.parameter.symbol} from {kind.parameter.low:g} to {kind.parameter.high:g}"
    return f"`{name}={kind.parameter.default:g}`, {f'any {kind.parameter.symbol}' if kind.parameter.is_open else span}"


def _numbers(word: str) -> str:
    row = measured().get("operators", {}).get(word)
    if row is None:
        return "not measured | "
    return f"{row['last']:.2f} ({row['mean']:.2f}) | {100 * row['hits'] / row['images']:.1f}%"


def sentence() -> str:
    """What the numbers are of."""
    known = measured()
    if not known:
        return "`python docs/make_operators.py --data VAL.parquet` measures what each does to the standard weights."
    beyond = ", ".join(f"`{word}` {_numbers(word).replace(' | ', ', top-1 ')}" for word in BEYOND)
    return (
        "The last columns are counterfactuals, but for the standard operator: swapped in all blocks of "
        f"{known['weights']['name']} (SHA-256 {known['weights']['sha256'][:12]}), not trained. Token similarity and "
        f"top-1 are of {known['images']} validation images of Tiny ImageNet; chance is 0.5%. Beside them: {beyond}. "
        "They say what an operator does to these weights, not how well a model trained with it does. "
        "`python docs/make_operators.py --data VAL.parquet` measures them."
    )


if __name__ == "__main__":
    main()
