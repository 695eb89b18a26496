"""The figure studio under AppTest: what it shows is what Python makes, and no setting loses another."""

import hashlib
import io
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import explorer
from explorer.attribution.settings import Baseline, Method
from explorer.pictures import examples, images
from explorer.studio import PRESETS, TEMPLATES, Spec, record
from explorer.studio.made import SUFFIXES
from explorer.studio.spec import SETTINGS
from explorer.studio.template import PAGE
from explorer.ui import work
from explorer.ui.publish import compute, settings
from explorer.ui.shell import resources
from tests.helpers import assert_one_sentence, plain_text
from tests.pair import facts
from tests.studio.helpers import pair, picture, prefixed, result
from tests.ui.conftest import Open
from tests.ui.test_pages import assert_sound, swapped_key, upload

STUDIO = "publish/studio.py"
SHOWN = [f"example:{one.file}" for one in examples.EXAMPLES[:3]]


Files = dict[str, Callable[[], bytes]]
"""What the download buttons were given last, by suffix."""


def listen(monkeypatch: pytest.MonkeyPatch) -> Files:
    found: Files = {}
    real = compute.file

    def file(view: Any, spec: Any, photos: Any, suffix: str) -> Callable[[], bytes]:
        found[suffix] = real(view, spec, photos, suffix)
        return found[suffix]

    monkeypatch.setattr(compute, "file", file)
    return found


def visit(open_app: Open) -> AppTest:
    page = open_app()
    page.switch_page(STUDIO).run()
    assert_sound(page)
    return page


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    return listen(monkeypatch)


@pytest.fixture
def app(open_app: Open, files: Files) -> AppTest:
    """A new visitor in the studio."""
    return visit(open_app)


