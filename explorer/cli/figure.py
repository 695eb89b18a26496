"""`python -m explorer figure`, `again` and `compare`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.cli.options import declare, each, given
from explorer.studio.parse import from_settings
from explorer.studio.spec import PRESETS, Preset, Spec
from explorer.studio.template import Takes
from explorer.studio.templates import TEMPLATES
from explorer.types import ROLES, ExplorerError, Filter

if TYPE_CHECKING:
    from explorer.models import LoadedModel
    from explorer.pictures.photographs import Photograph
    from explorer.serving.pair import ModelPair
    from explorer.studio import Made

_TEMPLATES = "templates, and the figures of the paper they are like:\n" + "".join(
    f"  {name:12}{template.help}\n" for name, template in TEMPLATES.items()
)
_SIZES = "presets (width x height in inches, type in points):\n" + "\n".join(
    f"  {preset:12}{preset.label}: {sheet.width:g} x {sheet.height:g}, {sheet.font_size:g} {sheet.font}"
    for preset, sheet in PRESETS.items()
)
_IMAGE = "image file, or example:NAME for a bundled one, such as example:chelsea.png"

_RESULT = "for robustness the .jsonl files of `robustness`, by default those beside the pair"
_FIGURE = """\
Makes a figure of images under two models: PDF, SVG, PNG, or a ZIP with all three, the numbers, every setting, a caption
in LaTeX and the command that makes it again. What is not set is as the template has it."""
_AGAIN = """\
Makes a figure again from what it says of itself: the JSON of its ZIP, or a PNG. Images and models are checked by their
hashes; models are the pair that opens unless they are named."""


def add_figure(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `figure`: one for each setting of a `Spec`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _FIGURE, _TEMPLATES + "\n" + _SIZES
    parser.set_defaults(run=_figure)
    parser.add_argument("template", metavar="TEMPLATE", help=", ".join(TEMPLATES))
    parser.add_argument("--images", nargs="+", default=[], metavar="IMG", help=f"{_IMAGE}; {_RESULT}")
    _add_out(parser)
    add_models(parser)
    declare(parser, Spec)
    parser.add_argument("--operator", dest="matrix", help=argparse.SUPPRESS)  # as it was called before 0.4


def add_again(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `again`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _AGAIN
    parser.set_defaults(run=_again)
    parser.add_argument("record", type=Path, metavar="FILE", help="the JSON or the PNG of a figure")
    parser.add_argument("--images", nargs="+", metavar="IMG", help="by default the files of the record, beside it")
    _add_out(parser)
    add_models(parser)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `compare`."""
    parser.description = (
        "Writes a folder for each image: maps.pdf (all layers), similarity.pdf, residual.pdf, viewer.html (the "
        "interactive viewer in one file), numbers.npz. An image that cannot be read is said and left out, as is the "
        "viewer where models have too many patches for a browser."
    )
    parser.set_defaults(run=_compare)
    parser.add_argument("images", nargs="+", metavar="IMG", help=_IMAGE)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; it is made if it is not there")
    add_models(parser)


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, nargs="+", required=True, metavar="FILE", help="figure, ending in .pdf, .svg, .png or .zip"
    )


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
    parser.add_argument(
        "--input-size",
        metavar="N[,N]",
        help="pixels on a side of the models' input instead of what they declare, for both or one for each (0: as "
        "declared); positions are resampled where they are for another size",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")


def _figure(options: argparse.Namespace) -> int:
    """Settings first: what is wrong with them is said before a model is loaded."""
    from explorer.studio import make
    from explorer.studio.made import check_suffix

    for path in options.out:
        check_suffix(path)
    spec = from_settings({"template": options.template, **given(options, Spec)})
    _save(make(spec, options.images, load_pair_of(options)), options.out)
    return 0


def _again(options: argparse.Namespace) -> int:
    from explorer.pictures.photographs import EXAMPLE
    from explorer.runs import measured
    from explorer.studio import again, record
    from explorer.studio.made import check_suffix

    for path in options.out:
        check_suffix(path)
    try:
        recorded = record.read(options.record.read_bytes())
    except OSError as error:
        raise ExplorerError(f"{options.record} cannot be read: {error.strerror}.") from error
    beside_pair = measured.files() if recorded.spec.template.takes is Takes.RESULTS else {}
    beside = [
        name if name.startswith(EXAMPLE) or name in beside_pair else str(options.record.parent / Path(name).name)
        for name, _ in recorded.images
    ]
    for model in recorded.models:  # a filter that is not said is the record's
        name = f"{model['role']}_filter"
        if getattr(options, name) is None and model["filter"] != model.get("trained_filter"):
            setattr(options, name, record.filter_text(model["filter"]))
    options.input_size = options.input_size or record.size_text(recorded.models)
    _save(again(recorded, options.images or beside, load_pair_of(options)), options.out)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from explorer.pictures.photographs import EXAMPLE, photograph

    pair = load_pair_of(options)
    failed = 0
    taken: set[str] = set()
    for source in options.images:
        try:
            photo = photograph(source)
            folder = options.out / free_name(Path(photo.name.removeprefix(EXAMPLE)).stem, taken)
            _write_comparison(photo, pair, folder)
        except ExplorerError as error:
            print(f"explorer: {error}", file=sys.stderr)
            failed += 1
        else:
            print(folder)
    return 1 if failed else 0


def _write_comparison(photo: Photograph, pair: ModelPair, folder: Path) -> None:
    from explorer import notebook
    from explorer.studio import make
    from explorer.viewer.payload import TooLargeError

    page = None
    try:
        page = notebook.view(photo, pair)  # reads the image, so that a bad one leaves no folder behind
    except TooLargeError as error:
        print(f"explorer: {folder} is without viewer.html: {error}", file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExplorerError(f"{folder} cannot be made: {error.strerror}.") from error
    if page:
        page.save(folder / "viewer.html")
    drawn = {
        "maps": make(Spec(TEMPLATES["evolution"], preset=Preset.CVPR_PAGE), [photo], pair),
        "similarity": make(Spec(TEMPLATES["similarity"]), [photo], pair),
        "residual": make(Spec(TEMPLATES["residual"]), [photo], pair),
    }
    for name, figure in drawn.items():
        figure.save(folder / f"{name}.pdf")
    _save_numbers(drawn, folder / "numbers.npz")


def _save_numbers(drawn: dict[str, Made], path: Path) -> None:
    import io

    import numpy as np

    from explorer import files

    stream = io.BytesIO()
    np.savez(
        stream,
        **{f"{name}, {key}": array for name, figure in drawn.items() for key, array in figure.numbers.items()},  # type: ignore[arg-type]
    )
    files.write_atomically(path, stream.getvalue())


def free_name(name: str, taken: set[str]) -> str:
    """A folder's name that no other image of the run has."""
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.")[:60] or "image"
    free = next(
        candidate
        for candidate in (stem, *(f"{stem}-{n}" for n in range(2, len(taken) + 3)))
        if candidate.lower() not in taken
    )
    taken.add(free.lower())
    return free


def _save(figure: Made, paths: Sequence[Path]) -> None:
    for path in paths:
        figure.save(path)
        print(path)


def load_pair_of(options: argparse.Namespace) -> ModelPair:
    """The models that `add_models` declares."""
    from explorer.serving.pair import load_pair

    return load_pair(
        options.baseline,
        options.twicing,
        baseline_filter=_filter(options.baseline_filter),
        twicing_filter=_filter(options.twicing_filter),
        input_size=_input_sizes(options.input_size),
        device=options.device,
    )


def load_models_of(options: argparse.Namespace) -> tuple[LoadedModel, LoadedModel]:
    """The same models without an engine."""
    from explorer.models.named import load_under
    from explorer.serving import device as devices

    device = devices.device_called(options.device)
    size, other = _input_sizes(options.input_size)
    return (
        load_under(options.baseline, "standard", device, _filter(options.baseline_filter), size),
        load_under(options.twicing, "twicing", device, _filter(options.twicing_filter), other),
    )


def _input_sizes(text: str | None) -> tuple[int | None, int | None]:
    """Of either model; None where it is as declared."""
    sizes = each(text or "0", int, "input-size")
    if len(sizes) > len(ROLES) or min(sizes) < 0:
        raise ExplorerError(f"input-size: pixels such as 224, or 224,384, were expected; {text!r:.60} came.")
    return sizes[0] or None, sizes[-1] or None


def _filter(text: str | None) -> Filter | float | None:
    if text is None:
        return None
    values = each(text, float, "filter")
    return values[0] if len(values) == 1 else values
