"""The pages of attribution, corruptions and attacks, as a visitor meets them."""

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from explorer import cli
from explorer.attribution.settings import Method
from explorer.disturb.settings import Attack
from explorer.models.named import load_named
from explorer.pictures import examples, images, labelled, preprocess
from explorer.ui import work
from explorer.ui.challenge.attacks import compute as attacking
from explorer.ui.challenge.labelled import compute as labelling
from explorer.ui.challenge.labelled import controls as labelled_controls
from explorer.ui.shell import resources
from tests.helpers import write_folder
from tests.ui.conftest import Open
from tests.ui.test_pages import assert_sound, charts, choose, numbers, png, texts, upload

ONE_PASS = (Method.SALIENCY, Method.INPUT_X_GRADIENT, Method.GRAD_CAM, Method.WEIGHTED_ROLLOUT)
TITLES = {"attribution": "Attribution", "corruptions": "Corruptions", "attacks": "Attacks"}


@pytest.fixture
def page(app: AppTest) -> Open:
    """Opens one of the pages for a new visitor."""

    def open(name: str) -> AppTest:
        app.switch_page(f"challenge/{name}.py").run()
        assert_sound(app)
        return app

    return open


def method(app: AppTest, one: Method) -> AppTest:
    app.selectbox(key="attribution-method").set_value(one).run()
    assert_sound(app)
    return app


@pytest.mark.parametrize("name", TITLES)
def test_a_page_opens_with_its_heading_and_a_sentence(page: Open, name: str) -> None:
    app = page(name)
    assert [title.value for title in app.title] == [TITLES[name]]
    assert len(app.main.markdown[0].value) > 40


def test_the_page_opens_with_a_method_that_takes_one_pass(page: Open) -> None:
    """Integrated Gradients of the pair that opens takes 40 seconds of a processor."""
    assert Method(page("attribution").selectbox(key="attribution-method").value) in ONE_PASS


def test_the_page_says_that_attention_is_not_attribution(page: Open) -> None:
    assert "attention is not attribution" in page("attribution").main.markdown[0].value


def test_captum_is_not_there_before_a_map_is_asked_for() -> None:
    modules = ", ".join(f"explorer.ui.challenge.{page}.draw" for page in ("attribution", "attacks", "corruptions"))
    code = f"import sys, {modules}; print('captum' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False"], done.stderr


@pytest.mark.parametrize("one", [Method.SALIENCY, Method.GRAD_CAM])
def test_both_models_share_a_scale_around_zero_or_from_it(page: Open, one: Method) -> None:
    app = method(page("attribution"), one)
    bars = [charts(app)[f"attribution-bar-{i}"]["data"][0]["x"] for i in (0, 1)]
    first, second = (numbers(bar) for bar in bars)
    np.testing.assert_array_equal(first, second)
    assert first[0] == pytest.approx(-first[-1] if one.is_signed else 0.0)
    assert app.button_group(key="colour-map").disabled == one.is_signed


def test_integrated_gradients_say_their_convergence_delta(page: Open) -> None:
    app = method(page("attribution"), Method.INTEGRATED_GRADIENTS)
    said = [one.value for one in app.caption if "convergence delta " in one.value]
    assert len(said) == 2
    for one in said:
        assert re.search("convergence delta [+−].*: the sum minus \\(y\\(image\\) − y\\(baseline\\)\\)\\.", one), one


@pytest.mark.parametrize(
    ("one", "unit"),
    [
        (Method.WEIGHTED_ROLLOUT, None),
        (Method.GRAD_CAM, None),
        (Method.FEATURE_ABLATION, ", logit"),
        (Method.SALIENCY, ", logit per unit of pixel"),
    ],
)
def test_the_colour_bar_names_a_unit_where_there_is_one(page: Open, one: Method, unit: str | None) -> None:
    app = method(page("attribution"), one)
    assert charts(app)["attribution-bar-0"]["layout"]["xaxis"]["title"]["text"] == f"{one.label}{unit or ''}"


