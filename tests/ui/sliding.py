"""What a lesson sent to the browser, read as the browser reads it."""

import json
from typing import Any

import numpy as np
from streamlit.testing.v1 import AppTest


class Sent:
    """A part with its sliders where they start, unless others values are given for their keys."""

    def __init__(self, data: bytes) -> None:
        assert data[:4] == b"TWL1"
        length = int.from_bytes(data[4:8], "little")
        self.header: dict[str, Any] = json.loads(data[8 : 8 + length])
        self.size = len(data)
        self._body = data[8 + length :]

    def stands(self, **values: float) -> dict[str, int]:
        """Positions by key; `lesson1_h=0.1` moves the slider `lesson1-h`."""
        moved = {key.replace("_", "-"): value for key, value in values.items()}
        assert moved.keys() <= {slider["key"] for slider in self.header["sliders"]}
        return {
            slider["key"]: slider["values"].index(moved[slider["key"]]) if slider["key"] in moved else slider["start"]
            for slider in self.header["sliders"]
        }

    def charts(self, **values: float) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """Points of every series by its name, by the key of its chart."""
        stands = self.stands(**values)
        texts = {slider["key"]: slider["texts"][stands[slider["key"]]] for slider in self.header["sliders"]}
        drawn: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        for chart in self.header["charts"]:
            named = drawn.setdefault(chart["key"], {})
            for series in chart["series"]:
                name = series["name"]
                for key, text in texts.items():
                    name = name.replace(f"{{{key}}}", text)
                named[name] = self.amount(series["x"], stands), self.amount(series["y"], stands)
        return drawn

    def words(self, **values: float) -> list[str]:
        """Every sentence that is there."""
        stands = self.stands(**values)
        return [text for words in self.header["words"] if (text := self._words(words, stands))]

    def table(self, **values: float) -> list[list[str]]:
        """The rows of the only table."""
        (table,) = self.header["tables"]
        return [[self._words(cell, self.stands(**values)) for cell in row] for row in table["rows"]]

    def amount(self, terms: list[dict[str, Any]], stands: dict[str, int]) -> np.ndarray:
        total = np.zeros(terms[0]["width"])
        for term in terms:
            start, size = term["floats"]["at"], term["floats"]["size"]
            rows = np.frombuffer(self._body[start : start + size], "<f4").reshape(-1, term["width"])
            slider = self._slider(term["times"])
            factor = 1.0 if slider is None else slider["values"][stands[slider["key"]]]
            total += term["sign"] * factor * rows[self._row(term["by"], stands)].astype(float)
        return total

    def _slider(self, key: str | None) -> dict[str, Any] | None:
        return next((slider for slider in self.header["sliders"] if slider["key"] == key), None)

    def _row(self, by: list[str], stands: dict[str, int]) -> int:
        row = 0
        for key in by:
            slider = self._slider(key)
            assert slider is not None
            row = row * len(slider["values"]) + stands[key]
        return row

    def _words(self, words: dict[str, Any], stands: dict[str, int]) -> str:
        texts = [slot["texts"][self._row(slot["by"], stands)] for slot in words["slots"]]
        return str(words["template"]).format(*texts)


def sent(app: AppTest, key: str) -> Sent:
    """The part under a key."""
    (component,) = [each for each in app.main.get("bidi_component") if each.key == key]
    return Sent(component.proto.bytes)


def leave(app: AppTest, **values: float) -> AppTest:
    """Says where sliders were left, as a browser does, and runs the page."""
    if "slider-values" not in app.session_state:
        app.session_state["slider-values"] = {}
    app.session_state["slider-values"].update({key.replace("_", "-"): value for key, value in values.items()})
    return app.run()
