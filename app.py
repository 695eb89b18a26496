"""The explorer's entry point, for `streamlit run app.py`: visits run pages/frame.py, loading starts with the server."""

import streamlit as st

from explorer.ui.explore import pieces
from explorer.ui.shell.guards import guards
from explorer.ui.shell.preload import lifespan
from explorer.ui.shell.readiness import ROUTE
from explorer.ui.shell.uploads import bounded_uploads

app = st.App(
    "pages/frame.py", lifespan=lifespan, routes=[ROUTE, pieces.route()], middleware=[*guards(), *bounded_uploads()]
)
