"""The operator lab on the pair that opens: what it draws and says against computations of its own, in float64."""

import re

import numpy as np
import pytest
import scipy.linalg
import torch
from streamlit.testing.v1 import AppTest

from explorer.jobs.passes import OperatorsJob
from explorer.models import checkpoints, sources
from explorer.models.trace import count
from explorer.models.twicing import set_filter
from explorer.paper import operators
from explorer.paper.filters import FILTERS
from explorer.paper.kernels import KERNELS
from explorer.pictures import examples
from explorer.serving.engine import ask
from explorer.traces import Trace
from explorer.types import ModelCard, Operator, Operators
from explorer.ui.explore.lab.draw import COUNTERFACTUAL
from explorer.ui.shell import resources
from tests.helpers import assert_one_sentence
from tests.pair import facts
from tests.ui.conftest import FRAME, Open
from tests.ui.test_pages import assert_sound, charts, numbers, texts

OPENS_WITH = ["standard", "twicing", "neutreno"]


@pytest.fixture
def lab(open_app: Open) -> AppTest:
    return open_app("operators")


def choose(app: AppTest, *words: str) -> AppTest:
    """The operators, whether the control offers them or a visitor wrote them."""
    app.session_state["operators"] = list(words)
    return app.run()


def weights(trained: str) -> ModelCard:
    """The standard or the twicing model of the pair that opens."""
    (card,) = [card for card in resources.engine().cards if card.is_standard == (trained == "standard")]
    return card


def traced(text: str, card: ModelCard | None = None) -> Trace:
    """The pass of the first photograph under an operator, as the engine makes it."""
    card = card or weights("standard")
    picture = examples.load(examples.EXAMPLES[0])
    return ask(resources.engine(), OperatorsJob(operators.in_blocks(text, facts().depth)), [picture], card.key)[0]


def badges(app: AppTest) -> list[bool]:
    """By operator whether it is said to be a counterfactual."""
    bodies = [one.proto.body for one in app.main.get("html")]
    return [COUNTERFACTUAL in body for body in bodies if COUNTERFACTUAL in body or "as trained" in body]


def lines(app: AppTest, key: str) -> dict[str, np.ndarray]:
    return {line["name"]: numbers(line["y"]) for line in charts(app)[key]["data"]}


def parameter_sliders(app: AppTest) -> list:
    return [one for one in app.main.slider if one.label not in ("Layer", "in blocks")]


# --- how it opens -------------------------------------------------------------------------------------------------


def test_it_opens_with_operators_side_by_side(opened: Open) -> None:
    app = opened("operators")
    assert_sound(app)
    assert [title.value for title in app.title] == ["Operator lab"]
    assert app.main.multiselect[0].value == OPENS_WITH
    assert badges(app) == [False, True, True]
    assert {"operators-E-0", "operators-E-1", "operators-E-2"} <= charts(app).keys()
    assert [line["line"]["dash"] for line in charts(app)["operators-similarity"]["data"]] == ["solid", "dash", "dash"]
    said = " ".join(texts(app))
    for name in OPENS_WITH:
        assert FILTERS[name].source.split()[0] in said


def test_every_operator_of_the_registry_is_offered_and_drawn(lab: AppTest) -> None:
    kernels = [name for name, kind in KERNELS.items() if not kind.has_own_weights]
    words = [str(Operator(name, kernel=kernel)) for kernel in kernels for name in FILTERS]
    assert lab.main.multiselect[0].options == words
    choose(lab, *lab.main.multiselect[0].options)
    assert_sound(lab)
    assert badges(lab) == [False] + [True] * (len(words) - 1)
    assert sum(key.startswith("operators-E-") for key in charts(lab)) == len(words)
    assert [name.partition("=")[0] for name in lines(lab, "operators-similarity")] == words
    assert len(parameter_sliders(lab)) == len(kernels) * sum(row.parameter is not None for row in FILTERS.values())
    assert any("explicit form" in text for text in texts(lab))


def test_what_the_weights_were_trained_with_is_no_counterfactual(lab: AppTest) -> None:
    lab.segmented_control(key="weights").set_value("twicing model").run()
    assert badges(lab) == [True, False, True]
    choose(lab, "boosting=2", "neutreno=0", "quadratic=1.5")
    assert_sound(lab)
    assert badges(lab) == [False, True, True]


