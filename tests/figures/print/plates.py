"""Plates that are no good, in a module without torch, as the process that draws has none."""

import os
import time
from dataclasses import dataclass

from explorer.figures.print import page
from explorer.figures.print.plates import Plate, Print


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
