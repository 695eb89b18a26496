"""Figures of nonlocal means: the weight matrix of a crop, its spectrum, and what iterating leaves of it."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from explorer.figures.maps import data_uri
from explorer.figures.screen.chart import Chart, chart, stops
from explorer.figures.settings import ColourMap
from explorer.figures.style import Palette, Range, colour_scale, lookup_table, scale_name
from explorer.lessons.nonlocal_means import FloatPicture
from explorer.lessons.quality import Quality
from explorer.paper import theory
from explorer.types import ExplorerError, Picture

Enlarged = UInt8[np.ndarray, "rows columns 3"]
_GAP = 0.04
"""Between panels, in widths of a panel."""
_DASHES = ("solid", "dash", "dashdot", "dot")


def as_picture(picture: FloatPicture) -> Picture:
    """Intensities as pixels, clipped to [0, 1] only here; one channel becomes grey."""
    pixels = (np.clip(picture, 0.0, 1.0) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def residual_range(*residuals: FloatPicture) -> Range:
    """A shared range around 0 for residuals that stand side by side."""
    return Range.of(*(_mean(residual) for residual in residuals), signed=True)


def residual(values: FloatPicture, range: Range) -> Picture:
    """The mean over the channels of a residual in diverging colours centred at 0."""
    table = lookup_table("diverging")
    return table[(range.unit(_mean(values)) * 255).round().astype(np.uint8)]


def weights(values: Float[np.ndarray, "height width"], range: Range, *, log: bool = False) -> Picture:
    """Weights as a map, one pixel each; `log` colours by the logarithm, for a range that starts above 0."""
    if log:
        values = np.log10(np.maximum(values, range.low))
        range = Range(math.log10(range.low), math.log10(range.high))
    return lookup_table("cividis")[(range.unit(values) * 255).round().astype(np.uint8)]


def outlined(pixels: Picture, box: tuple[int, int, int, int], width: int = 1) -> Picture:
    """A frame of `width` px, white within black, just outside `(top, left, bottom, right)`."""
    framed = pixels.copy()
    top, left, bottom, right = box
    for colour, outer in ((0, 2 * width), (255, width)):
        here = slice(max(0, top - outer), bottom + outer), slice(max(0, left - outer), right + outer)
        framed[here] = colour
    framed[top:bottom, left:right] = pixels[top:bottom, left:right]
    return framed


def enlarged(pixels: Picture, factor: int) -> Enlarged:
    """Every pixel `factor` times as wide and high."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def panels(rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]], palette: Palette, *, height: int = 300) -> Chart:
    """Pictures of one size in rows, as one figure without axes; each is one unit wide."""
    figure = chart(palette, height=height, x="", y="")
    tall = rows[0][0].shape[0] / rows[0][0].shape[1]
    across, down = 1 + _GAP, tall + _GAP
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            place = {"x": x * across, "y": y * down, "sizex": 1, "sizey": tall}
            figure.add_layout_image(source=data_uri(pixels), xref="x", yref="y", sizing="stretch", **place)
    wide = max(map(len, rows))
    figure.update_xaxes(range=[0, wide * across - _GAP], visible=False, constrain="domain")
    figure.update_yaxes(range=[len(rows) * down - _GAP, 0], visible=False, constrain="domain", scaleanchor="x")
    return figure


def weight_matrix(
    matrix: Float[np.ndarray, "query key"],
    range: Range,
    palette: Palette,
    *,
    colour_map: ColourMap = ColourMap.CIVIDIS,
    log: bool = False,
    height: int = 460,
) -> Chart:
    """A weight matrix as a picture, one dot an entry, with its colour bar; a signed range gets diverging colours.

    `log` colours by the logarithm, for a range that starts above 0: the few weights of a pixel's twins otherwise leave
    all others at the bottom of the scale. A picture, because 1024 pixels make a million entries.
    """
    if log:
        if range.low <= 0:
            raise ExplorerError(f"A range that starts above 0 was expected for a logarithm; {range.low:g} came.")
        matrix = np.log10(np.maximum(matrix, range.low))
        range = Range(math.log10(range.low), math.log10(range.high))
    name = scale_name(colour_map, Range(0.0, 1.0) if log else range)
    count = len(matrix)
    figure = chart(palette, height=height, x="pixel j", y="pixel i")
    figure.add_layout_image(
        source=_indexed_uri((range.unit(matrix) * 255).round().astype(np.uint8), lookup_table(name)),
        x=-0.5,
        y=-0.5,
        sizex=count,
        sizey=count,
        xref="x",
        yref="y",
        sizing="stretch",
        layer="below",
    )
    bar: dict[str, object] = {"thickness": 10, "title": {"text": "weight"}}
    if log:
        powers = np.arange(math.ceil(range.low), math.floor(range.high) + 1)
        bar |= {"tickvals": powers, "ticktext": [f"10<sup>{power}</sup>" for power in powers]}
    marker = {"color": [range.low], "cmin": range.low, "cmax": range.high, "colorscale": stops(colour_scale(name))}
    figure.add_scatter(
        x=[0],
        y=[0],
        mode="markers",
        marker={**marker, "opacity": 0, "showscale": True, "colorbar": bar},
        showlegend=False,
        hoverinfo="skip",
    )
    figure.update_xaxes(range=[-0.5, count - 0.5], constrain="domain", showgrid=False, zeroline=False)
    figure.update_yaxes(range=[count - 0.5, -0.5], scaleanchor="x", constrain="domain", showgrid=False, zeroline=False)
    return figure


