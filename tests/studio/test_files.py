"""The files: text that is text, photographs held once, the same bytes every time, nothing of this machine."""

import getpass
import io
import itertools
import re
import socket
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pypdf
import pytest

from explorer.studio import PRESETS, TEMPLATES
from explorer.studio.made import SUFFIXES
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence
from tests.studio.helpers import file, made, plain, swapped

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
GRIDS = ("heatmaps", "evolution", "residual", "matrices", "corruption", "attack")
WORDS = {
    "attribution": ("Image", "DeiT", "DeiT-Twicing", "GradCAM, mean over each patch"),
    "heatmaps": ("Image", "DeiT", "DeiT-Twicing", "effective attention of the query"),
    "evolution": ("Layer", "1", "2", "3", "DeiT-Twicing"),
    "similarity": ("Token similarity", "Layer", "DeiT", "DeiT-Twicing"),
    "dynamics": ("DeiT-Twicing", "0.4"),
    "spectrum": ("Layer 1", "Layer 3", "leave the unit disc:", "DeiT-Twicing, others"),
    "residual": ("Image", "DeiT-Twicing", "DeiT, would give back"),
    "matrices": ("A − A²", "2A − A²", "row of the query"),
    "corruption": ("Gaussian noise, severity", "clean", "5", "DeiT-Twicing", "Attention drift, nats"),
    "attack": ("Clean", "Perturbation × 32", "Adversarial", "at most 4/255", "DeiT-Twicing"),
    "operators": ("standard", "as trained", "counterfactual", "neutreno=0.6", "Token similarity"),
    "robustness": ("FGSM", "PGD, 20 steps", "Top-1 accuracy", "DeiT-Twicing", "20%"),
}


def pdf(data: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(data))


