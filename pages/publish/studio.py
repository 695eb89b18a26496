"""Figures for papers: settings on the right, the figure as it will be printed on the left."""

import streamlit as st

from explorer.ui import view, work
from explorer.ui.publish import compute, controls
from explorer.ui.shell import detail, panels, resources

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
        spec = controls.choose(template, depth, heads, tuple(prefix), detail.side(chosen))
if spec is None:
    st.stop()
with left:
    figure = compute.preview(chosen, spec, photos, work.line(st.container()))
    if figure is None:
        st.stop()
    st.image(figure.preview, width="stretch")
    st.caption(f"{figure.size[0]:.2f} x {figure.size[1]:.2f} in; as it will be printed, on white")
    pixels = figure.pixels(spec)
    if pixels > compute.MOST_PIXELS:
        st.warning(
            f"Files of at most {compute.MOST_PIXELS / 1e6:g} megapixels are made here, and this figure has "
            f"{pixels / 1e6:.0f}: choose fewer dots per inch, or make it with the command below."
        )
    elif pixels > compute.QUICK_PIXELS:
        controls.large_file(chosen, spec, photos)
    else:
        controls.files(chosen, spec, photos)
st.subheader("Caption", anchor=False)
st.code(figure.caption, language="latex", wrap_lines=True)
st.subheader("The same figure from a shell", anchor=False)
st.code(figure.command, language="bash", wrap_lines=True)
st.caption(
    "Run it where the images lie. The ZIP holds this command, the caption, its references, settings and numbers."
)
