"""The bytes the viewer gets, without a browser."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer.pictures import examples
from explorer.traces import Trace
from explorer.types import ExplorerError, ImageInput, ModelCard, Preprocessing
from explorer.viewer import payload as viewer
from tests.helpers import make_trace, normal, quadratics, stochastic


def header_of(payload: bytes) -> dict:
    assert payload[:4] == b"TWX1"
    return json.loads(payload[8 : 8 + int.from_bytes(payload[4:8], "little")])


def big_trace(heads: int, grid: int = 14) -> Trace:
    n = 1 + grid * grid
    one = make_trace(
        stochastic(1, heads, n, n).float().expand(12, heads, n, n),
        quadratics(2.0) * 12,
        values=normal(1, heads, n, 8).float().expand(12, heads, n, 8),
        tokens=normal(13, n, 16).float(),
    )
    return replace(one, grid=(grid, grid), logits=one.logits.float())


def side(trace: Trace) -> viewer.ViewerSide:
    card = ModelCard(
        name="Tiny",
        architecture="none",
        filter=trace.filter,
        trained_filter=trace.filter,
        classes=(),
        wnids=(),
        outputs=0,
        preprocessing=Preprocessing((224, 224), (0.5,) * 3, (0.5,) * 3),
        recipe="none",
        data="none",
        top1=None,
        git_revision="abc",
        digest="0" * 64,
    )
    return viewer.ViewerSide(trace, card)


@pytest.fixture(scope="module")
def photo() -> ImageInput:
    return ImageInput("image", np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8))


def own_bytes(payload: bytes) -> int:
    """Of the second model's sections, but for the picture; here they are the first one's, and sent once."""
    model = header_of(payload)["models"][1]
    sections = [part for name, part in model.items() if isinstance(part, dict) and name != "picture"]
    return sum(part["size"] for part in (*sections, *model["matrices"], *model["rollouts"]) if part)


@pytest.mark.parametrize(("heads", "grid", "most"), [(3, 14, 300_000), (6, 28, 1_000_000), (12, 14, 500_000)])
def test_what_the_first_map_waits_for_is_small(heads: int, grid: int, most: int) -> None:
    """DeiT-Tiny and Base at 224 px, Small at 448."""
    one = side(big_trace(heads, grid))
    payload = viewer.pack(examples.load(examples.EXAMPLES[0]), [one, one], layers=())
    assert len(payload) + own_bytes(payload) < most
    model = header_of(payload)["models"][0]
    assert model["matrices"] == model["rollouts"] == [None] * 12


def test_a_page_carries_the_layers_it_is_given(photo: ImageInput) -> None:
    one = side(big_trace(3, grid=6))
    none, second, every = (viewer.pack(photo, [one, one], layers=layers) for layers in ((), (1,), None))
    (model, _) = header_of(second)["models"]
    assert [layer for layer, part in enumerate(model["matrices"]) if part] == [1]
    assert [layer for layer, part in enumerate(model["rollouts"]) if part] == [1]
    sizes = [own_bytes(payload) for payload in (none, second, every)]
    assert sizes[1] - sizes[0] == viewer.carried_bytes(one.trace, (1,))
    assert sizes[2] - sizes[0] == viewer.carried_bytes(one.trace)


def test_what_both_models_share_is_sent_once(photo: ImageInput) -> None:
    one = side(big_trace(1, grid=4))
    first, second = header_of(viewer.pack(photo, [one, one]))["models"]
    assert first["picture"] == second["picture"]
    assert first["matrices"] == second["matrices"]


def test_more_than_a_page_carries_is_refused(photo: ImageInput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "MOST_BYTES", 10_000)
    one = side(big_trace(3, grid=6))
    with pytest.raises(ExplorerError, match="A page carries up to 0 MB"):
        viewer.pack(photo, [one, one])
    assert viewer.pack(photo, [one, one], layers=())


def test_classes_nobody_names_go_by_number(photo: ImageInput) -> None:
    one = side(big_trace(1, grid=4))
    numbered = replace(one, card=replace(one.card, outputs=len(one.trace.logits)))
    named, silent = header_of(viewer.pack(photo, [numbered, one]))["models"]
    assert named["top"][0][0] == f"class {int(one.trace.logits.argmax())}"
    assert silent["top"] == []


def test_the_page_says_what_was_done_to_weights(photo: ImageInput) -> None:
    one = side(big_trace(1, grid=4))
    resampled = replace(one, card=replace(one.card, changes=("Positions are resampled.",)))
    assert "(Positions are resampled)" in viewer.page(viewer.pack(photo, [one, resampled]), "x")
    assert "resampled" not in viewer.page(viewer.pack(photo, [one, one]), "x").partition("<script")[0]


def test_a_head_without_values_sends_numbers(photo: ImageInput) -> None:
    one = big_trace(1, grid=4)
    told = header_of(viewer.pack(photo, [side(replace(one, values=torch.zeros_like(one.values)))] * 2))
    assert told["models"][0]["residual"] == [0.0] * 12


def test_registers_alone_are_no_class_token(photo: ImageInput) -> None:
    one = side(replace(big_trace(1, grid=4), has_class_token=False))
    (model, _) = header_of(viewer.pack(photo, [one, one]))["models"]
    assert (model["rest"], model["restName"]) == (-1, "the mean patch")


@pytest.mark.parametrize("is_distilled", [True, False])
def test_prefix_tokens_are_sent_by_name(photo: ImageInput, is_distilled: bool) -> None:
    plain = big_trace(1, grid=4)
    one = side(replace(plain, prefix=3, grid=(2, 7), has_distillation_token=is_distilled))
    names = [model["prefixNames"] for model in header_of(viewer.pack(photo, [one, side(plain)]))["models"]]
    assert names == [["CLS", "distillation" if is_distilled else "register 1", f"register {2 - is_distilled}"], ["CLS"]]


def test_the_same_view_has_the_same_identity_and_another_has_not(photo: ImageInput) -> None:
    one, other = side(big_trace(1, grid=4)), side(big_trace(2, grid=4))
    ids = [header_of(viewer.pack(photo, pair))["id"] for pair in ([one, one], [one, one], [one, other])]
    assert ids[0] == ids[1] != ids[2]


def test_the_page_names_its_image_and_its_weights(photo: ImageInput) -> None:
    one = side(big_trace(1, grid=4))
    text = viewer.page(viewer.pack(photo, [one, one]), "<b>bold</b>")
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "Image SHA-256 image" in text
    assert "0" * 16 in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
