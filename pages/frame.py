"""What every visit runs: navigation and the sidebar all pages share."""

from pathlib import Path

import streamlit as st

from explorer.ui import start

PAGES = Path(__file__).parent
ASSETS = PAGES.parent / "assets"

st.set_page_config(page_title="Twicing Explorer", page_icon=str(ASSETS / "icon.png"), layout="wide")
st.logo(str(ASSETS / "wordmark.svg"), size="large")
page = st.navigation(
    {
        "Explore": [
            st.Page(PAGES / "explore" / "attention.py", title="Attention", default=True),
            st.Page(PAGES / "explore" / "similarity.py", title="Token similarity"),
            st.Page(PAGES / "explore" / "residual.py", title="Smoothed residual"),
            st.Page(PAGES / "explore" / "spectrum.py", title="Spectrum"),
        ],
        "Learn": [
            st.Page(PAGES / "learn" / "regression.py", title="1. Smoothing", url_path="smoothing"),
            st.Page(PAGES / "learn" / "eigenvalues.py", title="3. Eigenvalues and depth", url_path="eigenvalues"),
            st.Page(PAGES / "learn" / "dial.py", title="5. The dial", url_path="dial"),
            st.Page(PAGES / "learn" / "tour.py", title="6. Guided tour", url_path="tour"),
        ],
        "Publish": [st.Page(PAGES / "publish" / "studio.py", title="Figure studio")],
        "Set up": [st.Page(PAGES / "models" / "models.py", title="Models")],
    }
)
start(page)
