"""Every page under Streamlit's AppTest, on the bundled checkpoints: nothing here depends on what they predict."""

import base64
import gc
import hashlib
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from explorer import examples, images
from explorer.measures import similarity
from explorer.measures.attention import Operator
from explorer.measures.similarity import Definition
from explorer.types import Comparison
from explorer.ui import resources
from explorer.ui.attention_view import DEFINITIONS, Query
from explorer.ui.session import plain
from tests.helpers import assert_one_sentence
from tests.ui.conftest import Open, gallery

HEADINGS = {
    "attention": "Attention",
    "similarity": "Token similarity",
    "residual": "Smoothed residual",
    "spectrum": "Spectrum",
}
SWAPPED = "Operator swapped, not trained"


def assert_sound(app: AppTest) -> None:
    assert not app.exception, app.exception[0].message
    assert [error.value for error in app.error] == []


def charts(app: AppTest) -> dict[str, dict]:
    """Every plotly figure on the page by its key, as JSON."""
    return {one.key: json.loads(one.proto.spec) for one in app.main.get("plotly_chart")}


def picture(app: AppTest, key: str) -> str:
    """The data URI of the picture in a map."""
    return charts(app)[key]["layout"]["images"][0]["source"]


def numbers(column: dict | list) -> np.ndarray:
    """A figure's values, which travel as base64."""
    if isinstance(column, dict):
        return np.frombuffer(base64.b64decode(column["bdata"]), column["dtype"])
    return np.array(column, dtype=float)


def texts(app: AppTest) -> list[str]:
    """All text on the page that Streamlit reads as Markdown or HTML."""
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.error, app.warning, app.info)
    return [
        *(one.value for kind in kinds for one in kind),
        *(f"{one.label} {one.value}" for one in app.metric),
        *(one.proto.body for one in app.get("html")),
    ]


def comparison(app: AppTest) -> Comparison:
    """The engine's answer for what is on screen, by the trained models."""
    standard, twicing = sorted(resources.engine().cards, key=lambda card: not card.is_standard)
    item = next(item for item in examples.EXAMPLES if item.file == app.session_state["image"])
    return resources.engine().compare(examples.load(item), standard.key, twicing.key)


