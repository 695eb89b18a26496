"""The Models page under AppTest: what it says, loading with and without a declaration, unloading, refusals."""

import argparse
import html
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
import timm
import torch
from streamlit.testing.v1 import AppTest

from explorer.models import hub, packed, registry, sources
from explorer.paper import operators
from explorer.paper.filters import FILTERS
from explorer.paper.kernels import KERNELS
from explorer.types import ExplorerError
from explorer.ui import VIEW
from explorer.ui.models import panel
from explorer.ui.shell import pair, resources
from explorer.ui.shell.session import plain
from tests.helpers import plain_text, quadratics, randomise
from tests.pair import facts
from tests.ui.conftest import FRAME, Open

CUT = "deit_tiny_patch8_64"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder the operator named; whatever was loaded from it is unloaded at the end."""
    before = {card.key for card in resources.engine().cards}
    monkeypatch.setenv(sources.VARIABLE, str(tmp_path))
    yield tmp_path
    for card in resources.engine().cards:
        if card.key not in before:
            resources.engine().remove(card.key)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return randomise(registry.create(CUT, 7, quadratics(1.0) * 12)).state_dict()


@pytest.fixture
def page(open_app: Open, folder: Path) -> AppTest:
    app = open_app().switch_page("models/models.py").run()
    assert_sound(app)
    return app


def assert_sound(app: AppTest) -> None:
    assert not app.exception, app.exception[0].message
    assert [error.value for error in app.error] == []


def shown(app: AppTest) -> str:
    return "\n".join([*(one.value for one in app.markdown), *(one.proto.body for one in app.main.get("html"))])


def pick(app: AppTest, label: str, value: str) -> AppTest:
    (box,) = [one for one in app.main.selectbox if one.label == label]
    return box.set_value(value).run()


def press(app: AppTest, key: str) -> AppTest:
    return app.button(key=key).click().run()


def chosen(app: AppTest) -> list[str]:
    return [app.sidebar.selectbox(key=f"model-{box}").value for box in ("baseline", "twicing")]


def test_everything_known_of_the_models_is_said(page: AppTest) -> None:
    text = shown(page)
    for card in resources.engine().cards:
        size = "{} x {} px".format(*card.preprocessing.input_size)
        for fact in panel.facts(card, resources.engine().size(card.key)):
            assert fact in text
        for fact in (plain(card.name, 90), card.digest[:12], card.git_revision, card.architecture, size):
            assert fact in text
    assert f"2A − A² (twicing in all {facts().depth} blocks), as declared by the file" in text


def test_a_declared_file_loads_and_is_shown(page: AppTest, folder: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save({"model": state}, folder / "mine.pth")
    declared = {"architecture": CUT, "filter": [1.0] * 11 + [2.0], "name": "Mine", "license": "CC0"}
    (folder / "mine.json").write_text(json.dumps(declared))
    app = press(pick(page.run(), "File", f"{folder.name}/mine.pth"), "load-file")
    assert_sound(app)
    card = resources.engine().cards[-1]
    assert (card.name, card.license, card.declared_by) == ("Mine", "CC0", "mine.json beside the file")
    assert "block by block" in shown(app)
    partner = resources.engine().swapped(card.key, quadratics(1.0) * 12)
    assert chosen(app) == [partner.key, card.key]  # the standard one of the two is the baseline


def test_packed_linear_layers_are_said_with_their_memory(
    page: AppTest, folder: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Linear layers" not in shown(page)
    monkeypatch.setenv(packed.VARIABLE, "1")
    torch.save({"model": state}, folder / "mine.pth")
    (folder / "mine.json").write_text(json.dumps({"architecture": CUT, "filter": [1.0] * 12}))
    app = press(pick(page.run(), "File", f"{folder.name}/mine.pth"), "load-file")
    assert_sound(app)
    assert "Linear layers" in shown(app)
    assert "on a second copy of their weights as oneDNN lays it out, 20 MiB" in shown(app)


def test_an_undeclared_file_is_asked_about(page: AppTest, folder: Path, state: dict[str, torch.Tensor]) -> None:
    args = argparse.Namespace(model="deit_sharp_tiny_patch16_224")
    torch.save({"model": state, "model_ema": state, "args": args}, folder / "paper.pth")
    app = pick(page.run(), "File", f"{folder.name}/paper.pth")
    assert_sound(app)
    (architecture,) = [one for one in app.main.selectbox if one.label == "Architecture"]
    assert (architecture.value, app.radio[0].value) == (CUT, panel.TrainedWith.EVERYWHERE)  # filled in, to be checked
    app.radio[0].set_value(panel.TrainedWith.SOME).run()
    app.slider(key=f"{folder.name}/paper.pth-blocks").set_range(11, 12).run()
    press(app, "load-file")
    assert_sound(app)
    card = resources.engine().cards[-1]
    assert card.trained_filter == quadratics(1.0) * 10 + quadratics(2.0, 2.0)
    assert card.declared_by == "whoever loaded it"


def test_a_json_written_beside_a_file_is_seen(page: AppTest, folder: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, folder / "late.pth")
    app = pick(page.run(), "File", f"{folder.name}/late.pth")
    assert len(app.radio) == 1
    (folder / "late.json").write_text(json.dumps({"architecture": CUT, "filter": 1}))
    assert not app.run().radio
    (folder / "late.json").unlink()
    assert len(app.run().radio) == 1


def test_without_a_hint_nothing_is_assumed(page: AppTest, folder: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, folder / "bare.pth")
    app = pick(page.run(), "File", f"{folder.name}/bare.pth")
    assert app.radio[0].value is None
    assert ["An architecture and an operator are needed" in error.value for error in app.error] == [True]
    assert "load-file" not in [button.key for button in app.button]


def test_dinov2_at_224_px_loads_from_what_its_shapes_suggest(page: AppTest, folder: Path) -> None:
    stock = timm.create_model("vit_small_patch14_dinov2", img_size=224)
    torch.save({key: value.half() for key, value in stock.state_dict().items()}, folder / "dino.pth")
    app = pick(page.run(), "File", f"{folder.name}/dino.pth")
    app.radio[0].set_value(panel.TrainedWith.STANDARD).run()
    assert_sound(app)
    (architecture,) = [one for one in app.main.selectbox if one.label == "Architecture"]
    (size,) = app.main.number_input
    assert (architecture.value, size.value) == ("vit_small_patch14_dinov2", 224)
    assert any("looks like vit_small_patch14_dinov2 at 224 px" in plain_text(one.value) for one in app.main.caption)
    assert list(architecture.options) == list(registry.names())  # to be searched by typing
    press(app, "load-file")
    assert_sound(app)
    card = resources.engine().cards[-1]
    assert (card.architecture, card.preprocessing.input_size) == ("vit_small_patch14_dinov2", (224, 224))


def test_another_input_size_is_asked_for_and_said(page: AppTest, folder: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, folder / "mine.pth")
    (folder / "mine.json").write_text(json.dumps({"architecture": CUT, "filter": 1, "input_size": 48}))
    app = pick(page.run(), "File", f"{folder.name}/mine.pth")
    app.main.number_input[0].set_value(32).run()
    press(app, "load-file")
    assert_sound(app)
    card = resources.engine().cards[-1]
    assert card.preprocessing.input_size == (32, 32)
    for text in (shown(app), *(caption.value for caption in app.sidebar.caption if plain(card.title) in caption.value)):
        assert "Positions of 8x8 patches are resampled to 4x4" in text


def test_names_and_crop_are_offered_where_nobody_declares_them(page: AppTest, folder: Path) -> None:
    torch.save(registry.create(CUT, 1000, quadratics(1.0) * 12).state_dict(), folder / "mine.pth")
    (folder / "mine.json").write_text(json.dumps({"architecture": CUT, "filter": 1}))
    label = f"{folder.name}/mine.pth"
    app = press(pick(page.run(), "File", label), "load-file")
    assert_sound(app)
    assert "timm's, not declared; DeiT's own code has 0.875" in html.unescape(shown(app))
    assert resources.engine().cards[-1].classes == ()
    app.checkbox(key=f"{label}-classes").check().run()
    (crop,) = [one for one in app.main.segmented_control if one.label == "Crop"]
    crop.set_value(0.875).run()
    press(app, "load-file")
    assert_sound(app)
    card = resources.engine().cards[-1]
    assert (len(card.classes), card.preprocessing.crop_pct, card.declares_crop) == (1000, 0.875, True)
    (folder / "mine.json").write_text(
        json.dumps({"architecture": CUT, "filter": 1, "classes": "imagenet-1k", "crop_pct": 0.9})
    )
    assert not app.run().checkbox
    assert [one.label for one in app.main.segmented_control] == ["Weights"]


def test_a_hub_model_stands_beside_its_own_counterfactual(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor], folder: Path
) -> None:
    """The hub's own loading has tests of its own; here a file stands in for what it returns."""
    from explorer.models import checkpoints

    torch.save(state, folder / "hub.pth")

    def load(name: str, device: object, progress: hub.Progress, input_size: int | None) -> checkpoints.LoadedModel:
        progress(1, 2)
        return checkpoints.load(folder / "hub.pth", answers={"architecture": CUT, "filter": 1, "name": name})

    monkeypatch.setattr(hub, "load", load)
    name = hub.names()[0]
    app = press(pick(page, "Name in timm", name), "load-hub")
    assert_sound(app)
    first, second = chosen(app)
    panel = {card.key: card for card in resources.engine().cards}
    assert panel[first].name == name
    assert second == resources.engine().swapped(first, quadratics(2.0) * 12).key
    app.switch_page("explore/attention.py").run()
    assert_sound(app)
    assert any("Operator swapped, not trained" in warning.value for warning in app.warning)
    assert any("no named classes" in caption.value for caption in app.sidebar.caption)


