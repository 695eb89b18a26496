"""The start page: what twicing does to one photograph, where two models look at it, and ways to go on."""

from explorer.ui import view
from explorer.ui.shell import panels
from explorer.ui.start import compute, draw

chosen = view()
panels.warn_swapped(chosen)
draw.show(compute.payload(chosen))
