"""Templates: one record says everything of a kind of figure, and what it says of its settings is true."""

import importlib
import pkgutil
from functools import cache
from typing import Any

import numpy as np
import pytest

import explorer
from explorer.cli import main
from explorer.figures.print.charts import Curves
from explorer.figures.records import Line
from explorer.pictures.images import decode
from explorer.studio import TEMPLATES, Made, Spec, Template, make, record, templates
from explorer.studio.content import Content
from explorer.studio.parse import from_settings
from explorer.studio.run import FigureRun
from explorer.studio.spec import SETTINGS
from explorer.studio.template import PAGE
from tests.studio.helpers import made, pair, photos

NAMES = [setting.name for setting in SETTINGS]
OTHER: dict[str, Any] = {
    "layers": (1,),
    "heads": "2",
    "query": "0.6,0.4",
    "matrix": "a",
    "quantity": "ratio",
    "operators": "linear,boosting=2,twicing@2-3",
    "weights": "twicing",
    "method": "saliency",
    "baseline_picture": "black",
    "path_steps": 3,
    "samples": 2,
    "square": 2,
    "target": "fox",
    "corruption": "occlusion",
    "final_jpeg": True,
    "attack": "pgd",
    "eps": 2.0,
    "steps": 2,
    "step_size": 1.0,
    "random_start": True,
    "seed": 3,
    "transfer": True,
    "with_cls": True,
    "absolute": True,
    "with_diagonal": True,
    "iterations": (1, 3),
    "scale": "figure",
    "colour_map": "magma",
    "opacity": 0.5,
    "smooth": False,
    "bare": True,
    "picture": "original",
    "row_labels": True,
    "labels": ("first", "second"),
    "column_labels": False,
    "colour_bar": False,
    "input_size": 48,
}
"""A value of each setting that is not the default; all templates read those of the page."""


@cache
def usual(name: str) -> Made:
    """A figure of two images with no setting but few pixels."""
    return made(name, 2, dpi=36)


def pixels(figure: Made) -> np.ndarray:
    return decode(figure.file(".png")).rgb


def is_same(figure: Made, other: Made) -> bool:
    """Whether nothing but the record tells them apart."""
    return (
        figure.caption == other.caption
        and figure.numbers.keys() == other.numbers.keys()
        and all(np.array_equal(values, other.numbers[name]) for name, values in figure.numbers.items())
        and np.array_equal(pixels(figure), pixels(other))
    )


def test_every_module_is_in_the_table_under_its_name() -> None:
    modules = [module.name for module in pkgutil.iter_modules(templates.__path__)]
    assert sorted(modules) == sorted(TEMPLATES)
    for name in modules:
        assert importlib.import_module(f"explorer.studio.templates.{name}").TEMPLATE is TEMPLATES[name]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_defines_everything(name: str) -> None:
    template = TEMPLATES[name]
    assert template.name == name
    assert template.title.strip()
    assert templates.LINES[name].strip()
    assert "\n" not in templates.LINES[name]
    read = (*template.settings, *template.off_page, *PAGE)
    assert len(set(read)) == len(read)
    assert set(read) <= set(NAMES)
    assert all(callable(part) for part in (template.gather, template.caption, template.idle, template.default_layers))
    assert template.idle({setting.name: setting.default for setting in SETTINGS}) <= set(template.settings)
    for depth in (1, 2, 12, 48):
        layers = template.default_layers(depth)
        assert layers == tuple(sorted(set(layers)))
        assert 1 <= min(layers) <= max(layers) <= depth


def test_the_other_values_are_of_all_settings_but_those_of_the_page() -> None:
    assert set(OTHER) | set(PAGE) == set(NAMES)
    assert all(OTHER[setting.name] != setting.default for setting in SETTINGS if setting.name in OTHER)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_setting_that_is_not_read_changes_nothing(name: str) -> None:
    unread = {setting: value for setting, value in OTHER.items() if setting not in TEMPLATES[name].reads}
    assert unread
    assert is_same(usual(name), made(name, 2, dpi=36, **unread))


READ = [
    (name, setting)
    for name in ("heatmaps", "residual", "similarity", "dynamics", "spectrum", "operators")
    for setting in sorted(TEMPLATES[name].reads - set(PAGE))
    if (name, setting) not in (("heatmaps", "colour_map"), ("operators", "colour_map"))  # twicing's maps are signed
]
"""Of the templates that are quickly drawn."""


@pytest.mark.parametrize(("name", "setting"), READ)
def test_a_setting_that_is_read_changes_the_figure(name: str, setting: str) -> None:
    assert not is_same(usual(name), made(name, 2, dpi=36, **{setting: OTHER[setting]}))


# --- one that is not there ------------------------------------------------------------------------------------------


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """The mean logit of each image, for as many layers as are asked for."""
    logits = [[float(trace.logits.mean()) for trace in comparison] for _, comparison in run.compared()]
    lines = [
        Line(name, np.full(len(layers), np.mean([of_image[side] for of_image in logits])), colour)
        for side, (name, colour, _) in enumerate(run.models)
    ]
    chart = Curves(tuple(lines), "Logit", first_layer=1)
    return Content(chart, tuple(run.digests), arrays={"logits": np.array(logits)}, layers=layers)


TOY = Template(
    name="toy",
    title="A toy",
    settings=("layers",),
    gather=gather,
    caption=lambda spec, content: [f"Mean logit, {len(content.layers)} times."],
    default_layers=lambda depth: (1, depth),
)


def test_one_record_is_a_template(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(TEMPLATES, "toy", TOY)
    figure = make(Spec(TOY, dpi=36), photos(2), pair())
    assert figure.content.layers == (1, 3)
    assert "Mean logit, 2 times." in figure.caption
    assert figure.command.startswith("python -m explorer figure toy ")
    assert figure.file(".pdf").startswith(b"%PDF")
    known = record.read(figure.file(".png"))
    assert known.spec == from_settings({"template": "toy", "dpi": 36}) == figure.spec
    layers = explorer.figure("toy", photos(2), pair(), layers=[2]).content.layers
    assert layers == (2,)
    assert main(["figure", "pie", "--out", "x.pdf"]) != 0
    assert "robustness, toy was expected; 'pie' came" in capsys.readouterr().err


# --- what a figure holds --------------------------------------------------------------------------------------------


def test_a_figure_knows_its_bytes() -> None:
    """Pixels that several cells share are there once; a table is as large as its rows."""
    values = np.zeros((100, 100))
    line = Line("a", values[0], "#000")
    content = Content(Curves((line, line), "y", 0), ("",), arrays={"all": values, "part": values[10:]})
    assert content.nbytes == values.nbytes
    figure = usual("spectrum")
    arrays = [
        panel.eigenvalues.nbytes + panel.mapped.nbytes for _, two in figure.content.drawing.panels for panel in two
    ]
    assert figure.nbytes > sum(arrays) + 7 * 24 * len(figure.content.table.rows)
    assert made("heatmaps", 4, dpi=36).nbytes > 1.9 * usual("heatmaps").nbytes