def png(seed: int = 0, size: tuple[int, int] = (60, 80)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    (uploader,) = [one for one in app.file_uploader if one.label == "Upload images"]
    for name, data in files:
        uploader.upload(name, data, "application/octet-stream")
    return app.run()


def choose(app: AppTest, key: str, value: str) -> AppTest:
    app.segmented_control(key=key).set_value(value).run()
    assert_sound(app)
    return app


# --- every page ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", HEADINGS)
def test_a_page_opens_with_its_heading_and_a_sentence(opened: Open, page: str) -> None:
    app = opened(page)
    assert_sound(app)
    assert [title.value for title in app.title] == [HEADINGS[page]]
    assert len(app.main.markdown[0].value) > 40


def test_every_page_after_the_other_with_another_photograph(app: AppTest) -> None:
    for item, page in zip(examples.EXAMPLES[1:], [*HEADINGS, "attention"], strict=True):
        app.session_state["image"] = item.file
        app.switch_page(f"explore/{page}.py").run()
        assert_sound(app)
        assert app.session_state["image"] == item.file


def test_what_a_page_computed_is_forgotten_when_it_runs_again(app: AppTest) -> None:
    """Streamlit keeps the callback of every figure ever drawn; a callback that is the page's own keeps all it holds."""
    for item in examples.EXAMPLES:
        app.session_state["image"] = item.file
        app.run()
        assert_sound(app)
    gc.collect()
    assert sum(isinstance(one, Comparison) for one in gc.get_objects()) <= 2


def test_the_gallery_starts_with_the_examples_and_the_first_one_chosen(opened: Open) -> None:
    app = opened()
    sent = gallery(app)
    assert [item["title"] for item in sent["items"]] == [item.name for item in examples.EXAMPLES]
    assert sent["chosen"] == examples.EXAMPLES[0].file
    assert all(item["thumbnail"].startswith("data:image/png;base64,") for item in sent["items"])


def test_a_photograph_that_is_gone_falls_back_to_the_first(app: AppTest) -> None:
    app.session_state["image"] = "no such key"
    app.run()
    assert_sound(app)
    assert app.session_state["image"] == examples.EXAMPLES[0].file


def test_both_models_are_chosen_as_trained(opened: Open) -> None:
    app = opened()
    assert not app.warning
    assert not app.info


def test_a_swapped_operator_is_said_aloud_on_every_page(app: AppTest) -> None:
    for box in app.sidebar.selectbox:
        assert sum("operator swapped" in option for option in box.options) == 2
        box.set_value(swapped_key(box.label))
    for page in HEADINGS:
        app.switch_page(f"explore/{page}.py").run()
        assert_sound(app)
        assert [SWAPPED in warning.value for warning in app.warning] == [True, True]


def swapped_key(label: str) -> str:
    """The key of the swapped model that the selector called `label` offers for its own side."""
    (card,) = [card for card in resources.engine().cards if card.is_standard == ("Baseline" in label)]
    return replace(card, filter=(2.0 if card.is_standard else 1.0,) * len(card.filter)).key


def test_the_device_is_shown(opened: Open) -> None:
    assert any(caption.value.startswith("Runs on ") for caption in opened().sidebar.caption)


def test_the_same_model_twice_is_said_aloud(app: AppTest) -> None:
    baseline, twicing = app.sidebar.selectbox
    twicing.set_value(baseline.value).run()
    assert_sound(app)
    assert [info.value for info in app.info] == ["Both panels show the same model."]


def test_the_models_are_described(opened: Open) -> None:
    about = [one.value for one in opened().sidebar.caption]
    for card in resources.engine().cards:
        assert f"{plain(card.name, 90)}: 20 classes (chance 5.0%), top-1 {card.top1:.1f}%" in about


# --- attention ----------------------------------------------------------------------------------------------------


def test_both_maps_show_another_picture(opened: Open) -> None:
    app = opened()
    assert picture(app, "map-0") != picture(app, "map-1")


def test_each_map_has_a_marker_and_a_text_per_patch(opened: Open) -> None:
    app = opened()
    rows, columns = comparison(app).baseline.grid
    for key in ("map-0", "map-1"):
        (markers,) = charts(app)[key]["data"]
        assert len(numbers(markers["x"])) == len(markers["text"]) == rows * columns
        assert markers["text"][-1].startswith(f"row {rows}, column {columns}<br>")


def test_a_hover_text_has_the_engines_numbers(opened: Open) -> None:
    """Row of CLS in the last layer, mean over heads: `A` for the baseline, `2A - A²` for twicing."""
    app = opened()
    for trace, key in zip(comparison(app), ("map-0", "map-1"), strict=True):
        A = trace.attention[-1].double().numpy()
        a = trace.filter[-1]
        expected = (a * A + (1 - a) * A @ A).mean(axis=0)[0, trace.prefix :]
        shown = [text.split("<br>")[int(key[-1]) + 1] for text in charts(app)[key]["data"][0]["text"]]
        values = [float(text.rpartition(": ")[2].replace("−", "-")) for text in shown]
        np.testing.assert_allclose(values, expected, rtol=6e-3, atol=1e-9)


def test_every_operator_and_head(app: AppTest) -> None:
    seen = set()
    for operator in Operator:
        choose(app, "operator", operator.value)
        assert any(DEFINITIONS[operator] in caption.value for caption in app.caption)
        seen.add(picture(app, "map-1"))
    assert len(seen) >= 4
    choose(app, "operator", "A")
    heads = app.segmented_control(key="head").options
    assert heads[:2] == ["mean", "max"]
    assert len(heads) == 2 + comparison(app).baseline.heads
    pictures = [picture(choose(app, "head", head), "map-0") for head in heads]
    assert len(set(pictures)) == len(heads)


def test_rollout_has_no_heads_to_choose(app: AppTest) -> None:
    assert choose(app, "operator", "rollout").segmented_control(key="head").disabled


def test_the_layer_changes_the_maps(app: AppTest) -> None:
    last = picture(app, "map-0")
    app.slider(key="layer").set_value(1).run()
    assert_sound(app)
    assert picture(app, "map-0") != last


def test_a_bare_map_hides_the_photograph(app: AppTest) -> None:
    overlaid = picture(app, "map-0")
    app.session_state["image"] = examples.EXAMPLES[0].file
    assert picture(choose(app, "show", "bare map"), "map-0") != overlaid


def test_the_difference_is_one_map_on_its_own_scale(app: AppTest) -> None:
    choose(app, "show", "difference")
    shown = charts(app)
    assert set(shown) == {"map-difference", "bar-difference"}
    low, _, high = numbers(shown["bar-difference"]["layout"]["xaxis"]["tickvals"])
    assert low == -high < 0
    assert any("minus" in one.value for one in app.main.markdown)


def test_rollout_of_the_difference(app: AppTest) -> None:
    choose(app, "show", "difference")
    assert "map-difference" in charts(choose(app, "operator", "rollout"))


@pytest.mark.parametrize("toggle", ["as-seen", "smooth"])
def test_a_toggle_changes_the_picture(app: AppTest, toggle: str) -> None:
    before = picture(app, "map-0")
    app.toggle(key=toggle).set_value(not app.toggle(key=toggle).value).run()
    assert_sound(app)
    assert picture(app, "map-0") != before


def test_as_the_model_saw_it_is_the_models_own_input(app: AppTest) -> None:
    app.toggle(key="as-seen").set_value(True).run()
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture(app, "map-0").split(",")[1]))))
    card = resources.engine().cards[0]
    seen = images.model_view(examples.load(examples.EXAMPLES[0]).rgb, card.preprocessing)
    factor = shown.shape[0] // seen.shape[0]
    np.testing.assert_array_equal(shown[::factor, ::factor], seen)


