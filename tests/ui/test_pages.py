"""Every page under Streamlit's AppTest, on the pair that opens: nothing here depends on what it predicts."""

import base64
import gc
import hashlib
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from explorer import views
from explorer.jobs.passes import TraceJob
from explorer.measures import similarity
from explorer.measures.settings import Definition
from explorer.pictures import examples
from explorer.serving.engine import ask, compare
from explorer.traces import Comparison
from explorer.types import STANDARD, TWICING, BusyError
from explorer.ui.explore import evidence, viewer_panel
from explorer.ui.explore import pieces as page_pieces
from explorer.ui.shell import resources
from explorer.ui.shell.session import plain
from explorer.viewer import pieces
from tests.helpers import assert_one_sentence, eigenvalues_and_noise, plain_text
from tests.pair import facts
from tests.ui.conftest import FRAME, Open, gallery

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
    return compare(resources.engine(), [examples.load(item)], (standard.key, twicing.key))[0]


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
    others = {id(one) for one in gc.get_objects() if isinstance(one, Comparison)}  # of other tests of this process
    for item in examples.EXAMPLES:
        app.session_state["image"] = item.file
        app.run()
        assert_sound(app)
    gc.collect()
    assert sum(isinstance(one, Comparison) and id(one) not in others for one in gc.get_objects()) <= 2


def test_the_gallery_starts_with_the_examples_and_the_first_one_chosen(opened: Open) -> None:
    app = opened()
    sent = gallery(app)
    assert [item["title"] for item in sent["items"]] == [item.name for item in examples.EXAMPLES]
    assert sent["chosen"] == examples.EXAMPLES[0].file
    assert all(item["thumbnail"].startswith("data:image/jpeg;base64,") for item in sent["items"])


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
    return replace(card, filter=(TWICING if card.is_standard else STANDARD,) * len(card.filter)).key


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
        count = len(card.classes)
        top1 = "top-1 not declared" if card.top1 is None else f"top-1 {card.top1:.1f}%"
        assert f"{plain(card.name, 90)}: {count} classes (chance {100 / count:.1f}%), {top1}" in about


# --- attention ----------------------------------------------------------------------------------------------------


def sent(app: AppTest) -> bytes:
    """The payload that the viewer was sent, behind the address of its pieces."""
    (component,) = [one for one in app.main.get("bidi_component") if one.key == "viewer"]
    data: bytes = component.proto.bytes
    return data[4 + int.from_bytes(data[:4], "little") :]


def header(app: AppTest) -> dict:
    data = sent(app)
    return json.loads(data[8 : 8 + int.from_bytes(data[4:8], "little")])


def test_the_viewer_is_sent_both_models(opened: Open) -> None:
    told, cards = header(opened()), resources.engine().cards
    assert [model["name"] for model in told["models"]] == [card.title for card in cards]
    assert [model["label"] for model in told["models"]] == ["A", "2A − A²"]
    effective = [[0.0, 0.0, 1.0]] * facts().depth, [[0.0, 0.0, 2.0, -1.0]] * facts().depth
    assert [model["effective"] for model in told["models"]] == list(effective)
    assert [one["sha256"] for one in told["provenance"]["models"]] == [card.digest for card in cards]
    for model in told["models"]:
        shares = [share for _, share in model["top"]]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1 + 1e-6


def test_the_viewer_is_sent_the_query_at_rest(opened: Open) -> None:
    app = opened()
    data, told = sent(app), header(app)
    base = 8 + int.from_bytes(data[4:8], "little")
    for model, trace in zip(told["models"], comparison(app), strict=True):
        at, size = model["rows"]["at"], model["rows"]["size"]
        assert data[base + at : base + at + size] == pieces.rows(trace, 0)
        assert model["matrices"] == model["rollouts"] == [None] * trace.depth
    assert len(data) < 400_000