def test_a_class_of_ones_own_changes_the_maps(page: Open) -> None:
    app = method(page("attribution"), Method.GRAD_CAM)
    before = numbers(charts(app)["attribution-bar-0"]["data"][0]["x"])[-1]
    other = app.selectbox(key="attribution-class").options[-1]
    app.selectbox(key="attribution-class").select(other).run()
    assert_sound(app)
    assert numbers(charts(app)["attribution-bar-0"]["data"][0]["x"])[-1] != before


def test_the_same_map_is_made_once(page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = method(page("attribution"), Method.GRAD_CAM)
    monkeypatch.setattr("explorer.attribution.methods.attribute", None)
    choose(app, "attribution-grid", "pixels")


def test_the_cache_is_bounded_in_bytes() -> None:
    assert work.results().capacity + work.numbers().capacity <= 80 * 2**20


def test_pictures_do_not_push_numbers_out() -> None:
    work.keep(("sweep", 1), (1, 2))
    for number in range(60):
        work.keep(("picture", number), number, 2**20)
    assert work.kept(("sweep", 1)) == (1, 2)
    assert work.kept(("picture", 0)) is None
    assert work.kept(("picture", 59)) == 59


def work_page() -> None:
    """A page whose work is cancelled in its first run, as a click on Cancel does it."""
    import streamlit as st

    from explorer.ui import work

    key = ("settings", st.session_state.get("setting", 0))

    def make(progress: object) -> int:
        st.session_state["runs"] = st.session_state.get("runs", 0) + 1
        if st.session_state["runs"] == 1:
            work._stop("work", key)
            st.rerun()
        return 7

    st.session_state["made"] = work.offered("work", key, work.line(st.container()), "Working …", make, False)


def test_what_was_cancelled_stays_so_until_it_or_something_else_is_asked_for() -> None:
    app = AppTest.from_function(work_page).run()
    assert (app.session_state["runs"], app.session_state["made"]) == (1, None)
    assert [one.value for one in app.caption] == ["Cancelled."]
    app.run()
    assert app.session_state["runs"] == 1
    app.button(key="work-work").click().run()
    assert (app.session_state["runs"], app.session_state["made"]) == (2, 7)
    app.session_state["work-stopped"] = ("settings", 0)
    app.session_state["setting"] = 1
    app.run()
    assert (app.session_state["runs"], app.session_state["made"]) == (3, 7)


def test_faithfulness_and_agreement_come_on_demand(page: Open, tmp_path: Path) -> None:
    """And say what `attribute --faithfulness` writes."""
    app = method(page("attribution"), Method.GRAD_CAM)
    assert "trust-deletion" not in charts(app)
    app.button(key="trust-work").click().run()
    assert_sound(app)
    assert {"trust-deletion", "trust-insertion"} <= charts(app).keys()
    assert "agreement-between" in charts(app)
    assert all(name.split(",")[0] in app.subheader[0].help for name in ("Deletion", "Infidelity", "Sensitivity"))

    image = f"example:{examples.EXAMPLES[0].file}"
    assert cli.main(["attribute", image, "--method", "grad-cam", "--faithfulness", "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    with (folder / "faithfulness.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    written = {
        "Deletion AUC (at random)": [
            f"{float(r['deletion_auc']):.3f} ({float(r['deletion_auc_at_random']):.3f})" for r in rows
        ],
        "Insertion AUC (at random)": [
            f"{float(r['insertion_auc']):.3f} ({float(r['insertion_auc_at_random']):.3f})" for r in rows
        ],
        "Infidelity, logits²": [f"{float(r['infidelity_logits2']):.3g}" for r in rows],
        "Sensitivity": [f"{float(r['sensitivity']):.2f}" for r in rows],
    }
    shown = app.table[0].value
    assert {name: shown[name].tolist() for name in written} == written


def test_a_corruption_says_what_it_is_and_changes_the_answer_bars(page: Open) -> None:
    app = page("corruptions")
    before = charts(app)["answers-0"]
    app.selectbox(key="corruption-kind").select("Contrast").run()
    assert_sound(app)
    assert charts(app)["answers-0"] != before
    choose(app, "corruption-severity", "custom")
    assert app.slider(key="corruption-strength").value == 2.5
    app.slider(key="corruption-strength").set_value(0.0).run()
    assert_sound(app)
    drift = charts(app)["corruption-attention"]["data"]
    assert all(np.abs(numbers(line["y"])).max() < 1e-6 for line in drift)


def test_whose_severities_they_are_and_the_final_jpeg_are_said(page: Open) -> None:
    app = page("corruptions")
    captions = [caption.value for caption in app.caption]
    assert any("Severities 1 to 5: standard deviation" in words and "(Hendrycks" in words for words in captions)
    before = charts(app)["corruption-attention"]
    app.toggle(key="corruption-final-jpeg").set_value(True).run()
    assert_sound(app)
    assert charts(app)["corruption-attention"] != before
    app.selectbox(key="corruption-kind").select("Occlusion").run()
    assert_sound(app)
    assert any("ImageNet-C has no occlusion. Ours." in caption.value for caption in app.caption)


def test_all_severities_of_all_images_come_on_demand(page: Open) -> None:
    app = page("corruptions")
    app.segmented_control(key="corruption-over").set_value(app.segmented_control(key="corruption-over").options[1])
    app.run()
    app.button(key="corruption-work").click().run()
    assert_sound(app)
    lines = [line for line in charts(app)["corruption-sweep"]["data"] if line.get("name")]
    assert [len(numbers(line["y"])) for line in lines] == [6, 6]
    assert any("The band is one standard deviation" in caption.value for caption in app.caption)
    app.selectbox(key="corruption-quantity").select("Still the clean answer").run()
    assert_sound(app)
    assert not any("band" in caption.value for caption in app.caption)
    upload(app, ("another.png", png(1)))
    assert_sound(app)
    assert app.segmented_control(key="corruption-over").value == "all images"


def test_the_presets_their_units_and_sources_are_said(page: Open) -> None:
    app = page("attacks")
    help = app.segmented_control(key="attack-preset").help
    assert "0.15 eps" in help
    assert "nobody knows" in help
    said = " ".join(texts(app))
    assert "FGSM, eps 4/255" in said
    assert "Goodfellow et al. 2014" in said
    assert re.search(r"4/255 in pixels = [\d.]+/255 of the normalised input on average \(.+\)", said)
    assert "Pixels stay in [0, 1]" in said
    app.segmented_control(key="attack-preset").set_value("FGSM, as Han et al. coded it").run()
    assert_sound(app)
    said = " ".join(texts(app))
    assert "imagenet/engine.py" in said
    assert "on the normalised input, not clipped, away from the model's own prediction" in said
    std = next(iter(resources.engine().cards)).preprocessing.std
    in_pixels = f"4/255 of the normalised input = {4 * sum(std) / 3:.2f}/255 in pixels on average"
    assert in_pixels in said
    assert "of the values leave [0, 1]" in said
    assert not any(box.key == "attack-class" for box in app.selectbox)
    assert len(app.dataframe[0].value) == 4  # each model is shown what the other's attack left outside [0, 1], too
    app.segmented_control(key="attack-preset").set_value("PGD, pixels").run()
    said = " ".join(texts(app))
    assert "Madry et al. 2017" in said
    assert any(box.key == "attack-class" for box in app.selectbox)


def test_a_custom_attack_may_be_on_the_normalised_input(page: Open) -> None:
    app = choose(page("attacks"), "attack-preset", "custom")
    choose(app, "attack-kind", "FGSM")
    choose(app, "attack-space", "normalised")
    assert_sound(app)
    said = " ".join(texts(app))
    assert "FGSM, eps 4/255, on the normalised input, not clipped." in said
    app.toggle(key="attack-own").set_value(True).run()
    assert_sound(app)
    assert "away from the model's own prediction" in " ".join(texts(app))


def test_which_settings_the_papers_numbers_may_mean_is_said_beside_them(page: Open) -> None:
    said = " ".join(texts(page("attacks")))
    assert "Which settings the paper's numbers are of, nobody knows" in said
    assert "20 steps with step size of 0.15" in said
    for preset in ("“FGSM, pixels”", "“PGD, pixels”", "“as Han et al. coded it”"):
        assert preset in said
    assert "30.51% under FGSM and 8.50% under PGD" in said


def test_an_attack_of_no_budget_changes_nothing(page: Open) -> None:
    app = choose(page("attacks"), "attack-preset", "custom")
    choose(app, "attack-kind", "FGSM")
    app.slider(key="attack-eps").set_value(0.0).run()
    assert_sound(app)
    rows = app.dataframe[0].value
    assert all(first == now for first, now in (text.split(" → ") for text in rows["Loss, nats"]))


def test_numbers_of_the_paper_stand_beside_measured_ones(page: Open) -> None:
    assert_measured_beside_the_papers(page("attacks"), (1000, 1000))


def assert_measured_beside_the_papers(app: AppTest, images: tuple[int, int]) -> None:
    """`images` are those attacked by FGSM and by PGD."""
    table = app.dataframe[1].value
    assert table["Paper: DeiT"].tolist() == ["72.00%", "29.88%", "8.16%"]
    assert table["Paper: DeiT-Twicing"].tolist() == ["72.60%", "32.28%", "9.15%"]
    assert tuple(len(result.ranks) for result in attacking.measured().values()) == images


def test_uploads_are_attacked_with_their_own_predictions_as_labels(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacking, "SWEEP_EPS", (0.0, 8.0))
    upload(app, ("a.png", png(1)))
    app.switch_page("challenge/attacks.py").run()
    assert_sound(app)
    assert any("own clean prediction" in caption.value for caption in app.caption)
    app.button(key="attack-sweep-work").click().run()
    assert_sound(app)
    lines = [line for line in charts(app)["attack-sweep"]["data"] if line.get("name")]
    assert all(numbers(line["y"])[0] == 1.0 for line in lines)


# --- labelled images ----------------------------------------------------------------------------------------------


def labelled_files(cards: object, each: int = 1) -> list[tuple[str, bytes, str]]:
    """A folder of two classes of the models, one unknown, and a broken image."""
    first, second = next(iter(cards)).wnids[:2]  # type: ignore[call-overload]
    named = [(f"mine/{name}/{i}.png", png(10 * k + i)) for k, name in enumerate((first, second)) for i in range(each)]
    more = [("mine/unicorn/a.png", png(90)), (f"mine/{first}/broken.png", b"no image")]
    return [(name, data, "image/png") for name, data in (*named, *more)]


def on_labelled(page: Open, source: str = labelled_controls.UPLOAD) -> AppTest:
    return choose(page("attacks"), "attack-over", source)


def upload_labelled(app: AppTest, files: list[tuple[str, bytes, str]]) -> AppTest:
    app.file_uploader(key="labelled-folder").set_value(files).run()
    assert_sound(app)
    return app


@pytest.fixture
def two_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacking, "SWEEP_EPS", (0.0, 4.0))


@pytest.mark.usefixtures("two_budgets")
def test_a_labelled_folder_gives_what_the_sweep_of_the_same_views_gives(
    page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from explorer.runs import robustness as sweeps
    from explorer.runs import robustness_file

    given, made = DeltaGenerator.download_button, {}

    def download_button(self: DeltaGenerator, label: str, data: Any, *options: Any, **named: Any) -> bool:
        made[named["key"]] = data
        return given(self, label, data, *options, **named)

    monkeypatch.setattr(DeltaGenerator, "download_button", download_button)
    cards = sorted(resources.engine().cards, key=lambda card: not card.is_standard)
    files = labelled_files(cards, each=2)
    app = upload_labelled(on_labelled(page), files)
    assert any("unicorn" in one.value for one in app.warning)
    assert "labelled-curves" not in charts(app)
    app.button(key="labelled-work").click().run()
    assert_sound(app)
    assert any("broken" in one.value for one in app.warning)
    assert len([line for line in charts(app)["labelled-curves"]["data"] if line.get("name")]) == 2

    path = tmp_path / "page.jsonl"
    path.write_bytes(made["labelled-download"]())
    result = robustness_file.read(path)
    assert list(result.ranks) == [name for name, *_ in files[:4]]
    assert [curve.is_transfer for curve in result.curves] == [False, False, True, True]
    models = [load_named(card.source, "standard", "cpu") for card in cards]
    views = [
        (name, [preprocess.model_view(images.decode(data).rgb, card.preprocessing) for card in cards], [k // 2] * 2)
        for k, (name, data, _) in enumerate(files[:4])
    ]
    eps = [one / 255 for one in attacking.SWEEP_EPS]
    steps = list(sweeps.sweep(models, views, Attack(), tmp_path / "own.jsonl", eps=eps, transfer=True))
    assert steps[-1].result.ranks == result.ranks
    assert {**steps[-1].result.settings, "data": ""} == {**result.settings, "data": ""}
    app.toggle(key="labelled-transfer").set_value(True).run()
    assert_sound(app)
    assert len([line for line in charts(app)["labelled-curves"]["data"] if line.get("name")]) == 4
    table = next(one.value for one in app.dataframe if "eps, 255ths" in one.value)
    assert table.shape == (2, 6)


@pytest.mark.usefixtures("two_budgets")
def test_a_labelled_folder_that_was_cancelled_goes_on_where_it_stopped(
    page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    work.numbers.cache_clear()  # type: ignore[attr-defined]
    app = upload_labelled(on_labelled(page), labelled_files(resources.engine().cards, each=3))
    real, seen = labelling._ranks, []

    def stops(task: labelling.LabelledAttack, item: labelled.Item, *options: object) -> object:
        seen.append(item.name)
        if len(seen) == 6:  # in the third image, which is attacked with either model's gradients
            work._stop("labelled", task.key)
            st.rerun()
        return real(task, item, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(labelling, "_ranks", stops)
    app.button(key="labelled-work").click().run()
    assert_sound(app)
    said = [one.value for one in app.caption]
    assert "Cancelled." in said
    assert any("2 of 7 images so far" in one for one in said)
    app.button(key="labelled-work").click().run()
    assert_sound(app)
    assert len(seen) == 6 + 6 * 2 - 5
    assert any("6 images," in one.value for one in app.caption)
    app.run()
    assert len(seen) == 6 + 6 * 2 - 5


@pytest.mark.usefixtures("two_budgets")
def test_data_of_the_server_are_offered_by_name(page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert labelled_controls.SERVER not in page("attacks").segmented_control(key="attack-over").options
    wnids = resources.engine().cards[0].wnids
    monkeypatch.setenv(labelled.VARIABLE, str(write_folder(tmp_path / "validation", wnids[:2], each=1)))
    app = on_labelled(page, labelled_controls.SERVER)
    assert app.selectbox(key="labelled-data").options == ["validation"]
    app.button(key="labelled-work").click().run()
    assert_sound(app)
    assert "labelled-curves" in charts(app)
    monkeypatch.setenv(labelled.VARIABLE, str(tmp_path / "nowhere"))
    app.run()
    assert not app.exception
    assert ["EXPLORER" in error.value for error in app.error] == [True]
    assert app.segmented_control(key="attack-over").value == labelled_controls.LOADED


def test_a_folder_without_a_known_class_is_said(page: Open) -> None:
    app = on_labelled(page)
    app.file_uploader(key="labelled-folder").upload("mine/unicorn/a.png", png(), "image/png").run()
    assert not app.exception
    assert ["none came" in error.value for error in app.error] == [True]
    assert not [one for one in app.button if one.key == "labelled-work"]
