"""Plates that are no good, in a module without torch, as the process that draws has none."""

import os
import time
from dataclasses import dataclass

import numpy as np

from explorer.figures.print import page
from explorer.figures.print.charts import Spectra
from explorer.figures.print.plates import Plate, Print
from explorer.figures.records import Points
from explorer.figures.settings import Page


def spectra() -> Plate:
    """Eigenvalues, which come from torch and are printed without it."""
    values = np.linspace(0, 1, 5) + 0j
    points = Points("a", "#0072B2", "circle", values, 2 * values - values**2, values.real > 0, values.real <= 0)
    return Plate(Spectra((("Layer 1", (points, points)),)), None, Page(3.0, 4.0, dpi=72), page.Format.PNG, {})


@dataclass(frozen=True, eq=False)
class Endless(Plate):
    """Draws for longer than anybody waits, with matplotlib's settings taken."""

    def print(self) -> Print:
        with page.settings(self.page):
            time.sleep(600)
        raise AssertionError


@dataclass(frozen=True, eq=False)
class Hungry(Plate):
    """Takes more memory than there is room for."""

    def print(self) -> Print:
        return Print(bytes(8 * 2**30), (1.0, 1.0))


@dataclass(frozen=True, eq=False)
class Dying(Plate):
    """As one that the system kills."""

    def print(self) -> Print:
        os._exit(9)