def spectrum(
    eigenvalues: Float[np.ndarray, " query"], times: Sequence[int], palette: Palette, *, height: int = 380
) -> Chart:
    """What `λ^n` and `(2λ - λ²)^n` leave of every eigenvalue, by rank on a log axis."""
    figure = chart(palette, height=height, x="rank", y="what is left of it")
    rank = np.arange(1, len(eigenvalues) + 1)
    for index, n in enumerate(times):
        dash = _DASHES[index % len(_DASHES)]
        for values, name, colour in (
            (theory.standard_power(eigenvalues, n), f"λ<sup>{n}</sup>", palette.baseline),
            (theory.twicing_power(eigenvalues, n), f"(2λ − λ²)<sup>{n}</sup>", palette.twicing),
        ):
            figure.add_scatter(
                x=rank,
                y=values,
                mode="lines",
                name=name,
                line={"color": colour, "dash": dash, "width": 2.2},
                hovertemplate="rank %{x}: %{y:.4g}<extra>" + name + "</extra>",
            )
    figure.update_xaxes(type="log", showgrid=False, tickvals=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
    figure.update_yaxes(rangemode="tozero")
    return figure


def likeness(
    by_model: Sequence[tuple[str, Float[np.ndarray, "layer head"]]],
    nlm: float,
    palette: Palette,
    *,
    chosen: Sequence[tuple[int, int]] = (),
    height: int = 360,
) -> Chart:
    """How much AV resembles V in every head of each model, by layer; the chosen heads ringed, nonlocal means dashed."""
    figure = chart(palette, height=height, x="layer", y="correlation of AV with V")
    depth = max(len(values) for _, values in by_model)
    for index, ((name, values), colour) in enumerate(zip(by_model, palette.models, strict=False)):
        layer, head = (places.ravel() + 1 for places in np.indices(values.shape))
        aside = 0.12 * (2 * index - 1)
        figure.add_scatter(
            x=layer + aside,
            y=values.ravel(),
            mode="markers",
            name=html.escape(name),
            customdata=np.stack([layer, head], axis=-1),
            marker={"color": colour, "size": 8, "symbol": ("circle", "diamond")[index]},
            hovertemplate="layer %{customdata[0]}, head %{customdata[1]}: %{y:.2f}<extra></extra>",
        )
        if index < len(chosen):
            row, column = chosen[index]
            figure.add_scatter(
                x=[row + 1 + aside],
                y=[values[row, column]],
                mode="markers",
                marker={"color": palette.text, "size": 14, "symbol": "circle-open", "line": {"width": 2}},
                showlegend=False,
                hoverinfo="skip",
            )
    figure.add_hline(y=0, line={"color": palette.grid, "width": 2})
    figure.add_hline(
        y=nlm,
        line={"color": palette.theory, "dash": "dash", "width": 1.5},
        annotation={"text": "nonlocal means", "font": {"color": palette.theory}},
    )
    figure.update_xaxes(tickvals=list(range(1, depth + 1)), range=[0.5, depth + 0.5], showgrid=False, zeroline=False)
    figure.update_yaxes(range=[-1.05, 1.05])
    return figure


def quality_by_times(
    standard: Mapping[int, Quality],
    twicing: Mapping[int, Quality],
    noisy: Quality,
    palette: Palette,
    *,
    measure: str = "psnr",
    height: int = 300,
) -> Chart:
    """PSNR (`psnr`, dB) or SSIM (`ssim`) of both filters against how often they were applied; noisy dashed."""
    label = {"psnr": "PSNR, dB", "ssim": "SSIM"}[measure]
    figure = chart(palette, height=height, x="n, times the filter is applied", y=label)
    for qualities, name, colour, symbol in (
        (standard, "A<sup>n</sup>V", palette.baseline, "circle"),
        (twicing, "(2A − A²)<sup>n</sup>V", palette.twicing, "diamond"),
    ):
        times = sorted(qualities)
        figure.add_scatter(
            x=times,
            y=[getattr(qualities[n], measure) for n in times],
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2.5},
            marker={"symbol": symbol, "size": 8},
            hovertemplate="n = %{x}: %{y:.3g}<extra>" + name + "</extra>",
        )
    figure.add_hline(
        y=getattr(noisy, measure),
        line={"color": palette.theory, "dash": "dash", "width": 1.5},
        annotation={"text": "noisy", "font": {"color": palette.theory}},
    )
    figure.update_xaxes(tickvals=sorted({*standard, *twicing}), showgrid=False)
    return figure


def _indexed_uri(indices: UInt8[np.ndarray, "query key"], table: UInt8[np.ndarray, "256 3"]) -> str:
    """A PNG data URI with a byte per dot and the colours as its palette: a third of the bytes, and of the time."""
    image = Image.fromarray(indices)
    image.putpalette(table.tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _mean(picture: FloatPicture) -> Float[np.ndarray, "height width"]:
    return np.asarray(picture.mean(axis=-1))