@pytest.fixture(scope="module")
def visitor(open_app: Open) -> Iterator[tuple[AppTest, Files]]:
    """A visitor who goes from figure to figure, on a page of few pixels."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        files = listen(monkeypatch)
        app = visit(open_app)
        app.number_input(key="studio-dpi").set_value(36).run()
        yield app, files


@pytest.fixture(scope="module")
def opening() -> explorer.ModelPair:
    return explorer.load_pair()


def choose(app: AppTest, template: str) -> AppTest:
    app.selectbox(key="studio-template").set_value(TEMPLATES[template]).run()
    assert_sound(app)
    return app


def caption(app: AppTest) -> str:
    return app.code[0].value + "\n"


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_the_one_from_python(
    visitor: tuple[AppTest, Files], opening: explorer.ModelPair, template: str
) -> None:
    app, files = visitor
    choose(app, template)
    known = explorer.figure(template, [] if template == "robustness" else SHOWN, opening, dpi=36)
    assert caption(app).strip() == known.caption.strip()
    assert app.code[1].value == known.command
    assert list(files) == list(SUFFIXES)
    assert files[".png"]() == known.file(".png")


@pytest.mark.parametrize("preset", ["poster", "slide"])
def test_presets_are_sizes(visitor: tuple[AppTest, Files], preset: str) -> None:
    app, _ = visitor
    app.selectbox(key="studio-preset").set_value(preset)
    choose(app, "dynamics")
    assert any(f"{PRESETS[preset].width:.2f} x" in one.value for one in app.main.caption)


def test_the_last_figure_is_remembered(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise AssertionError("made again")

    before = caption(app)
    monkeypatch.setattr(compute, "build", build)
    app.run()
    assert_sound(app)
    assert caption(app) == before


def test_all_files_are_of_the_figure_that_was_previewed(
    app: AppTest, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> None:
        raise AssertionError("made again")

    app.number_input(key="studio-dpi").set_value(36).run()
    monkeypatch.setattr(compute, "build", build)
    for suffix in SUFFIXES:
        assert files[suffix]()


def test_a_figure_that_is_no_longer_kept_is_made_again(app: AppTest, files: Files) -> None:
    app.number_input(key="studio-dpi").set_value(36).run()
    known = files[".png"]()
    compute._figures.cache_clear()
    assert files[".png"]() == known


def test_images_are_taken_as_they_were_decoded(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(_: bytes) -> None:
        raise AssertionError("decoded again")

    before = caption(app)
    monkeypatch.setattr(images, "decode", decode)
    app.toggle(key="studio-bare").set_value(True).run()
    assert_sound(app)
    assert "--bare" in app.code[1].value
    assert caption(app) == before


def test_a_setting_that_does_not_fit_is_one_error_and_nothing_else_is_lost(app: AppTest) -> None:
    app.toggle(key="studio-letters").set_value(True).run()
    before = caption(app), app.code[1].value
    app.number_input(key="studio-dpi").set_value(1200)
    app.number_input(key="studio-width-iclr").set_value(50.0).run()
    assert not app.exception
    assert len(app.error) == 1
    assert_one_sentence(plain_text(app.error[0].value))
    assert "200 megapixels" in app.error[0].value
    assert not app.code
    app.number_input(key="studio-dpi").set_value(300)
    app.number_input(key="studio-width-iclr").set_value(5.5).run()
    assert_sound(app)
    assert (caption(app), app.code[1].value) == before
    assert "--letters" in before[1]


def test_a_large_file_is_drawn_when_a_button_is_pressed(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    app.number_input(key="studio-dpi").set_value(36).run()
    monkeypatch.setattr(compute, "QUICK_PIXELS", 1000)
    app.run()
    app.segmented_control(key="studio-format").set_value(".png").run()
    assert_sound(app)
    assert not app.get("download_button")
    app.button(key="studio-file-work").click().run()
    assert_sound(app)
    assert len(app.get("download_button")) == 1
    (name,) = {key for key in work.results()._values if key[0] == "studio-file"}
    known = compute._figures().get(name[1:-1])
    assert known is not None
    assert work.kept(name) == known.file(".png")


def test_more_pixels_than_the_page_draws_are_the_shells(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "MOST_PIXELS", 1_000_000)
    app.run()
    assert_sound(app)
    assert any("at most 1 megapixels" in one.value for one in app.warning)
    assert not app.get("download_button")
    assert app.code[1].value.startswith("python -m explorer figure")


def test_the_rollout_of_one_head_is_refused_in_a_sentence(app: AppTest) -> None:
    app.segmented_control(key="studio-matrix").set_value("rollout").run()
    assert_sound(app)
    app.segmented_control(key="studio-heads").set_value("2").run()
    assert len(app.error) == 1
    assert "rollout" in app.error[0].value


def test_no_image_is_a_sentence(app: AppTest) -> None:
    app.multiselect(key="studio-images").set_value([]).run()
    assert not app.exception
    assert len(app.error) == 1
    assert_one_sentence(plain_text(app.error[0].value))
    choose(app, "dynamics")
    assert "Ticks" not in caption(app)


def test_all_heads_are_one_click(app: AppTest) -> None:
    app.segmented_control(key="studio-heads").set_value("all").run()
    assert_sound(app)
    assert f"all {facts().heads} heads" in caption(app)
    assert "--heads all" in app.code[1].value


def test_all_images_are_one_toggle(app: AppTest) -> None:
    choose(app, "similarity")
    app.toggle(key="studio-all").set_value(True).run()
    assert_sound(app)
    assert f"{len(examples.EXAMPLES)} images" in caption(app)
    assert all(f"example:{one.file}" in app.code[1].value for one in examples.EXAMPLES)


def test_settings_stay_when_the_template_changes(app: AppTest) -> None:
    app.segmented_control(key="studio-heads").set_value("2").run()
    app.selectbox(key="studio-preset").set_value("cvpr-column").run()
    app.multiselect(key="studio-images").set_value([examples.EXAMPLES[1].file]).run()
    for template in ("similarity", "dynamics", "evolution"):
        choose(app, template)
    assert "head 2; 1 image" in caption(app)
    assert "--preset cvpr-column" in app.code[1].value
    assert f"example:{examples.EXAMPLES[1].file}" in app.code[1].value


def test_a_query_is_chosen_by_its_place(app: AppTest) -> None:
    app.segmented_control(key="studio-query").set_value("a patch").run()
    app.slider(key="studio-Down").set_value(1.0).run()
    assert_sound(app)
    assert "the outlined patch" in caption(app)
    assert "--query 1,0.5" in app.code[1].value


def test_a_query_is_any_prefix_token_of_the_models(open_app: Open, files: Files) -> None:
    app = visit(open_app)
    assert app.segmented_control(key="studio-query").options == ["CLS", "a patch"]
    keys = [resources.engine().add(model).key for model in prefixed()]
    try:
        app.run()
        for box, key in zip(("baseline", "twicing"), keys, strict=True):
            app.sidebar.selectbox(key=f"model-{box}").set_value(key)
        app.run()
        control = app.segmented_control(key="studio-query")
        assert control.options == ["CLS", "register 1", "register 2", "register 3", "distillation", "a patch"]
        control.set_value("distillation").run()
        assert_sound(app)
        assert "the distillation token (CLS, or the mean patch, in models without it)" in caption(app)
        assert "--query distillation" in app.code[1].value
    finally:
        for key in keys:
            resources.engine().remove(key)
    app.run()
    assert_sound(app)
    assert "query: the CLS token" in caption(app)


def test_a_swapped_pair_is_said(app: AppTest) -> None:
    (box,) = [one for one in app.sidebar.selectbox if one.label == "Twicing"] or [app.sidebar.selectbox[-1]]
    box.set_value(swapped_key(box.label)).run()
    assert_sound(app)
    assert app.warning
    assert "counterfactual" in caption(app)
    assert "--twicing-operator standard" in app.code[1].value


HOSTILE = ["$x$ **b** <script>.png", "100%_&{}\\.png", "猫 :cat: [a](http://b.c).png", "-rf.png", ("w" * 120) + ".png"]


def test_uploads_of_any_name_are_drawn(app: AppTest, files: Files) -> None:
    upload(app, *((name, picture(seed)) for seed, name in enumerate(HOSTILE)))
    assert_sound(app)
    choose(app, "similarity")
    app.toggle(key="studio-all").set_value(True).run()
    assert_sound(app)
    told = record.read(files[".png"]())
    assert set(HOSTILE) <= {name for name, _ in told.images}
    command = app.code[1].value
    assert "./-rf.png" in command


def test_an_upload_beside_examples(app: AppTest, files: Files) -> None:
    upload(app, ("disc.png", picture()))
    app.number_input(key="studio-dpi").set_value(72)
    app.toggle(key="studio-row_labels").set_value(True).run()
    assert_sound(app)
    with Image.open(io.BytesIO(files[".png"]())) as image:
        assert image.width == round(5.5 * 72)


# --- settings that are left over from another pair ----------------------------------------------------------------


def leftover() -> None:
    import streamlit as st

    from explorer.studio import TEMPLATES
    from explorer.ui.publish import controls

    depth, heads = st.session_state.sizes
    st.session_state.spec = controls.choose(TEMPLATES["evolution"], depth, heads)


def test_layers_and_heads_of_a_larger_pair_do_not_break_a_smaller_one() -> None:
    app = AppTest.from_function(leftover, default_timeout=30)
    app.session_state.sizes = (12, 12)
    app.run()
    app.segmented_control(key="studio-heads").set_value("12").run()
    app.button_group(key="studio-layers").set_value([2, 12]).run()
    assert not app.exception
    assert app.session_state.spec.layers == (2, 12)
    app.session_state.sizes = (4, 3)
    app.run()
    assert not app.exception, app.exception[0].message
    spec = app.session_state.spec
    assert max(spec.layers or (1,)) <= 4
    assert spec.heads in ("mean", "max", "all", "1", "2", "3")


# --- result files instead of images -------------------------------------------------------------------------------


def results(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    (uploader,) = [one for one in app.file_uploader if one.label == "Result files"]
    for name, data in files:
        uploader.upload(name, data, "application/octet-stream")
    return app.run()


def test_results_are_uploaded_where_no_photographs_are_chosen(
    app: AppTest, files: Files, opening: explorer.ModelPair
) -> None:
    choose(app, "robustness")
    assert not [one for one in app.multiselect if one.label == "Images"]
    data = result(opening)
    results(app, ("mine.jsonl", data))
    assert_sound(app)
    assert "40 images" in caption(app)
    assert "--images mine.jsonl" in app.code[1].value
    assert record.read(files[".png"]()).images == (("mine.jsonl", hashlib.sha256(data).hexdigest()),)


def test_transfer_is_a_toggle(app: AppTest, opening: explorer.ModelPair) -> None:
    choose(app, "robustness")
    results(app, ("mine.jsonl", result(opening, transfer=True)))
    assert "fool" not in caption(app)
    app.toggle(key="studio-transfer").set_value(True).run()
    assert_sound(app)
    assert "made to fool the other model" in caption(app)
    words = shlex.split(app.code[1].value)
    assert words[words.index("--images") + 1] == "mine.jsonl"
    assert "--transfer" in words


def test_results_of_others_are_one_sentence(app: AppTest) -> None:
    choose(app, "robustness")
    results(app, ("theirs.jsonl", result(pair())))
    assert not app.exception
    assert len(app.error) == 1
    assert "theirs" in app.error[0].value


def keys_of(app: AppTest) -> set[str]:
    """The settings there are controls for."""
    kinds = (app.selectbox, app.segmented_control, app.number_input, app.toggle, app.slider, app.text_input)
    return {one.key.removeprefix("studio-") for kind in kinds for one in kind if one.key}


def of_an_attribution() -> None:
    import streamlit as st

    from explorer.studio import TEMPLATES
    from explorer.ui.publish import controls

    st.session_state.spec = controls.choose(TEMPLATES["attribution"], 12, 3)


def test_an_attribution_has_the_settings_its_method_reads() -> None:
    app = AppTest.from_function(of_an_attribution, default_timeout=30).run()
    every = {"baseline_picture", "path_steps", "square", "samples", "seed"}
    assert not every & keys_of(app)
    for method, own in (
        ("integrated-gradients", {"baseline_picture", "path_steps"}),
        ("occlusion", {"baseline_picture", "square"}),
        ("feature-ablation", {"baseline_picture"}),
        ("gradient-shap", {"samples", "seed"}),
    ):
        app.selectbox(key="studio-method").set_value(method).run()
        assert not app.exception
        assert every & keys_of(app) == own
        assert app.session_state.spec == Spec(TEMPLATES["attribution"], method=Method(method))
    app.slider(key="studio-samples").set_value(4)
    app.number_input(key="studio-seed").set_value(3).run()
    assert app.session_state.spec == Spec(TEMPLATES["attribution"], method=Method.GRADIENT_SHAP, samples=4, seed=3)
    app.selectbox(key="studio-method").set_value("occlusion").run()
    app.segmented_control(key="studio-square").set_value("2")
    app.selectbox(key="studio-baseline_picture").set_value("blurred").run()
    assert app.session_state.spec == Spec(
        TEMPLATES["attribution"], method=Method.OCCLUSION, square=2, baseline_picture=Baseline.BLURRED
    )


def test_controls_are_those_of_the_template(app: AppTest) -> None:
    def keys() -> set[str]:
        return keys_of(app)

    app.multiselect(key="studio-images").set_value([examples.EXAMPLES[0].file]).run()  # attacks take their time
    choose(app, "corruption")
    assert {"corruption", "seed", "matrix", "query", "scale"} <= keys()
    assert not {"picture", "eps", "target"} & keys()
    choose(app, "attack")
    assert {"attack", "eps", "target"} <= keys()
    assert not {"steps", "corruption", "matrix", "scale", "colour_bar"} & keys()
    app.segmented_control(key="studio-attack").set_value("pgd").run()
    assert {"steps", "step_size", "random_start"} <= keys()
    assert "seed" not in keys()
    app.toggle(key="studio-random_start").set_value(True).run()
    assert_sound(app)
    assert "seed" in keys()
    assert "--attack pgd --random-start" in app.code[1].value
    choose(app, "robustness")
    assert not {"heads", "scale", "seed", "row_labels"} & keys()


def of_any_template() -> None:
    import streamlit as st

    from explorer.studio import TEMPLATES
    from explorer.ui.publish import controls

    st.session_state.spec = controls.choose(TEMPLATES[st.session_state.name], 12, 3)


def test_every_setting_but_labels_has_a_control() -> None:
    assert {*settings.CONTROLS, "labels", "input_size"} == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_settings_of_a_template_are_on_the_page_and_no_others(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def heard(setting: str) -> Callable[[settings.Asked], Any]:
        control = settings.CONTROLS[setting]
        return lambda models: (asked.append(setting), control(models))[1]

    monkeypatch.setattr(settings, "CONTROLS", {setting: heard(setting) for setting in settings.CONTROLS})
    app = AppTest.from_function(of_any_template, default_timeout=30)
    app.session_state.name = name
    app.run()
    assert app.session_state.spec == Spec(TEMPLATES[name])
    own = [setting for setting in asked if setting not in (*settings.LOOK, *settings.PAGE)]
    assert own == [setting for setting in TEMPLATES[name].settings if setting in own]
    for method in Method if "method" in asked else ():
        app.selectbox(key="studio-method").set_value(method).run()
    if "attack" in asked:
        app.segmented_control(key="studio-attack").set_value("pgd").run()
        app.toggle(key="studio-random_start").set_value(True).run()
    assert not app.exception
    assert set(asked) == {*TEMPLATES[name].settings, *PAGE}
