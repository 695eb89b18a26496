"""Every page under AppTest, on the bundled pair and examples."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from explorer import images
from explorer.measures.attention import Operator
from explorer.ui import resources

ROOT = Path(__file__).parents[2]
PAGES = {
    "attention": "Attention",
    "similarity": "Token similarity",
    "residual": "Smoothed residual",
    "spectrum": "Spectrum",
}
GENERATION = "uploads-images-0"


@pytest.fixture
def app() -> AppTest:
    return healthy(AppTest.from_file(str(ROOT / "app.py"), default_timeout=90).run())


def healthy(app: AppTest) -> AppTest:
    assert not app.exception, [e.value for e in app.exception]
    return app


def go(app: AppTest, page: str) -> AppTest:
    return healthy(app.switch_page(f"pages/explore/{page}.py").run())


def png(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption)


def html(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_its_title_and_a_sentence(app: AppTest, page: str) -> None:
    go(app, page)
    assert app.title[0].value == PAGES[page]
    assert not app.error


def test_the_bundled_pair_and_an_example_are_on_screen_at_once(app: AppTest) -> None:
    assert "DeiT-Tiny" in html(app)
    assert "Twicing" in html(app)
    assert len(app.get("plotly_chart")) >= 3
    assert "predicts" in html(app)


@pytest.mark.parametrize("operator", [o.value for o in Operator])
def test_every_operator_is_drawn(app: AppTest, operator: str) -> None:
    app.segmented_control(key="operator").set_value(operator).run()
    healthy(app)
    assert not app.error


@pytest.mark.parametrize("show", ["overlay", "bare map", "difference"])
@pytest.mark.parametrize("scale", ["map", "shared", "absolute"])
def test_every_way_to_show_a_map_on_every_scale(app: AppTest, show: str, scale: str) -> None:
    app.segmented_control(key="show").set_value(show)
    app.segmented_control(key="scale").set_value(scale).run()
    healthy(app)
    assert not app.error


@pytest.mark.parametrize("head", ["mean", "max", "1", "3"])
def test_every_choice_of_head(app: AppTest, head: str) -> None:
    app.segmented_control(key="head").set_value(head)
    app.slider(key="layer").set_value(1).run()
    healthy(app)


def test_a_swapped_operator_is_said_aloud(app: AppTest) -> None:
    swapped = next(option for option in app.selectbox(key="model-twicing").options if "swapped" in option)
    box = app.selectbox(key="model-twicing")
    box.select_index(box.options.index(swapped)).run()
    assert "Operator swapped, not trained" in healthy(app).warning[0].value


def test_an_upload_is_chosen_and_a_bad_one_is_refused_in_a_sentence(app: AppTest) -> None:
    good, bad = png(), b"not an image at all"
    uploader = app.get("file_uploader")[0]
    uploader.set_value([("mine.png", good, "image/png"), ("bad.png", bad, "image/png")]).run()
    healthy(app)
    assert app.session_state["image"] == images.decode(good).digest
    assert len(app.error) == 1
    assert "An image file" in app.error[0].value
    assert len(app.session_state["view"].photos) == 7


def test_clear_all_leaves_the_examples(app: AppTest) -> None:
    app.get("file_uploader")[0].set_value([("mine.png", png(), "image/png")]).run()
    app.button(key="clear-uploads").click().run()
    assert len(healthy(app).session_state["view"].photos) == 6


@pytest.mark.parametrize(
    "name", ["![x](https://example.org/a.png).png", "<img src=x onerror=alert(1)>.png", ":bug:.png"]
)
def test_a_hostile_file_name_is_shown_as_text(app: AppTest, name: str) -> None:
    app.get("file_uploader")[0].set_value([(name, b"", "image/png")]).run()
    shown = healthy(app).error[0].value
    assert "](h" not in shown
    assert "<img" not in shown.replace("\\<", "")
    assert "https:/" not in shown


def test_the_definition_follows_its_options(app: AppTest) -> None:
    go(app, "similarity")
    assert "pairs i ≠ j" in captions(app)
    app.toggle(key="similarity-diagonal").set_value(True)
    app.toggle(key="similarity-absolute").set_value(True).run()
    assert "i = j included" in captions(app)
    assert "absolute cosine" in captions(app)


def test_the_mean_is_over_all_images(app: AppTest) -> None:
    go(app, "similarity")
    assert "All 6 images loaded" in [s.value for s in app.subheader]


def test_what_a_standard_block_would_give_back_is_labelled(app: AppTest) -> None:
    go(app, "residual")
    assert "would give back" in html(app)


@pytest.mark.parametrize("quantity", ["‖A(V − AV)‖", "‖AV‖", "ratio"])
def test_every_residual_quantity(app: AppTest, quantity: str) -> None:
    go(app, "residual")
    app.segmented_control(key="residual-quantity").set_value(quantity).run()
    healthy(app)


def test_an_example_outside_the_classes_says_so(app: AppTest) -> None:
    app.session_state["image"] = "astronaut.png"
    assert "none of the 20 classes" in captions(app.run())


def test_the_spectrum_table_agrees_with_numpy(app: AppTest) -> None:
    go(app, "spectrum")
    app.slider(key="layer").set_value(6).run()
    table = app.dataframe[0].value
    view = app.session_state["view"]
    for row, trace in enumerate(view.comparison()):
        eigenvalues = np.linalg.eigvals(trace.attention[5].double().numpy())
        mapped = np.abs(2 * eigenvalues - eigenvalues**2)
        assert table["leave the unit disc under the map"][row] == (mapped > 1 + 1e-5).sum()
        assert table["mean |λ|"][row] == pytest.approx(np.abs(eigenvalues).mean(), abs=6e-5)
        assert table["largest |2λ − λ²|"][row] == pytest.approx(mapped.max(), abs=6e-4)


def test_predictions_are_the_softmax_of_the_models_own_logits(app: AppTest) -> None:
    view = app.session_state["view"]
    for card, trace in zip(view.pair.cards, view.comparison(), strict=True):
        shares = np.exp(trace.logits.double().numpy())
        shares /= shares.sum()
        best = int(shares.argmax())
        assert card.classes[best] in html(app)
        assert f"{100 * shares[best]:.1f}%" in html(app)


def test_the_device_is_shown(app: AppTest) -> None:
    assert "Runs on" in captions(app)
    assert resources.engine().device.type in {"cpu", "cuda", "mps"}