# --- what it computes ---------------------------------------------------------------------------------------------


def effective(text: str, A: np.ndarray) -> np.ndarray:
    """`E` of a later block by its equation."""
    identity, J = np.eye(len(A)), np.full_like(A, 1 / len(A))
    return {
        "standard": A,
        "twicing": 2 * A - A @ A,
        "neutreno=0.6": A - 0.6 * identity,
        "boosting=3": identity - np.linalg.matrix_power(identity - A, 3),
        "resformer": A / 2,
        "svformer": 0 * A,
        "centred": A - J,
        "attnscale=0.5": J + 1.5 * (A - J),
        "linear-twicing": 2 * A - A @ A,
    }[text]


CHECKED = [
    *("standard", "twicing", "neutreno=0.6", "boosting=3", "resformer", "svformer", "centred", "attnscale=0.5"),
    "linear-twicing",
]


def test_similarity_and_spectra_are_those_of_the_passes(lab: AppTest) -> None:
    choose(lab, *CHECKED)
    assert_sound(lab)
    similarity, spectra = lines(lab, "operators-similarity"), lines(lab, "operators-spectrum")
    for text in CHECKED:
        trace = traced(text)
        for state, tokens in enumerate(trace.tokens.double().numpy()):
            patches = tokens[trace.prefix :]
            unit = patches / np.linalg.norm(patches, axis=1, keepdims=True)
            cosines = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
            assert similarity[text][state] == pytest.approx(cosines.mean(), abs=2e-6)
        by_head = [
            np.sort(np.abs(scipy.linalg.eigvals(effective(text, A))))[::-1]
            for A in trace.attention[-1].double().numpy()
        ]
        np.testing.assert_allclose(spectra[text], np.mean(by_head, axis=0), atol=1e-7)


def test_the_spectrum_of_one_head(lab: AppTest) -> None:
    choose(lab, "twicing")
    lab.segmented_control(key="head").set_value("2").run()
    assert_sound(lab)
    A = traced("twicing").attention[-1, 1].double().numpy()
    moduli = np.sort(np.abs(scipy.linalg.eigvals(2 * A - A @ A)))[::-1]
    np.testing.assert_allclose(lines(lab, "operators-spectrum")["twicing"], moduli, atol=1e-7)


def test_maps_are_rows_of_e_and_of_e_0(lab: AppTest) -> None:
    row, column, token = facts().patch(0.5, 0.5)
    lab.selectbox(key="token").set_value(f"patch {row}, {column}")
    choose(lab, "twicing", "resformer", "neutreno")
    assert_sound(lab)
    (outline,) = charts(lab)["operators-E-0"]["layout"]["shapes"]
    assert (outline["x0"], outline["y0"]) == (column - 1.5, row - 1.5)
    for index, text in enumerate(("twicing", "resformer", "neutreno=0.6")):
        trace = traced(text)
        A = trace.attention[-1].double().numpy()
        expected = np.mean([effective(text, each) for each in A], axis=0)[token, trace.prefix :]
        np.testing.assert_allclose(values(lab, f"operators-E-{index}"), expected, rtol=6e-3, atol=1e-6)
    A = traced("resformer").attention[-1].double().numpy()
    np.testing.assert_allclose(values(lab, "operators-E0-1"), A.mean(axis=0)[token, 1:] / 2, rtol=6e-3, atol=1e-6)
    picked = np.where(np.arange(facts().tokens - 1) == token - 1, 0.6, 0)
    np.testing.assert_allclose(values(lab, "operators-E0-2"), picked, rtol=1e-6)


def values(app: AppTest, key: str) -> np.ndarray:
    """What the pointer is told of every patch, in three digits."""
    (patches,) = charts(app)[key]["data"]
    return np.array([float(text.rpartition(" ")[2].replace("−", "-")) for text in patches["text"]])


def test_the_answer_is_that_of_the_pass(lab: AppTest) -> None:
    choose(lab, "twicing")
    logits = traced("twicing").logits.double().numpy()
    first, second = np.sort(logits)[::-1][:2]
    share = np.exp(first - scipy.special.logsumexp(logits))
    assert any(f" {share:.1%}, margin {first - second:.2f}" in text for text in texts(lab))