def svg(data: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(data)


def svg_texts(data: bytes) -> list[str]:
    return ["".join(one.itertext()).strip() for one in svg(data).iter(f"{SVG}text")]


def images_in(reader: pypdf.PdfReader) -> list[pypdf.generic.StreamObject]:
    return [
        one.get_object()
        for one in (reader.get_object(number) for number in range(1, len(reader.xref_objStm) + len(reader.xref[0]) + 1))
        if isinstance(one, pypdf.generic.StreamObject) and one.get("/Subtype") == "/Image"
    ]


# --- PDF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_text_in_a_pdf_is_text(template: str) -> None:
    text = pdf(file(template, ".pdf")).pages[0].extract_text()
    for word in WORDS[template]:
        assert word in text, text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_pdf_embeds_truetype_and_nothing_else(template: str) -> None:
    fonts = pdf(file(template, ".pdf")).pages[0]["/Resources"]["/Font"]
    assert fonts
    for one in fonts.values():
        font = one.get_object()
        assert font["/Subtype"] in ("/TrueType", "/Type0")
        inner = font["/DescendantFonts"][0].get_object() if font["/Subtype"] == "/Type0" else font
        assert "/FontFile2" in inner["/FontDescriptor"].get_object()


def test_a_pdf_holds_each_photograph_once() -> None:
    """Two in colour in front and two dim ones under all maps; every map of its own; a bar; masks aside."""
    figure = made("heatmaps", 2, heads="all", layers=(1, 2))
    images = images_in(pdf(figure.file(".pdf")))
    masks = sum("/SMask" in one for one in images)
    maps = 2 * 2 * 2 * 2
    assert masks == maps
    assert len(images) == 2 + 2 + 2 * maps + 1


def test_photographs_that_are_shown_everywhere_take_no_more_room() -> None:
    once, often = (made("evolution", 1, layers=layers, smooth=False) for layers in ((1,), (1, 2, 3)))
    counts = [len(images_in(pdf(one.file(".pdf")))) for one in (once, often)]
    assert counts[1] - counts[0] == 2 * (6 - 2)  # four maps more, each with its mask


@pytest.mark.parametrize(("template", "preset"), zip(TEMPLATES, itertools.cycle(PRESETS), strict=False))
def test_the_page_is_as_wide_as_asked(template: str, preset: str) -> None:
    figure = made(template, 1, preset=preset, dpi=36)
    box = pdf(figure.file(".pdf")).pages[0].mediabox
    assert float(box.width) == pytest.approx(72 * PRESETS[preset].width, abs=1e-3)
    assert float(box.height) <= 72 * PRESETS[preset].height + 1e-3


# --- SVG ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_text_in_an_svg_is_text_with_fonts_to_fall_back_on(template: str) -> None:
    data = file(template, ".svg")
    texts = svg_texts(data)
    for word in WORDS[template]:
        assert word in texts, texts
    for one in svg(data).iter(f"{SVG}text"):
        styles = [one.get("style", ""), *(inner.get("style", "") for inner in one.iter(f"{SVG}tspan"))]
        assert any("Times" in style and "serif" in style for style in styles), styles


@pytest.mark.parametrize("template", TEMPLATES)
def test_ids_in_an_svg_are_unique_and_found(template: str) -> None:
    root = svg(file(template, ".svg"))
    ids = Counter(one.get("id") for one in root.iter() if one.get("id"))
    assert max(ids.values()) == 1
    for one in root.iter(f"{SVG}use"):
        assert one.get(HREF, "").removeprefix("#") in ids


@pytest.mark.parametrize("template", GRIDS)
def test_an_svg_holds_each_image_once(template: str) -> None:
    root = svg(file(template, ".svg"))
    bodies = [one.get(HREF) for one in root.iter(f"{SVG}image")]
    assert len(set(bodies)) == len(bodies)
    uses = [one.get(HREF) for one in root.iter(f"{SVG}use")]
    ids = [f"#{one.get('id')}" for one in root.iter(f"{SVG}image")]
    assert all(one in uses for one in ids)
    if template != "residual":
        assert max(uses.count(one) for one in ids) >= 2  # the dim photograph


def test_sans_falls_back_on_sans() -> None:
    data = made("similarity", 1, font="sans").file(".svg").decode()
    assert "'DejaVu Sans', 'Arial', 'Helvetica', sans-serif" in data


# --- the same bytes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_same_settings_give_the_same_bytes(template: str) -> None:
    other = made(template, dpi=72)
    for suffix in (".pdf", ".svg", ".png"):
        assert other.file(suffix) == file(template, suffix)


_PROCESS = """
import hashlib, sys
import torch; torch.set_num_threads(1)
from tests.studio.helpers import made
for template in ("heatmaps", "dynamics"):
    data = made(template, 1).file(".zip")
    print(hashlib.sha256(data).hexdigest())
"""


def test_another_process_gives_the_same_bytes() -> None:
    """Of the ZIP, so of every file in it; with another hash of strings, too."""
    import hashlib

    known = [hashlib.sha256(made(template, 1).file(".zip")).hexdigest() for template in ("heatmaps", "dynamics")]
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", _PROCESS], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == known


def inflated(data: bytes) -> bytes:
    """A file with all that is compressed in it laid open."""
    parts = [data]
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts += [inflated(archive.read(one)) for one in archive.namelist()]
    if data.startswith(b"%PDF"):
        for found in re.finditer(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
            try:
                parts.append(zlib.decompress(found[1]))
            except zlib.error:
                continue
    return b"\n".join(parts)


@pytest.mark.parametrize("template", ["heatmaps", "spectrum"])
def test_nothing_of_this_machine_is_in_the_files(template: str) -> None:
    data = inflated(plain(template).file(".zip"))
    now = date.today()
    words = [socket.gethostname(), str(Path.cwd()), str(Path.home()), sys.prefix, str(now), now.strftime("%Y%m%d")]
    user = getpass.getuser()
    words += [f"/{user}/"] + ([user] if len(user) > 5 else [])
    for word in words:
        assert len(word) < 4 or word.encode() not in data, word
    with zipfile.ZipFile(io.BytesIO(plain(template).file(".zip"))) as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


# --- the ZIP ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_zip_holds_everything(template: str) -> None:
    figure = plain(template)
    with zipfile.ZipFile(io.BytesIO(figure.file(".zip"))) as archive:
        names = set(archive.namelist())
        read = {name: archive.read(name) for name in names}
    stem = template
    expected = {f"{stem}{s}" for s in (".pdf", ".svg", ".png", ".npz", ".json")}
    assert names - {f"{stem}.csv"} == expected | {"caption.tex", "references.bib", "command.txt"}
    for suffix in (".pdf", ".svg", ".png"):
        assert read[f"{stem}{suffix}"] == file(template, suffix)
    assert read["caption.tex"].decode() == figure.caption
    assert read["command.txt"].decode() == figure.command + "\n"
    arrays = np.load(io.BytesIO(read[f"{stem}.npz"]))
    assert set(arrays.files) == set(figure.numbers)
    for name, values in figure.numbers.items():
        np.testing.assert_array_equal(arrays[name], values)
    if figure.content.table is not None:
        lines = read[f"{stem}.csv"].decode().splitlines()
        assert lines[0].split(",") == list(figure.content.table.header)
        assert len(lines) == 1 + len(figure.content.table.rows)


def test_references_are_those_the_caption_cites() -> None:
    from explorer.studio.caption import BIBTEX

    cited = set(re.findall(r"\\cite[tp]\{(\w+)\}", plain("heatmaps").caption))
    assert cited == set(re.findall(r"@\w+\{(\w+),", BIBTEX))
    assert BIBTEX.count("{") == BIBTEX.count("}")


# --- saving -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PDF"])
def test_a_figure_is_saved_by_its_suffix(suffix: str, tmp_path: Path) -> None:
    figure = made("dynamics", 0, dpi=36)
    assert figure.save(tmp_path / f"x{suffix}").read_bytes() == figure.file(suffix.lower())


@pytest.mark.parametrize("name", ["x", "x.jpg", ".pdf", "x.pdf.gz"])
def test_another_suffix_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExplorerError) as caught:
        made("dynamics", 0).save(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_shows_itself_in_a_notebook() -> None:
    import io as streams

    from PIL import Image

    figure = made("heatmaps", 1)
    with Image.open(streams.BytesIO(figure._repr_png_())) as shown:
        assert 1300 <= shown.width <= 1500


# --- what is written on it ----------------------------------------------------------------------------------------


NAMES = ["", " ", "$x$", r"\frac{a", "_low", "猫", "שלום", "😀", "a\nb\x00\x1b", "￾", "W" * 500, "<b>&\"'", "%s {}"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_breaks_a_figure(name: str) -> None:
    for template, settings in (
        ("heatmaps", {"labels": (name,)}),
        ("similarity", {}),
        ("spectrum", {"layers": (1,)}),
    ):
        svg(made(template, 1, names=(name, name), dpi=36, **settings).file(".svg"))


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
def test_no_name_breaks_other_formats(suffix: str) -> None:
    for template, settings in (("heatmaps", {"labels": tuple(NAMES), "width": 3.0}), ("dynamics", {})):
        made(template, len(NAMES), names=(NAMES[5], NAMES[8]), dpi=36, **settings).file(suffix)


@pytest.mark.parametrize("name", ["$x$ and $y$", r"\frac{1}{2}", "a_b^c", "<b>&", "_low"])
def test_names_are_taken_literally(name: str) -> None:
    for template in ("heatmaps", "evolution", "similarity", "spectrum", "residual"):
        texts = svg_texts(made(template, 1, names=(name, "Other")).file(".svg"))
        assert any(name in text for text in texts), texts


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("names", [(), ("Mine", "Yours"), ("A model of a name that is rather long", "Another " * 8)])
def test_a_swapped_operator_is_written_on_the_figure(template: str, names: tuple[str, ...]) -> None:
    figure = made(template, 1, swapped(), names=names)
    said = "counterfactual" if template == "operators" else "swapped)"  # above each column, not behind a model's name
    assert said in " ".join(svg_texts(figure.file(".svg")))
    assert "counterfactual" in figure.caption


@pytest.mark.parametrize("template", GRIDS)
def test_row_labels_and_letters_are_written(template: str) -> None:
    texts = svg_texts(made(template, 2, row_labels=True, letters=True).file(".svg"))
    assert {"(a)", "(b)", "disc 0", "disc 1"} <= set(texts)
    bare = svg_texts(made(template, 2, column_labels=False, colour_bar=False).file(".svg"))
    assert not {"Image", "1, head 1", "(a)", "disc 0", "row of the query", "largest of both"} & set(bare)


def test_an_error_is_one_sentence_when_there_is_no_room() -> None:
    for template, settings in (
        ("heatmaps", {"layers": (1, 2, 3), "heads": "all", "width": 1.0}),
        ("evolution", {"height": 1.0, "width": 1.0}),
        ("similarity", {"height": 1.0, "font_size": 30.0}),
        ("dynamics", {"width": 1.0}),
        ("spectrum", {"width": 1.5}),
        ("residual", {"height": 1.0}),
        ("corruption", {"width": 1.0}),
        ("attack", {"width": 1.0, "font_size": 30.0}),
        ("robustness", {"width": 1.0}),
    ):
        with pytest.raises(ExplorerError) as caught:
            made(template, 1, **settings).file(".pdf")
        assert_one_sentence(str(caught.value))
