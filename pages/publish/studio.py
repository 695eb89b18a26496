"""Figures for papers: settings on the right, the figure as it will be printed on the left."""

import streamlit as st

from explorer.studio.made import SUFFIXES
from explorer.ui import view
from explorer.ui.publish import compute, controls
from explorer.ui.shell import panels, resources

chosen = view()
panels.opening(
    "Figure studio",
    "A figure of your images and models that goes into a paper as it is, and that anyone can make again: check that "
    "layers, heads and scale are what you want to claim something about, because the caption says them.",
)
panels.warn_swapped(chosen)
left, right = st.columns([5, 3], gap="large")
depth = min(len(card.filter) for card in chosen.pair.cards)
heads = min(resources.engine().heads(card.key) for card in chosen.pair.cards)
prefix = dict.fromkeys(name for card in chosen.pair.cards for name in resources.engine().prefix_names(card.key))
spec = figure = None
with right:
    template = controls.choose_template()
    photos = controls.choose_photos(chosen, template)
    with panels.refusals():
        spec = controls.choose(template, depth, heads, tuple(prefix))
if spec is None:
    st.stop()
with left:
    with panels.refusals(), st.spinner("Drawing …"):
        figure = compute.preview(chosen, spec, photos)
    if figure is None:
        st.stop()
    st.image(figure.preview, width="stretch")
    st.caption(f"{figure.size[0]:.2f} x {figure.size[1]:.2f} in; as it will be printed, on white")
    with st.container(horizontal=True):
        for suffix in SUFFIXES:
            st.download_button(
                suffix.removeprefix(".").upper(),
                data=compute.file(chosen, spec, photos, suffix),
                file_name=f"{template.name}{suffix}",
                key=f"studio-save-{suffix}",
                on_click="ignore",
                help="All three formats, numbers, settings, caption and command." if suffix == ".zip" else None,
            )
st.subheader("Caption", anchor=False)
st.code(figure.caption, language="latex", wrap_lines=True)
st.subheader("The same figure from a shell", anchor=False)
st.code(figure.command, language="bash", wrap_lines=True)
st.caption(
    "Run it where the images lie. The ZIP holds this command, the caption, its references, settings and numbers."
)
