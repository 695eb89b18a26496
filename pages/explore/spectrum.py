"""Spectra of A and what 2λ − λ² makes of them, for both models."""

import numpy as np
import streamlit as st

from explorer.figures.records import SYMBOLS, Points
from explorer.figures.screen import spectra
from explorer.figures.screen.spectra import Plane
from explorer.measures.settings import ROUNDING
from explorer.measures.spectrum import seconds
from explorer.ui import view
from explorer.ui.shell import choices, detail, panels, resources
from explorer.ui.shell.session import palette

HELP = {
    "not 0": "Those larger than their noise: |λ| > N ε ‖A‖₂ / |yᴴx|. A is made in float32 (ε = 1.2e-7), which moves an "
    "eigenvalue by up to that, to first order; x and y are its right and left eigenvectors of length 1. The others "
    "cannot be told from 0.",
    "real and > 0": "Of those not 0, with an imaginary part no larger than their noise and a positive real part.",
    "leave the unit disc under the map": f"|2λ − λ²| > 1 + {ROUNDING:g}: rows of A sum to 1 in float32 only.",
}

chosen = view()
colours = palette()
panels.opening(
    "Spectrum",
    "Eigenvalues λ of the attention matrix A and where twicing sends them: eig(2A − A²) = 2λ − λ² exactly. Look how "
    "mid-sized eigenvalues are lifted, and which ones the theory does not cover, because they are complex.",
)
panels.warn_swapped(chosen)
detail.control(chosen)
comparison = chosen.comparison()
depth, heads = comparison.depth, comparison.heads
layer_column, head_column, plane_column = st.columns([3, 3, 3], gap="medium")
layer = layer_column.slider("Layer", 1, depth, depth, key="layer", bind="query-params") - 1
head = head_column.segmented_control(
    "Head",
    ["all", *(str(h) for h in range(1, heads + 1))],
    default="all",
    key="spectrum-head",
    required=True,
    persist_state="session",
)
plane = choices.segments("Complex plane", Plane.BEFORE, key="spectrum-plane", place=plane_column)
which = range(heads) if head == "all" else [int(head) - 1]
tokens = max(trace.attention.shape[-1] for trace in comparison)
matrices = sum(trace.heads for trace in comparison)
wait = seconds(matrices, tokens)
words = f"Decomposing {matrices} matrices of {tokens} x {tokens}" + (f": about {wait:.0f} s" if wait >= 2 else "")
with st.spinner(f"{words} …"):
    keys = chosen.pair.baseline.key, chosen.pair.twicing.key
    results = resources.spectra_of(chosen.photo.image.digest, keys, layer, comparison)
points = [
    Points.of(name, colour, symbol, [result], which)
    for name, colour, symbol, result in zip(chosen.names, colours.models, SYMBOLS, results, strict=True)
]
left, right = st.columns(2, gap="large")
quiet = {"displayModeBar": False}
with left:
    st.subheader("Complex plane", anchor=False)
    figure = spectra.complex_plane(points, colours, mapped=plane is Plane.MAPPED)
    st.plotly_chart(figure, key="spectrum-complex", config=quiet, alt="Eigenvalues in the complex plane")
with right:
    st.subheader("Before and after the map", anchor=False)
    st.plotly_chart(spectra.overlay(points, colours), key="spectrum-overlay", config=quiet, alt="Moduli on 2λ − λ²")

rows = []
for name, result, spectrum in zip(chosen.names, results, points, strict=True):
    ranks = result.effective_rank()[list(which)]
    rows.append(
        {
            "model": name,
            "eigenvalues": len(spectrum.eigenvalues),
            "not 0": spectrum.nonzero,
            "real and > 0": int(spectrum.on_curve.sum()),
            "leave the unit disc under the map": spectrum.outside,
            "largest |2λ − λ²|": round(float(np.abs(spectrum.mapped).max()), 3),
            "mean |λ|": round(float(np.abs(spectrum.eigenvalues).mean()), 4),
            "mean |2λ − λ²|": round(float(np.abs(spectrum.mapped).mean()), 4),
            "effective rank of A": round(float(ranks.mean()), 2),
        }
    )
st.dataframe(
    rows, hide_index=True, column_config={name: st.column_config.Column(help=text) for name, text in HELP.items()}
)
st.caption(
    "Both models' A are shown under the same map, whichever filter they use: for a standard block it is what twicing "
    "would do. An eigenvalue counts as not 0, and as real, beyond what the float32 of A leaves open: its noise, "
    "N ε ‖A‖₂ / |yᴴx|; the heads of the table define each. 0-1 boundedness is proven for real λ in [0, 1]; complex "
    "eigenvalues may leave the unit disc. Effective rank: exp of the entropy of the normalised singular values (Roy & "
    "Vetterli 2007), mean over the heads shown."
)
moduli, capacity = st.columns(2, gap="large")
with moduli:
    st.subheader("Sorted moduli", anchor=False)
    st.plotly_chart(spectra.sorted_moduli(points, colours), key="spectrum-moduli", config=quiet, alt="Sorted moduli")
with capacity:
    st.subheader("Eigencapacity of both filters", anchor=False)
    st.plotly_chart(
        spectra.eigencapacity(colours, depth, height=380), key="spectrum-capacity", config=quiet, alt="Eigencapacity"
    )
    st.caption("Theory (paper Prop. 1): the area under pⁿ on [0, 1], for real λ uniform there; n counts blocks.")
