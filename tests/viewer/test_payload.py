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
from tests.helpers import make_trace, normal, stochastic


def header_of(payload: bytes) -> dict:
    assert payload[:4] == b"TWX1"
    return json.loads(payload[8 : 8 + int.from_bytes(payload[4:8], "little")])


def big_trace(heads: int, grid: int = 14) -> Trace:
    n = 1 + grid * grid
    one = make_trace(
        stochastic(1, heads, n, n).float().expand(12, heads, n, n),
        (2.0,) * 12,
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


@pytest.mark.parametrize(("heads", "most"), [(3, 3_000_000), (12, 12_000_000)])
def test_a_pair_is_small_enough_to_send(heads: int, most: int) -> None:
    """The second model of the pair weighs what its own sections do: here they are the first one's, and sent once."""
    one = side(big_trace(heads))
    payload = viewer.pack(examples.load(examples.EXAMPLES[0]), [one, one])
    model = header_of(payload)["models"][1]
    own = [each["size"] for name, each in model.items() if isinstance(each, dict) and name != "picture"]
    assert sum(own) > one.trace.attention.numel() + 12 * heads * 197 * 4
    assert len(payload) + sum(own) < most


def test_what_both_models_share_is_sent_once(photo: ImageInput) -> None:
    one = side(big_trace(1, grid=4))
    first, second = header_of(viewer.pack(photo, [one, one]))["models"]
    assert first["picture"] == second["picture"]
    assert first["attention"] == second["attention"]


def test_a_large_model_is_sent_as_means(photo: ImageInput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "MAX_BYTES", 10_000)
    one = side(big_trace(3, grid=6))
    (model, _) = header_of(viewer.pack(photo, [one, one]))["models"]
    assert model["heads"] == 1
    assert model["squares"]["size"] == model["attention"]["size"] == 12 * 37 * 37


def test_what_is_too_much_for_a_browser_is_refused(photo: ImageInput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "MOST_BYTES", 10_000)
    one = side(big_trace(3, grid=6))
    with pytest.raises(ExplorerError, match="with many patches"):
        viewer.pack(photo, [one, one])


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


def test_codes_are_within_their_stated_error() -> None:
    attention = stochastic(2, 3, 40, 40, sharpness=5.0).float()
    codes, scales = viewer.quantise(attention)
    back = scales[..., None] * (codes / 255.0) ** 2
    assert (np.abs(back - attention.numpy()) <= scales[..., None] / 255 + 1e-7).all()
    np.testing.assert_allclose(back.max(axis=-1), attention.amax(dim=-1), rtol=1e-6)


def test_a_row_of_zeros_stays_one() -> None:
    codes, scales = viewer.quantise(torch.zeros(1, 1, 2, 2))
    assert not codes.any()
    assert not scales.any()


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
