"""The figure of operators: its numbers against float64, and what its caption says of weights and operators."""

import numpy as np
import pytest

from explorer.jobs.passes import OperatorsJob
from explorer.paper import operators
from explorer.paper.filters import FILTERS, FilterKind
from explorer.paper.kernels import KERNELS, KernelKind
from explorer.serving.engine import ask
from explorer.studio.latex import equation
from explorer.traces import Trace
from explorer.types import ExplorerError, ModelCard
from tests.helpers import assert_one_sentence
from tests.studio.helpers import made, pair, photo

DEPTH = 3
TEXTS = "standard,twicing,neutreno,linear-twicing,twicing@2-3"


def traced(text: str, card: ModelCard) -> Trace:
    filter = operators.in_blocks(text, DEPTH)
    return ask(pair().engine, OperatorsJob(filter), [photo().open()], card.key)[0]


def test_similarity_is_that_of_the_passes() -> None:
    numbers = made("operators", [photo()], operators=TEXTS, dpi=36).numbers
    assert "neutreno=0.6" in numbers
    for text in TEXTS.split(","):
        trace = traced(text, pair().baseline)
        name = "neutreno=0.6" if text == "neutreno" else text
        for state, tokens in enumerate(trace.tokens.double().numpy()):
            patches = tokens[trace.prefix :]
            unit = patches / np.linalg.norm(patches, axis=1, keepdims=True)
            expected = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)].mean()
            assert numbers[name][state] == pytest.approx(expected, abs=2e-6)


def test_maps_are_rows_of_e_and_e_0() -> None:
    figure = made("operators", [photo()], operators="twicing,resformer,neutreno", query="0.6,0.4", heads="2", dpi=36)
    token = 1 + 2 * 4 + 1
    identity = np.eye(17)
    for text, E, E_0 in (
        ("twicing", lambda A: 2 * A - A @ A, None),
        ("resformer", lambda A: A / 2, lambda A: A / 2),
        ("neutreno=0.6", lambda A: A - 0.6 * identity, lambda A: 0.6 * identity),
    ):
        A = traced(text, pair().baseline).attention[-1, 1].double().numpy()
        for which, matrix in (("E", E), ("E_0", E_0)):
            drawn = figure.numbers[f"layer 3, head 2, {which}, {text}"][0].ravel()
            expected = np.zeros(16) if matrix is None else matrix(A)[token, 1:]
            np.testing.assert_allclose(drawn, expected, atol=1e-6)


def test_the_scale_leaves_the_querys_own_patch_out() -> None:
    """Where 0.6 would let all of attention vanish."""
    figure = made("operators", [photo()], operators="standard,neutreno", query="0.6,0.4", dpi=36)
    assert max(figure.content.ranges) < 0.5


def rows(**settings: object) -> list[str]:
    """What stands beside the rows of maps."""
    return [row.label for row in made("operators", [photo()], dpi=36, **settings).content.drawing.blocks[0].rows]


def test_e_0_has_a_row_where_it_has_anything_on_the_patches() -> None:
    assert rows(operators="standard,neutreno", layers=(1,), query="0.6,0.4") == ["E"]  # as the first block has none
    assert rows(operators="standard,neutreno") == ["E"]  # of CLS it is 0.6 on CLS alone
    assert rows(operators="standard,neutreno", query="0.6,0.4") == ["E", "E₀"]
    assert rows(operators="standard,svformer") == ["E", "E₀"]


def test_the_caption_says_which_weights_and_which_are_counterfactual() -> None:
    caption = made("operators", [photo()], operators="standard,twicing,linear@2-3", dpi=36).caption
    assert "on the weights of the baseline model, which were trained with standard." in caption
    assert "Counterfactual, operator swapped, not trained: twicing, linear@2-3." in caption
    assert "explicit form" in caption
    assert "$E_0$" in caption
    caption = made("operators", [photo()], operators="standard,boosting=2", weights="twicing", dpi=36).caption
    assert "on the weights of the twicing model, which were trained with boosting=2." in caption
    assert "not trained: standard." in caption
    assert "explicit form" not in caption


def test_blocks_that_the_models_do_not_have_are_refused() -> None:
    with pytest.raises(ExplorerError) as caught:
        made("operators", [photo()], operators="twicing@10-12")
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("kind", [*FILTERS.values(), *KERNELS.values()], ids=lambda kind: kind.title)
def test_every_equation_is_rendered(kind: FilterKind | KernelKind) -> None:
    """In LaTeX's own symbols, with as many brackets closed as opened."""
    rendered = equation(kind.equation)
    assert rendered.isascii()
    assert rendered.count("{") == rendered.count("}")


def test_words_of_an_equation_stay_words() -> None:
    assert equation("(I − (I − A)ᵏ)V") == "(I - (I - A)^{k})V"
    assert equation("AV¹ from the second block on") == r"AV^{1}\text{ from the second block on}"
