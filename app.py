"""The explorer's entry point, for `streamlit run app.py`: visits run pages/frame.py, loading starts with the server."""

import streamlit as st
from starlette.routing import Route

from explorer.ui.shell.preload import lifespan
from explorer.ui.shell.readiness import readyz

app = st.App("pages/frame.py", lifespan=lifespan, routes=[Route("/readyz", readyz)])