def test_the_layers_are_had_under_the_address_of_the_session(open_app: Open) -> None:
    """Two visitors have two addresses; a run more gives none a new one."""
    first, second = open_app(), open_app()
    addresses = [address(app) for app in (first, second, first.run())]
    assert addresses[0] == addresses[2] != addresses[1]
    client = TestClient(Starlette(routes=[page_pieces.route()]))
    (baseline, twicing) = comparison(first)
    for side, trace in enumerate((baseline, twicing)):
        answer = client.get(f"{addresses[0]}/{side}/layer/3")
        assert answer.content == pieces.layer(trace, 3)
        assert answer.headers["content-encoding"] == "identity"
        assert "immutable" in answer.headers["cache-control"]
        assert client.get(f"{addresses[0]}/{side}/rows/17").content == pieces.rows(trace, 17)
        assert client.get(f"{addresses[0]}/{side}/rows/-1").content == pieces.rows(trace, None)
        *_, last = pieces.products(trace)
        answer = client.get(f"{addresses[0]}/{side}/rollout/{trace.depth - 1}")
        assert answer.content == pieces.rollout(last)
    for foreign in (
        "2/layer/3",
        "0/layer/99",
        "0/rows/9999",
        "0/rollout/-1",
        "0/trace/1",
        "0/layer/x",
        "0/layer/1/2",
    ):
        assert client.get(f"{addresses[0]}/{foreign}").status_code == 404
    assert client.get("/viewer/pieces/nobody/0/layer/3").status_code == 404


