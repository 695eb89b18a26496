"""`explorer.view` and `explorer.figure`: what Python gets without a server."""

import html
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import explorer
from explorer.pictures import examples
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence
from tests.pair import facts
from tests.studio.helpers import pair, picture


@pytest.fixture(scope="module")
def shown() -> explorer.Viewing:
    return explorer.view(examples.EXAMPLES[0])


def test_the_pair_that_opens_is_shown_by_default(shown: explorer.Viewing) -> None:
    standard, twicing = (card.name for card in facts().cards)
    assert shown.title == f"{examples.EXAMPLES[0].name}: {standard} and {twicing}"
    assert shown.html.startswith("<!doctype html>")


def test_a_notebook_gets_a_frame_of_its_own(shown: explorer.Viewing) -> None:
    cell = shown._repr_html_()
    assert cell.startswith("<iframe ")
    assert 'sandbox="allow-scripts"' in cell
    assert html.unescape(cell.split('srcdoc="', 1)[1].removesuffix('"></iframe>')) == shown.html


def test_a_file_is_written_whole(shown: explorer.Viewing, tmp_path: Path) -> None:
    assert shown.save(tmp_path / "view.html").read_text(encoding="utf-8") == shown.html
    assert [path.name for path in tmp_path.iterdir()] == ["view.html"]


def test_an_image_may_be_a_file_or_its_bytes(shown: explorer.Viewing, tmp_path: Path) -> None:
    data = examples.read(examples.EXAMPLES[0])
    (tmp_path / "cat.png").write_bytes(data)
    assert explorer.view(tmp_path / "cat.png").title.startswith("cat.png: ")
    assert len(explorer.view(data).payload) == pytest.approx(len(shown.payload), abs=100)


def test_finer_maps_are_asked_for_in_pixels(shown: explorer.Viewing) -> None:
    def grid(viewing: explorer.Viewing) -> list[int]:
        data = viewing.payload
        header: dict = json.loads(data[8 : 8 + int.from_bytes(data[4:8], "little")])
        return header["models"][1]["grid"]

    side = 2 * facts().cards[0].preprocessing.input_size[0]
    finer = explorer.view(examples.EXAMPLES[0], input_size=side)
    assert grid(finer) == [2 * count for count in grid(shown)]


def test_no_engine_is_left_behind_but_one_that_was_given() -> None:
    def workers() -> int:
        return sum(thread.name.startswith("explorer-engine") for thread in threading.enumerate())

    given = pair()
    before = workers()
    explorer.view(examples.EXAMPLES[0])
    explorer.figure("dynamics", dpi=36)
    with pytest.raises(ExplorerError):
        explorer.view(b"no image")
    assert workers() == before
    explorer.view(picture(), given)
    explorer.figure("heatmaps", picture(), given, dpi=36)
    assert workers() == before
    assert given.engine._worker._lanes[0].is_alive()  # type: ignore[attr-defined]


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    for image in (tmp_path / "absent.png", b"no image"):
        with pytest.raises(ExplorerError) as caught:
            explorer.view(image)
        assert_one_sentence(str(caught.value))


def test_importing_the_package_is_cheap() -> None:
    code = "import explorer, sys; print(any(name in sys.modules for name in ('torch', 'timm', 'numpy', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("name", explorer.__all__)
def test_every_name_of_the_package_is_there(name: str) -> None:
    assert getattr(explorer, name)


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = explorer.nothing


# --- figures ------------------------------------------------------------------------------------------------------


def test_a_figure_in_three_lines(tmp_path: Path) -> None:
    figure = explorer.figure("heatmaps", [picture()], pair(), layers=[1, 3], heads=2, dpi=36)
    assert (figure.spec.layers, figure.spec.heads) == ((1, 3), "2")
    assert figure.save(tmp_path / "x.png").read_bytes() == figure.file(".png")
    assert set(figure.numbers) >= {"baseline, layer 1, head 2", "twicing, layer 3, head 2"}


def test_a_figure_of_one_image(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(picture())
    for image in (path, str(path), picture(), examples.EXAMPLES[0]):
        assert len(explorer.figure("similarity", image, pair()).record.images) == 1


def test_the_command_of_a_figure_with_lists_is_one_the_shell_reads() -> None:
    assert "--layers 1,3 " in explorer.figure("evolution", [picture()], pair(), layers=[1, 3]).command


def test_numbers_of_numpy_are_numbers() -> None:
    figure = explorer.figure("heatmaps", [picture()], pair(), layers=np.arange(1, 3).tolist(), dpi=np.int64(36))
    assert figure.file(".png").startswith(b"\x89PNG")


@pytest.mark.parametrize("settings", [{"pie": 1}, {"layers": 3}, {"heads": "none"}, {"width": "wide"}])
def test_settings_that_do_not_fit_are_one_sentence(settings: dict[str, object]) -> None:
    with pytest.raises(ExplorerError) as caught:
        explorer.figure("heatmaps", [picture()], pair(), **settings)
    assert_one_sentence(str(caught.value))
    assert next(iter(settings)) in str(caught.value)


def test_a_pair_is_shown_by_the_viewer() -> None:
    assert explorer.view(picture(), pair()).title == "An image: Tiny and Tiny-Twicing"
