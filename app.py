"""The explorer's entry point, for `streamlit run app.py`: visits run pages/frame.py, loading starts with the server."""

import streamlit as st
from starlette.middleware import Middleware

from explorer.ui.shell.preload import lifespan
from explorer.ui.shell.uploads import UploadBudget

app = st.App("pages/frame.py", lifespan=lifespan, middleware=[Middleware(UploadBudget)])
