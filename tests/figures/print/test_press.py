"""Figures drawn in a process of their own: the same bytes, an end when nobody wants them, and no harm to the server."""

import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from explorer.figures.print import page, press
from explorer.figures.print.charts import Dynamics
from explorer.figures.print.plates import Plate
from explorer.figures.print.press import pressed
from explorer.figures.settings import Page
from explorer.types import ExplorerError
from tests.figures.print.plates import Dying, Endless, Hungry
from tests.helpers import assert_one_sentence

HEAVY = {"torch", "timm", "streamlit"}
PLATE = Plate(Dynamics((1, 2)), None, Page(3.0, 4.0, dpi=72), page.Format.PNG, {"Title": "t"})


def is_drawing() -> list[bool]:
    """Whether processes that are kept are at work: one that was ended is not kept."""
    return [not worker.is_running for worker in press._idle]


def of(kind: type[Plate]) -> Plate:
    return kind(PLATE.drawing, PLATE.below, PLATE.page, PLATE.format, PLATE.metadata)


@pytest.mark.parametrize("format", list(page.Format))
def test_the_bytes_are_those_that_are_drawn_here(format: page.Format) -> None:
    plate = replace(PLATE, format=format)
    here, there = plate.print(), pressed(plate)
    assert there.data == here.data
    assert there.size == here.size == (3.0, pytest.approx(here.size[1]))


def test_no_room_on_the_page_is_the_same_sentence() -> None:
    with pytest.raises(ExplorerError, match=r"Charts of at least 0.4") as caught:
        pressed(replace(PLATE, page=Page(1.0, 1.0, font_size=40.0)))
    assert_one_sentence(str(caught.value))


class GoneError(Exception):
    """A visitor's tab was closed."""


def test_a_figure_that_nobody_wants_ends_and_others_are_drawn_meanwhile() -> None:
    begun = threading.Event()
    is_wanted = True

    def look(_: float) -> None:
        begun.set()
        if not is_wanted:
            raise GoneError

    errors: list[BaseException] = []

    def draw() -> None:
        try:
            pressed(of(Endless), look)
        except GoneError as error:
            errors.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    assert begun.wait(60)
    assert pressed(PLATE).data == PLATE.print().data
    is_wanted = False
    thread.join(30)
    assert len(errors) == 1
    assert not any(is_drawing())


def test_a_figure_that_takes_too_long_is_ended_with_a_sentence() -> None:
    with pytest.raises(ExplorerError, match="within 1 s") as caught:
        pressed(of(Endless), patience=1.0)
    assert_one_sentence(str(caught.value))
    assert not any(is_drawing())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a limit of the address space")
def test_a_figure_that_takes_too_much_memory_is_a_sentence() -> None:
    with pytest.raises(ExplorerError, match="drawn in 3 GiB was expected") as caught:
        pressed(of(Hungry))
    assert_one_sentence(str(caught.value))


def test_a_process_that_dies_is_a_sentence() -> None:
    with pytest.raises(ExplorerError, match="ended before it was done") as caught:
        pressed(of(Dying))
    assert_one_sentence(str(caught.value))


def test_the_process_imports_nothing_of_weight() -> None:
    """It is there before a figure is asked for, beside the server; torch alone would take all of its memory."""
    for work in ("pass", "from tests.figures.print.plates import spectra; spectra().print()"):
        code = f"import explorer.figures.print.press, sys; {work}\nprint({HEAVY!r} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"