@pytest.mark.parametrize("scale", ["map", "shared", "absolute"])
def test_each_scale_has_its_colour_bars(app: AppTest, scale: str) -> None:
    bars = {key for key in charts(choose(app, "scale", scale)) if key.startswith("bar")}
    assert bars == ({"bar-0", "bar-1"} if scale == "map" else {"bar"})


@pytest.mark.parametrize("show", ["overlay", "bare map", "difference"])
def test_every_way_to_show_a_map_on_every_scale(app: AppTest, show: str) -> None:
    choose(app, "show", show)
    for scale in ("map", "shared", "absolute"):
        choose(app, "scale", scale)


def test_the_absolute_scale_ends_at_one(app: AppTest) -> None:
    choose(app, "scale", "absolute")
    choose(app, "operator", "A")
    np.testing.assert_array_equal(numbers(charts(app)["bar"]["layout"]["xaxis"]["tickvals"]), [0, 0.5, 1])


def test_colour_map_and_opacity_change_the_picture(app: AppTest) -> None:
    choose(app, "operator", "A")
    seen = {picture(choose(app, "colour-map", name), "map-0") for name in ("cividis", "viridis", "magma")}
    app.slider(key="opacity").set_value(0.3).run()
    assert_sound(app)
    assert len(seen | {picture(app, "map-0")}) == 4


def test_a_query_is_outlined_in_both_maps_until_back_to_cls(app: AppTest) -> None:
    (back,) = [button for button in app.button if button.label == "Back to CLS"]
    assert back.disabled
    cls = picture(app, "map-0")
    app.session_state["query"] = Query.of_patch(10, comparison(app).baseline.grid)
    app.run()
    assert_sound(app)
    for key in ("map-0", "map-1"):
        assert {(s["x0"], s["y0"]) for s in charts(app)[key]["layout"]["shapes"]} == {(1.5, 0.5)}
    assert picture(app, "map-0") != cls
    (back,) = [button for button in app.button if button.label == "Back to CLS"]
    back.click().run()
    assert_sound(app)
    assert picture(app, "map-0") == cls
    assert "shapes" not in charts(app)["map-0"]["layout"]