def test_an_address_ends_with_its_session(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    own = address(open_app())
    client = TestClient(Starlette(routes=[page_pieces.route()]))
    assert client.get(f"{own}/0/layer/0").status_code == 200
    monkeypatch.setattr(page_pieces, "_is_active", lambda session: False)
    answer = client.get(f"{own}/0/layer/0")
    assert (answer.status_code, answer.text) == (404, "The server has let go of this view; reload the page.")


def test_a_full_queue_is_said_to_the_viewer(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    own = address(open_app())

    def busy(*_: object) -> bytes:
        raise BusyError("The explorer is busy.")

    monkeypatch.setattr(viewer_panel, "piece", busy)
    answer = TestClient(Starlette(routes=[page_pieces.route()])).get(f"{own}/0/layer/0")
    assert (answer.status_code, answer.text) == (503, "The explorer is busy.")


def address(app: AppTest) -> str:
    (component,) = [one for one in app.main.get("bidi_component") if one.key == "viewer"]
    data: bytes = component.proto.bytes
    return data[4 : 4 + int.from_bytes(data[:4], "little")].decode().strip()


def test_another_photograph_is_another_view(app: AppTest) -> None:
    before = header(app)
    app.session_state["image"] = "rocket.jpg"
    app.run()
    after = header(app)
    assert before["id"] != after["id"]
    assert (before["link"]["image"], after["link"]["image"]) == (examples.EXAMPLES[0].file, "rocket.jpg")
    app.run()
    assert header(app)["id"] == after["id"]


def test_the_address_names_image_and_models_on_the_first_visit(open_app: Open) -> None:
    link = header(open_app())["link"]
    app = AppTest.from_file(str(FRAME), default_timeout=60)
    app.query_params["image"] = "rocket.jpg"
    app.query_params["baseline"] = link["twicing"]
    app.query_params["twicing"] = link["baseline"]
    app.run()
    assert_sound(app)
    told = header(app)
    assert (told["link"]["image"], told["link"]["baseline"]) == ("rocket.jpg", link["twicing"])
    assert [model["label"] for model in told["models"]] == ["2A − A²", "A"]
    app.session_state["image"] = "coffee.png"  # chosen since: the address is read once
    app.run()
    assert header(app)["link"]["image"] == "coffee.png"


@pytest.mark.parametrize("strange", ["", "nobody", "<b>", "../../x"])
def test_a_strange_address_opens_the_first_photograph(strange: str) -> None:
    app = AppTest.from_file(str(FRAME), default_timeout=60)
    for name in ("image", "baseline", "twicing"):
        app.query_params[name] = strange
    app.run()
    assert_sound(app)
    assert header(app)["link"]["image"] == examples.EXAMPLES[0].file


def test_an_upload_has_no_link(app: AppTest) -> None:
    assert header(upload(app, ("mine.png", png(3))))["link"] is None


def test_a_saved_view_opens_as_it_was(app: AppTest) -> None:
    saved = views.pack(views.Bundle("mine.png", png(3), {"layer": "4", "query": "0.5,0.5"}))
    upload(app, ("view.zip", saved))
    assert_sound(app)
    told = header(app)
    assert told["state"] == {"layer": "4", "query": "0.5,0.5"}
    assert next(item["title"] for item in gallery(app)["items"]) == "mine.png"
    assert app.session_state["image"] == hashlib.sha256(png(3)).hexdigest()


def test_a_foreign_archive_is_refused_beside_the_uploader(app: AppTest) -> None:
    upload(app, ("other.zip", b"PK\x03\x04"))
    assert not app.exception
    assert ["A ZIP that the explorer saved" in error.value for error in app.error] == [True]


def test_the_view_can_be_saved_as_a_page(opened: Open) -> None:
    buttons = [one for one in opened().main.get("download_button") if one.proto.label == "Save as HTML"]
    assert len(buttons) == 1


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
    assert_one_sentence(plain_text(error.value))
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
    from explorer.ui.shell import sidebar

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
    traces = ask(resources.engine(), TraceJob(), [examples.load(item) for item in examples.EXAMPLES], standard.key)
    curves = np.stack([similarity.token_similarity(trace).numpy() for trace in traces])
    (line,) = [line for line in charts(app)["similarity-all"]["data"] if line.get("name") == standard.name]
    np.testing.assert_allclose(numbers(line["y"]), curves.mean(axis=0), atol=1e-5)


def test_the_operator_alone_is_drawn_and_said_of_the_baseline(opened: Open) -> None:
    app = opened("similarity")
    trace, name = comparison(app).baseline, facts().cards[0].name
    A, V = trace.attention.double(), trace.values.double()
    by_matrix = []
    for matrix, line in zip((None, A, 2 * A - A @ A), charts(app)["similarity-operator"]["data"], strict=True):
        outputs = (V if matrix is None else matrix @ V).transpose(1, 2).flatten(start_dim=2)[:, trace.prefix :].numpy()
        unit = outputs / np.linalg.norm(outputs, axis=-1, keepdims=True)
        n = unit.shape[1]
        by_matrix.append(((unit @ unit.transpose(0, 2, 1)).sum(axis=(1, 2)) - n) / (n * (n - 1)))
        np.testing.assert_allclose(numbers(line["y"]), by_matrix[-1], atol=1e-5)
    _, once, twiced = map(torch.from_numpy, by_matrix)
    sentence = evidence.of_operator(plain(name), once, twiced)
    for page in (app, opened()):
        assert sum(sentence in text for text in texts(page)) == 1


def test_the_papers_figure_stands_beside_the_curves_of_a_trained_pair(open_app: Open) -> None:
    app = open_app("similarity")
    traces = [
        ask(resources.engine(), TraceJob(), [examples.load(item) for item in examples.EXAMPLES], card.key)
        for card in facts().cards
    ]
    bands = [similarity.band([similarity.token_similarity(trace) for trace in of_model]) for of_model in traces]
    sentence = evidence.against_the_paper([plain(card.name) for card in facts().cards], bands)
    assert [info.value for info in app.info] == [sentence]
    twicing = app.sidebar.selectbox[1]
    twicing.set_value(swapped_key(twicing.label)).run()
    assert_sound(app)
    assert not app.info


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
        values, noise = eigenvalues_and_noise(A)
        above = np.abs(values) > noise
        assert row["not 0"] == above.sum()
        assert row["real and > 0"] == (above & (np.abs(values.imag) <= noise) & (values.real > 0)).sum()


def test_the_heads_of_the_table_define_what_they_count(opened: Open) -> None:
    columns = json.loads(opened("spectrum").dataframe[0].proto.columns)
    helps = {name: column["help"] for name, column in columns.items() if column.get("help")}
    assert set(helps) == {"not 0", "real and > 0", "leave the unit disc under the map"}
    assert "|λ| > N ε ‖A‖₂ / |yᴴx|" in helps["not 0"]
    assert "1 + 1e-05" in helps["leave the unit disc under the map"]


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