def test_unloading_falls_back_to_what_is_there(page: AppTest, folder: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, folder / "mine.pth")
    (folder / "mine.json").write_text(json.dumps({"architecture": CUT, "filter": 1}))
    app = press(pick(page.run(), "File", f"{folder.name}/mine.pth"), "load-file")
    card = resources.engine().cards[-1]
    app = press(app, f"unload-{card.key}")
    assert_sound(app)
    assert card.key not in [one.key for one in resources.engine().cards]
    assert set(chosen(app)) == {one.key for one in resources.engine().cards}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "not a complete file of weights"), (b"text", "not a complete file of weights")],
)
def test_a_bad_file_is_refused_beside_its_box(page: AppTest, folder: Path, content: bytes, said: str) -> None:
    (folder / "bad.pth").write_bytes(content)
    app = pick(page.run(), "File", f"{folder.name}/bad.pth")
    assert not app.exception
    assert [said in error.value for error in app.error] == [True]
    assert len(resources.engine().cards) == 2


def test_a_hub_out_of_reach_is_one_sentence(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise ExplorerError("The hub cannot be reached from here.")

    monkeypatch.setattr(hub, "load", load)
    app = press(pick(page, "Name in timm", hub.names()[0]), "load-hub")
    assert not app.exception
    assert [error.value for error in app.error] == [plain("The hub cannot be reached from here.")]


def test_a_locked_server_neither_loads_nor_unloads(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(panel.LOCKED_VARIABLE, "1")
    page.run()
    assert_sound(page)
    assert not [button.key for button in page.main.button]
    assert [one.label for one in page.main.selectbox] == []


def test_a_server_that_others_reach_is_locked_unless_its_operator_says_otherwise(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"server.address": "127.0.0.1", "server.allowedHosts": ["localhost", "127.0.0.1"]}
    monkeypatch.setattr(st, "get_option", options.get)
    for address in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        options["server.address"] = address
        assert not panel.is_locked()
    for address in ("0.0.0.0", "::", "192.168.1.20", "explorer.example", "", None, "unix:///tmp/socket"):
        options["server.address"] = address  # type: ignore[assignment]
        assert panel.is_locked()
        monkeypatch.setenv(panel.LOCKED_VARIABLE, "0")
        assert not panel.is_locked()
        monkeypatch.delenv(panel.LOCKED_VARIABLE)
    options |= {"server.address": "127.0.0.1", "server.allowedHosts": ["explorer.example"]}
    assert panel.is_locked()  # through a proxy
    page.run()
    assert_sound(page)
    assert not [button.key for button in page.main.button]
    assert any(panel.LOCKED_VARIABLE in caption.value for caption in page.main.caption)


def test_unloading_asks_first(page: AppTest) -> None:
    for card in resources.engine().cards:
        assert page.button(key=f"unload-{card.key}").label == "Unload for everybody"
    assert len(page.main.get("popover")) == len(resources.engine().cards)


def test_unloading_does_not_end_what_another_computes(
    page: AppTest, folder: Path, state: dict[str, torch.Tensor], open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state, folder / "mine.pth")
    (folder / "mine.json").write_text(json.dumps({"architecture": CUT, "filter": 1}))
    press(pick(page.run(), "File", f"{folder.name}/mine.pth"), "load-file")
    engine, card = resources.engine(), resources.engine().cards[-1]
    other, seen = open_app(), []
    real = engine.submit

    def submit(job: object, pictures: object, key: str, *rest: object) -> object:
        if not seen:  # the other visitor's page asks for the first of its two models
            seen.append(key)
            engine.remove(card.key)
            assert card.key not in [one.key for one in engine.cards]
        return real(job, pictures, key, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "submit", submit)
    other.sidebar.selectbox(key="model-baseline").set_value(card.key).run()
    assert seen
    assert_sound(other)


def test_the_hubs_names_are_those_the_operator_offers(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub.NAMES_VARIABLE, "deit_*")
    (box,) = [one for one in page.run().main.selectbox if one.label == "Name in timm"]
    assert tuple(box.options) == hub.offered()
    assert all(name.startswith("deit_") for name in box.options)


def test_a_folder_that_is_gone_is_said_and_the_rest_stays(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.VARIABLE, "/nowhere")
    page.run()
    assert not page.exception
    assert ["to name folders" in error.value for error in page.error] == [True]
    assert [one.label for one in page.main.selectbox] == ["Name in timm"]


# --- another operator ---------------------------------------------------------------------------------------------


def swap(app: AppTest, filter: str = "NeuTRENO", kernel: str = "Softmax") -> AppTest:
    app.toggle(key="swap-open").set_value(True).run()
    names = {kind.title: name for kinds in (FILTERS, KERNELS) for name, kind in kinds.items()}
    app.selectbox(key="swap-of").set_value(names[filter])
    app.selectbox(key="swap-kernel").set_value(names[kernel])
    return app.run()


def operators_of(app: AppTest) -> list[str]:
    return [operators.as_text(card.filter) for card in app.session_state[VIEW].loaded.cards]


def test_every_operator_of_the_registry_can_be_put_on(page: AppTest) -> None:
    page.toggle(key="swap-open").set_value(True).run()
    assert list(page.selectbox(key="swap-of").options) == [kind.title for kind in FILTERS.values()]
    assert list(page.selectbox(key="swap-kernel").options) == [kind.title for kind in KERNELS.values()]
    for name, kind in FILTERS.items():
        page.selectbox(key="swap-of").set_value(name).run()
        assert_sound(page)
        assert any(kind.equation in caption.value for caption in page.caption)
        if kind.parameter:
            slider = page.slider(key=f"swap-{name}")
            assert (slider.min, slider.max, slider.value) == (
                kind.parameter.low,
                kind.parameter.high,
                kind.parameter.default,
            )


def test_an_operator_is_put_on_said_and_taken_off(page: AppTest) -> None:
    first, second = operators_of(page)
    app = swap(page)
    app.slider(key="swap-neutreno").set_value(0.4)
    app.slider(key=f"swap-blocks-{facts().depth}").set_range(2, facts().depth).run()
    press(app, "swap-put")
    assert_sound(app)
    assert operators_of(app) == [first, f"neutreno=0.4@2-{facts().depth}"]
    (said,) = [caption.value for caption in app.sidebar.caption if "Counterfactual" in caption.value]
    assert "not trained" in said
    app.switch_page("explore/attention.py").run()
    assert_sound(app)
    assert any("Operator swapped, not trained" in warning.value for warning in app.warning)
    assert any("U = EV + E₀V¹" in caption.value for caption in app.main.caption)
    app.button(key="take-off-twicing").click().run()
    assert operators_of(app) == [first, second]
    assert not any("E₀" in caption.value for caption in app.main.caption)


def test_an_address_and_a_saved_view_name_the_operator(open_app: Open, page: AppTest) -> None:
    press(swap(page, "Twicing", "Linear"), "swap-put")
    said = pair.parameters(page.session_state[VIEW].loaded.cards)
    assert said["twicing-operator"] == "linear-twicing"
    app = AppTest.from_file(str(FRAME), default_timeout=60)
    app.query_params.update(said)
    app.run()
    assert operators_of(app) == operators_of(page)
    assert pair.of_state({**said, "head": "1"}) == {"twicing-operator": "linear-twicing"}
    trained = AppTest.from_file(str(FRAME), default_timeout=60)
    trained.query_params.update({**said, "twicing-operator": "twicing"})
    trained.run()
    assert not any("Counterfactual" in caption.value for caption in trained.sidebar.caption)
    assert not trained.warning
    fresh = AppTest.from_file(str(FRAME), default_timeout=60)
    fresh.query_params.update({**said, "twicing-operator": "nothing"})
    fresh.run()
    assert any("'nothing' came" in plain_text(error.value) for error in fresh.error)


def test_an_operator_that_does_not_go_with_a_model_is_refused_at_the_button(page: AppTest) -> None:
    before = operators_of(page)
    app = press(swap(page, "Twicing", "Differential"), "swap-put")
    assert ["ifferential attention" in error.value for error in app.error] == [True]
    assert operators_of(app) == before