def test_each_layer_is_in_the_strip_of_both_models(opened: Open) -> None:
    app = opened()
    (strip,) = [one.proto.body for one in app.main.get("html") if "all layers" in one.proto.body]
    assert strip.count("data:image/png;base64,") == 2 * comparison(app).baseline.depth
    assert strip.count("3px solid currentColor") == 2


def test_both_models_predict_with_percentages(opened: Open) -> None:
    app = opened()
    shown = [one.proto.body for one in app.main.get("html") if " predicts" in one.proto.body]
    assert len(shown) == 2
    cards = sorted(resources.engine().cards, key=lambda card: not card.is_standard)
    for body, trace, card in zip(shown, comparison(app), cards, strict=True):
        assert card.classes[int(trace.logits.argmax())] in body
        shares = [float(share) for share in re.findall(r">(\d+\.\d)%<", body)]
        expected = np.sort(np.exp(trace.logits.double().numpy()))[::-1] / np.exp(trace.logits.double().numpy()).sum()
        np.testing.assert_allclose(shares, 100 * expected[:5], atol=0.051)


def test_a_photograph_of_no_known_class_says_so(app: AppTest) -> None:
    app.session_state["image"] = "astronaut.png"
    app.run()
    classes = len(resources.engine().cards[0].classes)
    (note,) = [caption.value for caption in app.main.caption if "This photograph shows" in caption.value]
    assert note == f"This photograph shows none of the {classes} classes these models know: no answer can be right."


# --- uploads ------------------------------------------------------------------------------------------------------


@pytest.fixture
def uploaded(app: AppTest) -> AppTest:
    """A visitor who has uploaded a good image and a text file."""
    return upload(app, ("mine.png", png()), ("notes.txt", b"not an image at all, but some words"))


def test_a_good_and_a_bad_file(uploaded: AppTest) -> None:
    """One sentence beside the uploader, the good image in the gallery, and the examples stay."""
    assert not uploaded.exception
    (error,) = uploaded.error
    assert "notes" in error.value
    assert_one_sentence(error.value.replace("\\", "").replace("\u200b", ""))
    assert len(uploaded.sidebar.error) == 1
    titles = [item["title"] for item in gallery(uploaded)["items"]]
    assert titles == ["mine.png", *(item.name for item in examples.EXAMPLES)]


def test_what_was_just_uploaded_is_shown(uploaded: AppTest) -> None:
    assert gallery(uploaded)["chosen"] == hashlib.sha256(png()).hexdigest() == uploaded.session_state["image"]


def test_an_upload_stays_on_every_page(uploaded: AppTest) -> None:
    for page in HEADINGS:
        uploaded.switch_page(f"explore/{page}.py").run()
        assert not uploaded.exception
        assert gallery(uploaded)["chosen"] == hashlib.sha256(png()).hexdigest()
        assert len(gallery(uploaded)["items"]) == 1 + len(examples.EXAMPLES)


def test_an_upload_has_no_class_to_be_right_about(uploaded: AppTest) -> None:
    assert not [caption for caption in uploaded.main.caption if "This photograph shows" in caption.value]


def test_the_same_bytes_twice_are_one_image(app: AppTest) -> None:
    upload(app, ("one.png", png()), ("two.png", png()))
    assert_sound(app)
    assert len(gallery(app)["items"]) == 1 + len(examples.EXAMPLES)


