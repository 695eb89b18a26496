"""What every visit runs: navigation and the sidebar all pages share."""

from pathlib import Path

import streamlit as st

from explorer.ui import start
from explorer.ui.shell import links

PAGES = Path(__file__).parent
ASSETS = PAGES.parent / "assets"

st.set_page_config(page_title="Twicing Explorer", page_icon=str(ASSETS / "icon.png"), layout="wide")
st.logo(str(ASSETS / "wordmark.svg"), size="large")
opening = st.Page(PAGES / "start.py", title="Start", default=True)
attention = st.Page(PAGES / "explore" / "attention.py", title="Attention")
page = st.navigation(
    {
        "": [opening],
        "Explore": [
            attention,
            st.Page(PAGES / "explore" / "similarity.py", title="Token similarity"),
            st.Page(PAGES / "explore" / "residual.py", title="Smoothed residual"),
            st.Page(PAGES / "explore" / "spectrum.py", title="Spectrum"),
            st.Page(PAGES / "explore" / "operators.py", title="Operator lab"),
        ],
        "Challenge": [
            st.Page(PAGES / "challenge" / "attribution.py", title="Attribution"),
            st.Page(PAGES / "challenge" / "corruptions.py", title="Corruptions"),
            st.Page(PAGES / "challenge" / "attacks.py", title="Attacks"),
        ],
        "Learn": [
            *(
                st.Page(PAGES / "learn" / f"{file}.py", title=title, url_path=path)
                for file, title, path in (
                    ("regression", "1. Smoothing", "smoothing"),
                    ("nonlocal_means", "2. Nonlocal means", "nonlocal-means"),
                    ("eigenvalues", "3. Eigenvalues and depth", "eigenvalues"),
                    ("attention_filter", "4. From means to attention", "attention-filter"),
                    ("dial", "5. The dial", "dial"),
                    ("tour", "6. Guided tour", "tour"),
                )
            ),
        ],
        "Publish": [st.Page(PAGES / "publish" / "studio.py", title="Figure studio")],
        "Set up": [st.Page(PAGES / "models" / "models.py", title="Models")],
    },
    position="top",  # the sidebar belongs to the images, whose uploader comes first
)
if page is opening and links.is_of_viewer(st.query_params):
    st.switch_page(attention, query_params=st.query_params.to_dict())
start(page)