@pytest.mark.parametrize("text", ["standard", "boosting=4", "resformer", "svformer", "linear-twicing@3-4"])
def test_the_cost_is_what_the_pass_counts(open_app: Open, text: str) -> None:
    app = choose(open_app("operators"), text)
    model = checkpoints.load(sources.opening("standard")).module
    set_filter(model, operators.in_blocks(text, facts().depth))
    assert any(one.value == f"{count(model).multiply_adds / 1e9:.3g} GFLOPs a pass" for one in app.main.caption)


# --- what a visitor may do ----------------------------------------------------------------------------------------


def test_a_slider_rewrites_its_operator_alone(lab: AppTest) -> None:
    (slider,) = parameter_sliders(lab)
    assert (slider.label, slider.min, slider.max, slider.value) == ("α", 0.0, 1.0, 0.6)
    slider.set_value(0.25).run()
    assert_sound(lab)
    assert lab.main.multiselect[0].value == ["standard", "twicing", "neutreno=0.25"]
    assert "neutreno=0.25" in lines(lab, "operators-similarity")
    assert lab.query_params["operators"] == ["standard", "twicing", "neutreno=0.25"]
    blocks = [one for one in lab.main.slider if one.label == "in blocks"]
    blocks[0].set_value((10, 12)).run()
    assert_sound(lab)
    assert lab.main.multiselect[0].value == ["standard", "twicing@10-12", "neutreno=0.25"]
    np.testing.assert_allclose(
        lines(lab, "operators-similarity")["twicing@10-12"][:10], lines(lab, "operators-similarity")["standard"][:10]
    )


def test_the_slider_of_the_quadratic_filter_stays_where_it_is_standard_or_twicing(lab: AppTest) -> None:
    choose(lab, "quadratic@2-3")
    for value in (1.0, 2.5, 2.0):
        (slider,) = parameter_sliders(lab)
        assert (slider.min, slider.max) == (0.0, 3.0)
        slider.set_value(value).run()
        assert_sound(lab)
        assert lab.main.multiselect[0].value == [f"quadratic={value:g}@2-3"]


def test_an_address_opens_what_it_names(open_app: Open) -> None:
    open_app("operators")
    app = AppTest.from_file(str(FRAME), default_timeout=60)
    view = {"layer": "3", "head": "1", "weights": "twicing model", "token": "patch 2, 3"}
    for name, value in {"operators": ["linear", "quadratic=1.5@2-3"], **view}.items():
        app.query_params[name] = value
    app.switch_page("explore/operators.py").run()
    assert_sound(app)
    assert list(lines(app, "operators-similarity")) == ["linear", "quadratic=1.5@2-3"]
    assert any("layer 3, head 1, query: patch 2, 3" in one.value for one in app.main.caption)
    assert any(one.value.startswith("Random DeiT\\-Tiny/\u200b8 64px\\-Twicing") for one in app.main.caption)


@pytest.mark.parametrize("text", ["nonsense", "neutreno=7", "twicing@3-99", "linear-", "twicing,standard", "<b>"])
def test_what_cannot_be_read_is_said_and_the_rest_drawn(lab: AppTest, text: str) -> None:
    choose(lab, "standard", text)
    assert not lab.exception
    (error,) = lab.error
    assert_one_sentence(re.sub(r"\\|\u200b", "", error.value))
    assert list(lines(lab, "operators-similarity")) == ["standard"]


def test_any_number_may_be_put_in(lab: AppTest) -> None:
    choose(lab, "standard", "quadratic=1e300", "quadratic=-5")
    assert_sound(lab)
    assert any("its logits are not finite" in one.value for one in lab.main.markdown)
    (slider,) = parameter_sliders(lab)
    assert (slider.min, slider.max) == (-5.0, 3.0)


def test_nothing_chosen_is_said(lab: AppTest) -> None:
    choose(lab)
    assert_sound(lab)
    assert [one.value for one in lab.info] == ["Choose an operator."]


def test_what_was_computed_is_not_computed_again(lab: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[Operators] = []
    run = OperatorsJob.run
    monkeypatch.setattr(OperatorsJob, "run", lambda job, *given: passes.append(job.filter) or run(job, *given))
    choose(lab, *OPENS_WITH, "attnscale=3.35")
    assert len(passes) == 1
    lab.segmented_control(key="head").set_value("2").run()
    lab.slider(key="layer").set_value(2).run()
    assert_sound(lab)
    assert len(passes) == 1
    assert torch.get_num_threads() >= 1
