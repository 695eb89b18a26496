"""`python -m explorer figure`, `again` and `compare`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.cli.models import add_models, load_pair_of
from explorer.types import ExplorerError

if TYPE_CHECKING:
    from explorer.pictures.photographs import Photograph
    from explorer.serving.pair import ModelPair
    from explorer.studio import Made

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
    from explorer.cli.options import declare
    from explorer.studio.spec import Spec
    from explorer.studio.templates import LINES

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _FIGURE, _tables()
    parser.set_defaults(run=_figure)
    parser.add_argument("template", metavar="TEMPLATE", help=", ".join(LINES))
    parser.add_argument("--images", nargs="+", default=[], metavar="IMG", help=f"{_IMAGE}; {_RESULT}")
    _add_out(parser)
    add_models(parser)
    declare(parser, Spec, but=("input_size",))  # one of the models' options, for both or for each
    parser.add_argument("--operator", dest="matrix", help=argparse.SUPPRESS)  # as it was called before 0.4


def _tables() -> str:
    """The templates and the presets, a line each."""
    from explorer.studio.spec import PRESETS
    from explorer.studio.templates import LINES

    templates = "".join(f"  {name:12}{line}\n" for name, line in LINES.items())
    sizes = "\n".join(
        f"  {preset:12}{preset.label}: {sheet.width:g} x {sheet.height:g}, {sheet.font_size:g} {sheet.font}"
        for preset, sheet in PRESETS.items()
    )
    return (
        f"templates, and the figures of the paper they are like:\n{templates}\n"
        f"presets (width x height in inches, type in points):\n{sizes}"
    )


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


def _figure(options: argparse.Namespace) -> int:
    """Settings first: what is wrong with them is said before a model is loaded."""
    from explorer.cli.options import given
    from explorer.studio import make
    from explorer.studio.made import check_suffix
    from explorer.studio.parse import from_settings
    from explorer.studio.spec import Spec

    for path in options.out:
        check_suffix(path)
    spec = from_settings({"template": options.template, **given(_sized(options), Spec)})
    _save(make(spec, options.images, load_pair_of(options)), options.out)
    return 0


def _sized(options: argparse.Namespace) -> argparse.Namespace:
    """One size for both models is a setting of the figure; a size for each is of the models alone."""
    both = options.input_size if (options.input_size or "").strip("0").isdecimal() else None
    options.input_size, settings = None if both else options.input_size, argparse.Namespace(**vars(options))
    settings.input_size = both
    return settings


def _again(options: argparse.Namespace) -> int:
    from explorer import files
    from explorer.pictures.photographs import EXAMPLE
    from explorer.runs import measured
    from explorer.studio import again, record
    from explorer.studio.made import check_suffix
    from explorer.studio.template import Takes

    for path in options.out:
        check_suffix(path)
    try:
        recorded = record.read(files.read(options.record))
    except OSError as error:
        raise ExplorerError(f"{options.record} cannot be read: {error.strerror}.") from error
    beside_pair = measured.files() if recorded.spec.template.takes is Takes.RESULTS else {}
    beside = [
        name if name.startswith(EXAMPLE) or name in beside_pair else str(options.record.parent / Path(name).name)
        for name, _ in recorded.images
    ]
    for model in recorded.models:  # an operator that is not said is the record's
        name = f"{model['role']}_operator"
        if getattr(options, name) is None and model["filter"] != model.get("trained_filter"):
            setattr(options, name, record.filter_text(model["filter"]))
        if model.get("packed"):
            setattr(options, f"{model['role']}_packed", True)
    options.input_size = options.input_size or record.size_text(recorded.models)
    _save(again(recorded, options.images or beside, load_pair_of(options)), options.out)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from explorer import files
    from explorer.pictures.photographs import EXAMPLE, photograph

    pair = load_pair_of(options)
    failed = 0
    taken: set[str] = set()
    for source in options.images:
        try:
            photo = photograph(source)
            folder = options.out / free_name(Path(photo.name.removeprefix(EXAMPLE)).stem, taken)
            _write_comparison(photo, pair, folder)
        except files.UnwrittenError:
            raise  # the next image would be written no better
        except ExplorerError as error:
            print(f"explorer: {error}", file=sys.stderr)
            failed += 1
        else:
            print(folder)
    return 1 if failed else 0


def _write_comparison(photo: Photograph, pair: ModelPair, folder: Path) -> None:
    from explorer import files, notebook
    from explorer.studio import make
    from explorer.studio.spec import Preset, Spec
    from explorer.studio.templates import TEMPLATES
    from explorer.viewer.payload import TooLargeError

    page = None
    try:
        page = notebook.view(photo, pair)  # reads the image, so that a bad one leaves no folder behind
    except TooLargeError as error:
        print(f"explorer: {folder} is without viewer.html: {error}", file=sys.stderr)
    files.make_folder(folder)
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
