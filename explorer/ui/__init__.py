"""The only part that knows Streamlit: resources, controls and panels for the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

    from explorer.ui.session import View

VIEW = "view"


def start(page: StreamlitPage) -> None:
    """Draws the sidebar, then the page; what a visitor can act on is one sentence, never a traceback."""
    import streamlit as st

    from explorer.ui import preload

    st.html("<style>.stMainBlockContainer { padding-top: 3.5rem; padding-bottom: 3rem; }</style>")
    if preload.is_running():
        with st.spinner("Loading the models …"):
            _fetch_plotly()
            preload.wait()
    from explorer.types import ExplorerError
    from explorer.ui import sidebar

    try:
        st.session_state[VIEW] = sidebar.render()
        page.run()
    except ExplorerError as error:
        st.error(str(error))


def _fetch_plotly() -> None:
    """An empty chart: the browser fetches and reads the code that draws charts while it waits for the first one."""
    import plotly.graph_objects as go  # type: ignore[import-untyped]
    import streamlit as st

    layout = {"height": 10, "xaxis": {"visible": False}, "yaxis": {"visible": False}}
    st.plotly_chart(go.Figure(layout=layout), config={"displayModeBar": False}, key="nothing")


def view() -> View:
    """What the sidebar decided in this run."""
    import streamlit as st

    chosen: View = st.session_state[VIEW]
    return chosen
