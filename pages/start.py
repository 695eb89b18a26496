"""The start page: what twicing does to one photograph, where two models look at it, and ways to go on."""

import streamlit as st

from explorer.ui import view
from explorer.ui.opening import compute, draw
from explorer.ui.shell import panels

chosen = view()
panels.warn_swapped(chosen)
draw.show(compute.payload(chosen))
with st.container(key=draw.WAYS):  # pressed by the component's own: a switch by the server would lose uploads
    st.page_link("explore/attention.py")
    st.page_link("learn/tour.py")
