"""Settings: every wrong value is one sentence that names it, whatever it is; what is right is kept exactly."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.disturb.settings import Attack, Kind
from explorer.measures.settings import Matrix
from explorer.studio import PRESETS, TEMPLATES, Spec
from explorer.studio.parse import from_settings
from explorer.studio.spec import SETTINGS, Preset
from explorer.studio.templates.attack import settings as settings_of
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence
from tests.studio.strategies import told

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def refusal(**settings: Any) -> str:
    with pytest.raises(ExplorerError) as caught:
        from_settings({"template": "heatmaps", **settings})
    message = str(caught.value)
    assert_one_sentence(message)
    return message


@pytest.mark.parametrize(
    ("name", "value", "came"),
    [
        ("template", "pie", "pie"),
        ("layers", (0,), "0"),
        ("layers", (-1,), "-1"),
        ("layers", (1001,), "1001"),
        ("layers", (1.5,), "1.5"),
        ("layers", 3, "3"),
        ("layers", "3", "3"),
        ("layers", (True,), "True"),
        ("heads", "0", "0"),
        ("heads", "some", "some"),
        pytest.param("heads", "9" * 5000, "999", id="heads-large"),
        ("heads", -1, "-1"),
        ("heads", None, "None"),
        ("query", "corner", "corner"),
        ("query", "register-0", "register-0"),
        ("query", "register 1", "register 1"),
        ("query", "registers", "registers"),
        ("query", "0.5", "0.5"),
        ("query", "0.5,0.5,0.5", "0.5,0.5,0.5"),
        ("query", "0.5,1.01", "1.01"),
        ("query", "nan,0", "nan"),
        ("query", (0.5, 0.5), "(0.5, 0.5)"),
        ("matrix", "b", "b"),
        ("quantity", "size", "size"),
        ("baseline_picture", "pink", "pink"),
        ("path_steps", 0, "0"),
        ("samples", 1001, "1001"),
        ("square", 65, "65"),
        ("corruption", "rain", "rain"),
        ("attack", "CW", "CW"),
        ("eps", 8.5, "8.5"),
        ("eps", -1, "-1"),
        ("eps", math.nan, "nan"),
        ("steps", 0, "0"),
        ("steps", 201, "201"),
        ("steps", 2.5, "2.5"),
        ("step_size", 0, "0"),
        ("step_size", "small", "small"),
        ("random_start", 1, "1"),
        ("seed", -1, "-1"),
        ("seed", 10**9, "1e+09"),
        ("transfer", 1, "1"),
        ("with_cls", 1, "1"),
        ("with_cls", "no", "no"),
        ("iterations", (), "0"),
        ("iterations", (0,), "0"),
        ("iterations", tuple(range(1, 20)), "19"),
        ("scale", "log", "log"),
        ("colour_map", "jet", "jet"),
        ("opacity", 1.1, "1.1"),
        ("opacity", math.nan, "nan"),
        ("picture", "blurred", "blurred"),
        ("preset", "napkin", "napkin"),
        ("width", 0, "0"),
        ("width", 0.5, "0.5"),
        ("width", "3", "3"),
        ("width", math.inf, "inf"),
        ("height", 61, "61"),
        ("dpi", 35, "35"),
        ("dpi", 100.5, "100.5"),
        pytest.param("dpi", 10**400, "1000", id="dpi-large"),
        pytest.param("dpi", 10**5000, "very large", id="dpi-huge"),
        ("font", "Comic Papyrus", "Comic Papyrus"),
        ("font", "", "''"),
        ("font", 3, "3"),
        ("font_size", 3, "3"),
        ("font_size", 0, "0"),
        ("labels", "one", "one"),
        ("labels", (1,), "1"),
        ("labels", ("half \ud800",), "ud800"),
        ("names", ("only",), "1"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_the_setting_and_the_value(name: str, value: Any, came: str) -> None:
    message = refusal(**{name: value})
    assert came in message
    assert name in message or name == "template"


def test_more_pixels_than_memory_holds_are_refused() -> None:
    assert "200 megapixels" in refusal(width=50.0, height=60.0, dpi=600)


@pytest.mark.parametrize("template", ["heatmaps", "evolution", "corruption"])
def test_the_rollout_has_no_heads_to_choose(template: str) -> None:
    """It is a mean over heads: a figure that claims to show head 3 of it would lie."""
    for heads in ("3", "max", "all"):
        assert "rollout" in refusal(template=template, matrix="rollout", heads=heads)
    assert from_settings({"template": template, "matrix": "rollout"}).heads == "mean"


def test_values_are_kept_as_the_annotation_says() -> None:
    spec = from_settings({"template": "evolution", "layers": range(1, 4), "heads": 2, "labels": ["a"], "width": 4})
    assert (spec.template, spec.layers, spec.heads, spec.labels) == (TEMPLATES["evolution"], (1, 2, 3), "2", ("a",))
    assert isinstance(spec.width, float)
    assert hash(spec) == hash(Spec(TEMPLATES["evolution"], (1, 2, 3), "2", labels=("a",), width=4.0))


def test_names_of_earlier_versions_are_read() -> None:
    """Of a template and of a setting, in figures, Python and the shell."""
    spec = from_settings({"template": "operators", "heads": "max", "operator": "a"})
    assert spec == from_settings({"template": "matrices", "heads": "max", "matrix": "a"})
    assert from_settings({"template": "operators", "heads": "max"}).template is TEMPLATES["operators"]
    spec = from_settings({"template": "heatmaps", "operator": "a-a2"})
    assert spec == Spec(TEMPLATES["heatmaps"], matrix=Matrix.CORRECTION)
    assert "operator" not in spec.as_settings()


@pytest.mark.parametrize("text", ["", "standard,", "nonsense", "neutreno=7", "twicing,twicing", "twicing@5-2"])
def test_operators_that_there_are_not_are_refused(text: str) -> None:
    assert refusal(template="operators", operators=text)


@pytest.mark.parametrize("told", [None, [], "heatmaps", {}, {"layers": [1]}, {"template": "heatmaps", "pie": 1}])
def test_other_than_settings_is_refused(told: Any) -> None:
    with pytest.raises(ExplorerError) as caught:
        from_settings(told)
    assert_one_sentence(str(caught.value))


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from([one.name for one in SETTINGS]) | st.text(), JSON, max_size=6), JSON)
def test_garbage_raises_nothing_else(values: dict[str, Any], template: Any) -> None:
    for one in ("heatmaps", template):
        try:
            from_settings({"template": one, **values})
        except ExplorerError as error:
            assert "\n" not in str(error)  # noqa: PT017


@settings(deadline=None, max_examples=60)
@given(told())
def test_what_is_told_gives_the_same_settings(values: dict[str, Any]) -> None:
    spec = Spec(**values)
    assert from_settings(spec.as_settings()) == spec


def test_a_preset_gives_what_is_not_set() -> None:
    for key, preset in PRESETS.items():
        page = Spec(TEMPLATES["heatmaps"], preset=key).page
        assert (page.width, page.height, page.font_size, page.font) == (
            preset.width,
            preset.height,
            preset.font_size,
            preset.font,
        )
    page = Spec(TEMPLATES["heatmaps"], preset=Preset.SLIDE, width=2.0, font="serif").page
    assert (page.width, page.height, page.font) == (2.0, PRESETS["slide"].height, "serif")


@pytest.mark.parametrize(
    ("query", "place"),
    [("cls", None), ("distillation", None), ("register-12", None), ("0,1", (0.0, 1.0)), ("0.5,0.25", (0.5, 0.25))],
)
def test_a_query_is_a_place(query: str, place: tuple[float, float] | None) -> None:
    assert Spec(TEMPLATES["heatmaps"], query=query).place == place


def test_limits_are_those_of_the_attack() -> None:
    """Every setting that is accepted makes an attack."""
    for eps, steps, step in ((0, 1, 0.001), (8, 200, 255), (4, 20, None)):
        found = settings_of(Spec(TEMPLATES["attack"], attack=Kind.PGD, eps=eps, steps=steps, step_size=step, seed=3))
        assert found == Attack(Kind.PGD, eps / 255, steps, None if step is None else step / 255, seed=3)
    assert settings_of(Spec(TEMPLATES["attack"])) == Attack(Kind.FGSM, 4 / 255)
