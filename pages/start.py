"""The start page: what twicing does to one photograph, where two models look at it, and ways to go on."""

from explorer.ui import view
from explorer.ui.opening import compute, draw
from explorer.ui.shell import panels

chosen = view()
panels.warn_swapped(chosen)
draw.show(compute.payload(chosen))
