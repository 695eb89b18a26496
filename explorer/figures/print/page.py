"""The sheet a figure is printed on: size in inches, fonts, and how it becomes PDF, SVG or PNG.

matplotlib's settings belong to the whole process, so figures are drawn and written one at a time, under one lock.
Nothing that differs between two runs gets into a file: no date, no random ids.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from explorer.figures.settings import Page
from explorer.settings import Option
from explorer.types import ExplorerError

INK = "#1A1A1A"
QUIET = "#6B6B6B"

# What stands in for a family where it is not installed; the first of each comes with matplotlib.
_FAMILIES = {
    "serif": ("STIXGeneral", "Times New Roman", "Times", "serif"),
    "sans": ("DejaVu Sans", "Arial", "Helvetica", "sans-serif"),
}
_SMALLEST_CHART = 0.4
_LOCK = threading.RLock()
_SALT = "twicing-explorer"
_NO_XML = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}
"""Characters that JSON leaves as they are and XML has no way to write, as JSON's escapes."""


class Format(Option):
    """What a figure is written as."""

    PDF = "pdf"
    SVG = "svg"
    PNG = "png"


@contextmanager
def settings(page: Page) -> Iterator[None]:
    """matplotlib's settings while a figure is drawn or written; one figure at a time."""
    family = _FAMILIES.get(page.font, (page.font,))[0]
    size = page.font_size
    rc: Any = {
        # Without the backend: nothing is shown in a window, and to ask which would do imports pyplot.
        **{name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"},
        "font.family": [family, "DejaVu Sans"],
        "font.size": size,
        "axes.labelsize": size,
        "axes.titlesize": size,
        "xtick.labelsize": 0.875 * size,
        "ytick.labelsize": 0.875 * size,
        "legend.fontsize": 0.875 * size,
        "mathtext.fontset": "dejavusans" if page.font == "sans" else "stix",
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": QUIET,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.linewidth": 0.07 * size,
        "xtick.major.width": 0.07 * size,
        "ytick.major.width": 0.07 * size,
        "xtick.major.size": 0.3 * size,
        "ytick.major.size": 0.3 * size,
        "lines.linewidth": 0.17 * size,
        "lines.markersize": 0.4 * size,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": _SALT,
        "path.simplify": True,
    }
    with _LOCK, mpl.rc_context(rc):
        # A name in a script that no font here has is printed as boxes, which its author sees. A filter that stays,
        # because `catch_warnings` in one thread undoes what another has set.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
        yield


def check_font(name: str) -> None:
    """Raises `ExplorerError` for a font this machine does not have."""
    if name not in _FAMILIES and name not in _installed():
        raise ExplorerError(f"The font serif, sans or one that is installed here was expected; {name[:60]!r} came.")


@cache
def _installed() -> frozenset[str]:
    return frozenset(font_manager.get_font_names())


def sheet(page: Page, height: float) -> Figure:
    """An empty white figure of the page's width and this height."""
    return Figure(figsize=(page.width, height), dpi=page.dpi, facecolor="white")


def canvas(figure: Figure) -> Axes:
    """Axes over the whole sheet in inches, from its upper left corner, without ticks or frame."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1), zorder=-1)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return axes


def check_room(width: float, height: float) -> None:
    """Raises `ExplorerError` when a chart would be smaller than can be read."""
    if min(width, height) < _SMALLEST_CHART:
        raise ExplorerError(
            f"Charts of at least {_SMALLEST_CHART} x {_SMALLEST_CHART} in were expected; {max(width, 0):.2f} x "
            f"{max(height, 0):.2f} in are left, so choose fewer of them, smaller type or a larger page."
        )


def plot_area(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes for a chart: its frame in inches from the upper left corner of the sheet."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


class Shared(AxesImage):
    """Pixels that a PDF holds once, however often they are drawn."""

    def make_image(self, renderer: Any, magnification: float = 1.0, unsampled: bool = False) -> Any:
        """As matplotlib makes it; unscaled pixels of the same array are the same object, which is what PDFs go by."""
        image, x, y, transform = super().make_image(renderer, magnification, unsampled)
        if unsampled:
            owner: Any = self.get_figure(root=True)
            pictures = owner.__dict__.setdefault("shared_pictures", {})
            image = pictures.setdefault(id(self.pixels), image)
        return image, x, y, transform

    pixels: Any = None


def place(axes: Axes, pixels: Any, left: float, top: float, width: float, height: float) -> None:
    """Lays an image on a `canvas`."""
    image = Shared(axes, interpolation="none", extent=(left, left + width, top + height, top), origin="upper")
    image.set_data(pixels)
    image.pixels = pixels
    axes.add_image(image)


def render(figure: Figure, page: Page, format: Format, metadata: Mapping[str, str]) -> bytes:
    """The file's bytes: the same figure, page and metadata give the same bytes.

    `metadata` has `Title`, `Creator`, `Keywords` and such; what the format has no place for is left out.
    """
    stream = io.BytesIO()
    with settings(page):
        figure.savefig(stream, format=format, dpi=page.dpi, metadata=_metadata(format, metadata))
    data = stream.getvalue()
    return _plain_svg(data.decode(), page).encode() if format is Format.SVG else data


def _metadata(format: Format, given: Mapping[str, str]) -> dict[str, Any]:
    if format is Format.PNG:
        return {"Software": None, **given}
    if format is Format.PDF:
        known = ("Title", "Author", "Subject", "Keywords", "Creator")
        return {"CreationDate": None, "Producer": None, **{key: given[key] for key in known if key in given}}
    places = {"Title": "Title", "Keywords": "Description"}
    metadata = {place: given[key].translate(_NO_XML) for key, place in places.items() if key in given}
    return {"Date": None, "Creator": None, **metadata}


def _plain_svg(text: str, page: Page) -> str:
    """Every image once, smooth when it is scaled; fonts with what may stand in for them."""
    family, *others = _FAMILIES.get(page.font, (page.font, "serif"))
    fallback = ", ".join([f"'{family}'", *(o if o in ("serif", "sans-serif") else f"'{o}'" for o in others)])
    text = re.sub(rf"'{re.escape(family)}'(, 'DejaVu Sans')?", fallback, text)
    defined: dict[str, str] = {}

    def use(match: re.Match[str]) -> str:
        attributes = dict(re.findall(r'([\w:]+)="([^"]*)"', match[0]))
        name = attributes["id"]
        size = f'width="{attributes["width"]}" height="{attributes["height"]}"'
        defined[name] = f'  <image id="{name}" {size} xlink:href="{attributes["xlink:href"]}"/>\n'
        opacity = f' opacity="{attributes["opacity"]}"' if "opacity" in attributes else ""
        return f'<use xlink:href="#{name}" transform="{attributes["transform"]}"{opacity}/>'

    text = re.sub(r"<image [^>]*/>", use, text)
    return text.replace("</svg>", f" <defs>\n{''.join(defined.values())} </defs>\n</svg>")
