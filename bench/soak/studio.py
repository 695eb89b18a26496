"""A figure of many pixels, drawn while others ask for theirs, by a visitor who then closes the tab."""

from __future__ import annotations

import math
import re
import subprocess
import time

from streamlit.proto.NumberInput_pb2 import NumberInput
from streamlit.proto.WidgetStates_pb2 import WidgetState

from bench.common import Row
from bench.soak import case
from explorer.ui.publish.compute import MOST_PIXELS
from tests.running_app import running_app
from tests.visitor import Answer, Visitor

ROUNDS = 10
PRESS = "explorer.figures.print.press"


@case("studio")
def one_long_figure() -> list[Row]:
    """One visitor draws the largest file that the page makes; another changes a figure again and again meanwhile."""
    with running_app() as app, Visitor(app.address, page="studio") as other:
        answer = other.run()
        with Visitor(app.address, page="studio") as long:
            _begin_a_long_figure(long)
            waits = []
            for number in range(ROUNDS):
                begun = time.perf_counter()
                _set(other, answer, "Pixels per inch", 72 + number)
                answer = other.run()
                waits.append(time.perf_counter() - begun)
            was_drawing = _is_drawing(app.process.pid)
        begun = time.perf_counter()
        while _is_drawing(app.process.pid) and time.perf_counter() - begun < 60:
            time.sleep(0.1)
        gone = time.perf_counter() - begun
    note = "it was still drawn" if was_drawing else "it was done before"
    return [
        Row("one long figure: longest wait for another's preview", round(max(waits), 2), "s", 15.0),
        Row("one long figure: drawn on after its tab is closed", round(gone, 2), "s", 5.0, note=note),
    ]


def _begin_a_long_figure(visitor: Visitor) -> None:
    _set(visitor, visitor.run(), "Width, inches", 50.0)
    answer = visitor.run()
    (size,) = [match for text in answer.of("markdown") if (match := re.search(r"([\d.]+) x ([\d.]+) in;", text.body))]
    dpi = math.floor(math.sqrt(MOST_PIXELS / (float(size[1]) * float(size[2]))))
    _set(visitor, answer, "Pixels per inch", dpi)
    (button,) = [box for box in visitor.run().of("button") if box.label.startswith("Draw ")]
    visitor.widgets[button.id] = WidgetState(id=button.id, trigger_value=True)
    visitor.ask()


def _set(visitor: Visitor, answer: Answer, label: str, value: float) -> None:
    (box,) = [box for box in answer.of("number_input") if box.label == label]
    is_whole = box.data_type == NumberInput.INT
    number = {"int_value": int(value)} if is_whole else {"double_value": value}
    visitor.widgets[box.id] = WidgetState(id=box.id, **number)


def _is_drawing(server: int) -> bool:
    """Whether a process that draws for the server is at work."""
    listed = subprocess.run(
        ["ps", "-o", "stat=,args=", "--ppid", str(server)], capture_output=True, text=True, check=False
    )
    return any(line.startswith("R") and PRESS in line for line in listed.stdout.splitlines())
