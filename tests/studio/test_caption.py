"""Captions: they say what was drawn, and LaTeX can read them whatever files and models are called."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.measures.settings import Matrix
from explorer.serving.pair import load_pair
from explorer.studio import TEMPLATES
from explorer.studio.latex import escape, number
from explorer.studio.phrases import listed
from tests.studio.helpers import TWICING, made, model, pair, plain, prefixed, swapped

HOSTILE = r"100%_of #1 $x^2$ & {co}~ \input{secret}" + "\n\x1b"
SPECIAL = re.compile(r"(?<!\\)[%#&_$]")


def assert_latex(text: str) -> None:
    """Braces and dollars are balanced; nothing special stands alone outside of mathematics."""
    bare = re.sub(r"\\[\\{}$%&#_]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0, text
    assert depth == 0, text
    assert bare.count("$") % 2 == 0, text
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    outside = re.sub(r"\$[^$]*\$", "", bare).replace("\\caption{%\n", "")
    outside = re.sub(r"\\cite[tp]\{\w+\}", "", outside)
    assert not SPECIAL.search(outside), outside


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_has_a_caption_that_says_what_and_whom_to_cite(template: str) -> None:
    caption = plain(template).caption
    assert_latex(caption)
    assert caption.startswith("\\caption{%\n")
    assert caption.endswith("}\n")
    for word in (
        "40 images" if template == "robustness" else "2 images",
        "DeiT: Tiny",
        "DeiT-Twicing: Tiny-Twicing",
        "SHA-256 0000",
        r"\citet{abdullaev2025twicing}",
    ):
        assert word in caption, caption
    assert "counterfactual" not in caption
    assert ("not an attribution" in caption) == (template in ("heatmaps", "evolution", "matrices", "corruption"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_names_of_strangers_are_taken_literally(template: str) -> None:
    hostile = load_pair(model(HOSTILE), model(HOSTILE + "2", TWICING, 1), device="cpu")
    for names in ((), (HOSTILE, "{")):
        caption = made(template, 1, hostile, names=names).caption
        assert_latex(caption)
        assert r"\input" not in caption
        assert r"100\%\_of \#1 \$x\textasciicircum{}2\$ \& \{co\}\textasciitilde{} \textbackslash{}input" in caption


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_escaped_text_is_latex(text: str) -> None:
    assert_latex(escape(text))


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("names", [(), ("Mine", "Yours")])
def test_a_counterfactual_is_said(template: str, names: tuple[str, ...]) -> None:
    caption = made(template, 1, swapped(), names=names).caption
    name = "Yours" if names else "DeiT-Twicing"
    assert f"{name} (operator swapped) is a counterfactual: its weights were trained with another operator" in caption
    assert caption.count("counterfactual") == 1


def test_operators_beside_the_quadratic_ones_are_said_with_their_equations() -> None:
    other = load_pair(model(), model("Tiny-Other", seed=1), twicing_filter="linear-neutreno=0.4", device="cpu")
    caption = made("heatmaps", 1, other).caption
    assert (
        r"applies by \texttt{linear-neutreno=0.4} $E = A - 0.4I$ to a block's own values, $E_0 = 0.4I$ to the first "
        "block's, $A$ of linear attention."
    ) in caption
    assert r"$R^l = ((E_l + I) R^{l-1} + E_{0,l})/2$" in caption
    assert_latex(caption)
    boosted = load_pair(model(), model("Tiny-Other", seed=1), twicing_filter="boosting=3", device="cpu")
    caption = made("heatmaps", 1, boosted).caption
    assert "$E = 3A - 3A^2 + A^3$" in caption
    assert "E_0" not in caption
    assert "applies by" not in made("heatmaps", 1, swapped()).caption


@pytest.mark.parametrize("matrix", Matrix)
def test_the_matrix_is_said(matrix: str) -> None:
    said = {
        "effective": "p_a(A) = aA + (1-a)A^2",
        "a": r"\mathrm{softmax}(QK^\top/\sqrt d)",
        "a-a2": "$A - A^2$",
        "2a-a2": "$2A - A^2$, query",
        "rollout": r"\prod_l (E_l + I)/2",
    }
    assert said[matrix] in made("heatmaps", 1, matrix=matrix).caption


@pytest.mark.parametrize(
    ("heads", "said"),
    [("mean", "mean over heads"), ("max", "head of largest magnitude"), ("2", "head 2"), ("all", "all 2")],
)
def test_heads_and_layers_are_said(heads: str, said: str) -> None:
    for template in ("heatmaps", "evolution", "matrices", "residual"):
        caption = made(template, 2, heads=heads, layers=(1, 3)).caption
        assert f"layers 1, 3, {said}" in caption
        assert "the same for all rows; 2 images" in caption
    assert "layer 2, " in made("heatmaps", 1, layers=(2,)).caption


def test_the_curve_beneath_residual_maps_has_its_own_heads() -> None:
    """It is a mean over heads unless one head is shown: never of all heads side by side, never of the largest."""
    for heads, said in (("all", "mean over heads"), ("max", "mean over heads"), ("2", "head 2")):
        caption = made("residual", 2, heads=heads).caption
        assert f"by layer, {said}; band: one standard deviation between images." in caption
    assert "would give back" not in made("residual", 1, quantity="smoothed").caption


def test_the_ticks_beneath_the_dynamics_are_of_the_heads_shown() -> None:
    assert "in layers 1, 3, head 2, 1 image." in made("dynamics", 1, heads="2", layers=(1, 3)).caption
    assert "in layer 3, all 2 heads, 2 images." in plain("dynamics").caption
    assert "Ticks" not in made("dynamics", 0).caption
    assert "$n = 1, 2, 6, 12$" in plain("dynamics").caption


def test_the_definition_of_similarity_is_said() -> None:
    caption = made("similarity", 3, absolute=True).caption
    assert "absolute cosine" in caption
    assert r"$\neq$" in caption
    assert "band: one standard deviation between images" in caption
    assert "band" not in made("similarity", 1).caption


def test_every_eigenvalue_that_leaves_is_said() -> None:
    figure = plain("spectrum")
    assert ", ".join(figure.content.outside) in figure.caption


def test_the_query_is_said() -> None:
    assert "query: the CLS token" in plain("heatmaps").caption
    assert "query: the outlined patch" in made("heatmaps", 1, query="0,0").caption
    figure = made("heatmaps", 1, load_pair(*prefixed(), device="cpu"), query="register-2")
    assert "query: the register 2 token (CLS, or the mean patch, in models without it)" in figure.caption


@pytest.mark.parametrize("picture", ["sharp", "model", "original"])
def test_the_crop_is_said(picture: str) -> None:
    said = {"sharp": "cropped as the models saw it", "model": "as the model saw it", "original": "shown whole"}
    assert said[picture] in made("heatmaps", 1, picture=picture).caption


@pytest.mark.parametrize("scale", ["map", "shared", "figure"])
def test_where_colours_end_is_said(scale: str) -> None:
    figure = made("heatmaps", 1, scale=scale)
    ends = re.search(r"colours end at \$(.*)\$\.", figure.caption)
    assert ends
    shown = [float(one) for one in ends[1].split(", ")]
    assert shown == pytest.approx(list(figure.content.ranges), rel=1e-2)
    assert len(shown) == {"map": 2, "shared": 1, "figure": 1}[scale]
    many = made("heatmaps", 2, scale="map", layers=(1, 2, 3), heads="all").caption
    assert "Each map has its own scale." in many


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.125, "0.125"),
        (1e-12, r"1 \cdot 10^{-12}"),
        (1.234e-5, r"1.23 \cdot 10^{-5}"),
        (1234.5, r"1.23 \cdot 10^{3}"),
        (12.0, "12"),
    ],
)
def test_numbers_are_latex(value: float, text: str) -> None:
    assert number(value) == text


def test_runs_of_layers_are_shortened() -> None:
    assert listed((1, 6, 10, 11, 12)) == "1, 6, 10 to 12"
    assert listed((1, 2)) == "1, 2"
    assert listed((3,)) == "3"


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("occlusion", "Occlusion of the logit of each"),
        ("grad-cam", "GradCAM for each"),
        ("weighted-rollout", "rollout for each"),
    ],
)
def test_only_maps_in_logits_are_called_so(method: str, said: str) -> None:
    figure = made("attribution", 1, method=method)
    assert said in figure.caption
    assert all("logit" not in bar.label for bar in figure.content.drawing.bars)


def test_the_pair_of_the_helpers_is_as_it_was_trained() -> None:
    assert not any(card.is_counterfactual for card in pair().cards)
