"""`python -m explorer import-weights`: a start for training out of weights of others."""

from __future__ import annotations

import argparse
from pathlib import Path

_ABOUT = """\
Makes a DeiT without a classifier out of a vision transformer like DINOv2's, of any patch size and number of positions:
LayerScale is folded into the layers it scales, patch embedding and positions are resampled. FILE is ONNX, safetensors
or torch's own, with timm's or Hugging Face's names; reading ONNX needs the package onnx.

Before anything is resampled, the folded weights are compared with the unfolded transformer in float64, and what was
read from an ONNX file with what the file itself computes. `train --init` reads what comes out; its metadata, and those
of whatever is trained from it, name origin and licences."""
_CODES = "exit codes: 0 done, 2 something is wrong and said, 130 interrupted"


def add_import_weights(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `import-weights` and what runs it."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _CODES
    parser.set_defaults(run=run)
    parser.add_argument("file", type=Path, metavar="FILE", help="the weights of others")
    parser.add_argument("--architecture", required=True, help="of the start, such as deit_small_patch16_224")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the start, a safetensors file")
    parser.add_argument("--origin", help="who made the weights and where they are from; needed if FILE does not say")
    parser.add_argument("--license", help="under which licences they may be used; needed if FILE does not say")


def run(options: argparse.Namespace) -> int:
    """Runs `import-weights` and prints what was compared and changed."""
    from explorer.models import starts

    done = starts.convert(options.file, options.out, options.architecture, options.origin, options.license)
    print(f"{done.source.name}: sha256 {done.source.digest}")
    print(f"folded against unfolded, float64: {done.fold_error:.1e} of the largest value")
    if done.graph_error is not None:
        print(f"read weights against the graph, float32: {done.graph_error:.1e} of the largest value")
    for change in done.changes:
        print(change)
    print(f"{options.out}: sha256 {starts.load_start(options.out).digest}")
    return 0