def test_clear_all_leaves_the_examples(uploaded: AppTest) -> None:
    uploaded.button(key="clear-uploads").click().run()
    assert_sound(uploaded)
    assert [item["title"] for item in gallery(uploaded)["items"]] == [item.name for item in examples.EXAMPLES]
    assert gallery(uploaded)["chosen"] == examples.EXAMPLES[0].file
    assert "clear-uploads" not in [button.key for button in uploaded.button]


def test_after_clearing_one_can_upload_again(uploaded: AppTest) -> None:
    uploaded.button(key="clear-uploads").click().run()
    upload(uploaded, ("again.png", png()))
    assert_sound(uploaded)
    assert gallery(uploaded)["items"][0]["title"] == "again.png"
    assert gallery(uploaded)["chosen"] == hashlib.sha256(png()).hexdigest()


def test_what_was_done_to_a_picture_is_said(app: AppTest) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 100)).save(out, "PNG")
    upload(app, ("transparent.png", out.getvalue()))
    assert any("transparent parts" in caption.value for caption in app.sidebar.caption)


HOSTILE = ("![x](http://evil.example/x.png).png", "<img src=x onerror=alert(1)>.png", ":bug:.png")


@pytest.mark.parametrize("good", [True, False])
def test_a_hostile_file_name_is_text(app: AppTest, good: bool) -> None:
    upload(app, *((name, png(seed) if good else b"no image") for seed, name in enumerate(HOSTILE)))
    shown = [text for page in HEADINGS for text in texts(app.switch_page(f"explore/{page}.py").run())]
    assert not app.exception
    assert any("png" in text for text in shown)
    assert not any(re.search(r"(?<!\\)(!\[|\]\(|<img src=x|:bug:)|http://evil", text) for text in shown)


def test_many_files_are_refused_beyond_a_limit(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    from explorer.ui import sidebar

    monkeypatch.setattr(sidebar, "MAX_UPLOADS", 2)
    upload(app, *((f"{seed}.png", png(seed, (8, 8))) for seed in range(3)))
    assert len(app.sidebar.error) == 1
    assert "At most 2" in app.error[0].value
    assert len(gallery(app)["items"]) == 2 + len(examples.EXAMPLES)


# --- token similarity ---------------------------------------------------------------------------------------------


def test_the_curve_is_the_measures(opened: Open) -> None:
    app = opened("similarity")
    for trace, line in zip(comparison(app), charts(app)["similarity-one"]["data"], strict=True):
        x = trace.tokens[:, trace.prefix :].double().numpy()
        unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
        cosines = unit @ unit.transpose(0, 2, 1)
        n = cosines.shape[-1]
        expected = (cosines.sum(axis=(1, 2)) - n) / (n * (n - 1))
        np.testing.assert_allclose(numbers(line["y"]), expected, atol=1e-5)


def test_each_option_changes_the_sentence_of_the_definition(open_app: Open) -> None:
    app = open_app("similarity")
    chosen = Definition()
    options = {
        "similarity-prefix": "with_prefix",
        "similarity-absolute": "absolute",
        "similarity-diagonal": "with_diagonal",
    }
    said = set()
    for key, option in options.items():
        said.add(chosen.sentence())
        assert any(chosen.sentence() in caption.value for caption in app.caption)
        app.toggle(key=key).set_value(True).run()
        assert_sound(app)
        chosen = replace(chosen, **{option: True})
        assert any(chosen.sentence() in caption.value for caption in app.caption)
    assert chosen.sentence() not in said
    assert len(said) == 3


def test_the_band_counts_every_image(open_app: Open) -> None:
    app = open_app("similarity")
    assert f"All {len(examples.EXAMPLES)} images loaded" in [one.value for one in app.subheader]
    upload(app, ("mine.png", png()))
    assert f"All {len(examples.EXAMPLES) + 1} images loaded" in [one.value for one in app.subheader]


def test_the_mean_over_all_images_is_the_mean(opened: Open) -> None:
    app = opened("similarity")
    standard = next(card for card in resources.engine().cards if card.is_standard)
    traces = resources.engine().trace([examples.load(item) for item in examples.EXAMPLES], standard.key)
    curves = np.stack([similarity.token_similarity(trace).numpy() for trace in traces])
    (line,) = [line for line in charts(app)["similarity-all"]["data"] if line.get("name") == standard.name]
    np.testing.assert_allclose(numbers(line["y"]), curves.mean(axis=0), atol=1e-5)


# --- smoothed residual --------------------------------------------------------------------------------------------


def test_every_quantity_and_head_of_the_residual(open_app: Open) -> None:
    app = open_app("residual")
    for key in ("residual-quantity", "residual-head"):
        options = app.segmented_control(key=key).options
        assert len({picture(choose(app, key, option), "residual-map-0") for option in options}) == len(options)


def test_the_residuals_curve_is_the_definition(opened: Open) -> None:
    app = opened("residual")
    trace = comparison(app).twicing
    A, V = trace.attention.double().numpy(), trace.values.double().numpy()
    expected = np.linalg.norm(A @ (V - A @ V), axis=-1)[:, :, trace.prefix :].mean(axis=(1, 2))
    name = next(card.name for card in resources.engine().cards if not card.is_standard)
    (line,) = [line for line in charts(app)["residual-curve"]["data"] if line.get("name") == name]
    np.testing.assert_allclose(numbers(line["y"]), expected, rtol=1e-4)


def test_what_a_standard_model_would_give_back_is_dashed(opened: Open) -> None:
    lines = charts(opened("residual"))["residual-curve"]["data"]
    would = [line for line in lines if "would give back" in line["name"]]
    assert would
    assert {line["line"]["dash"] for line in would} == {"dash"}


# --- spectrum -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["all", "2"])
def test_the_table_has_the_numbers_of_an_independent_decomposition(open_app: Open, head: str) -> None:
    app = open_app("spectrum")
    app.slider(key="layer").set_value(3).run()
    choose(app, "spectrum-head", head)
    for (_, row), trace in zip(app.dataframe[0].value.iterrows(), comparison(app), strict=True):
        A = trace.attention[2].double().numpy()[slice(None) if head == "all" else slice(1, 2)]
        z = np.linalg.eigvals(A).ravel()
        after = np.abs(2 * z - z**2)
        assert row["eigenvalues"] == len(z)
        assert row["leave the unit disc under the map"] == (after > 1 + 1e-5).sum()
        assert row["largest |2λ − λ²|"] == pytest.approx(after.max(), abs=6e-4)
        assert row["mean |λ|"] == pytest.approx(np.abs(z).mean(), abs=6e-5)
        assert row["mean |2λ − λ²|"] == pytest.approx(after.mean(), abs=6e-5)
        shares = np.linalg.svd(A, compute_uv=False)
        shares /= shares.sum(axis=-1, keepdims=True)
        ranks = np.exp(-(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=-1))
        assert row["effective rank of A"] == pytest.approx(ranks.mean(), abs=6e-3)
        # Eigenvalues of 0 up to rounding may fall on either side of it.
        real = np.abs(z.imag) <= 1e-9 + 1e-7 * np.abs(z)
        assert (real & (z.real > 1e-8)).sum() <= row["real and ≥ 0"] <= (real & (z.real > -1e-8)).sum()


def test_both_planes(open_app: Open) -> None:
    app = open_app("spectrum")
    before = charts(app)["spectrum-complex"]["data"][1]
    after = charts(choose(app, "spectrum-plane", "2λ − λ²"))["spectrum-complex"]["data"][1]
    z = numbers(before["x"]) + 1j * numbers(before["y"])
    mapped = numbers(after["x"]) + 1j * numbers(after["y"])
    np.testing.assert_allclose(mapped, 2 * z - z**2, atol=1e-9)


def test_the_page_has_its_four_charts(opened: Open) -> None:
    expected = {"spectrum-complex", "spectrum-overlay", "spectrum-moduli", "spectrum-capacity"}
    assert set(charts(opened("spectrum"))) == expected
