"""The bytes of the start page, without a browser: what they hold against the traces, in float64."""

import json
import re

import numpy as np
import pytest
import torch

from explorer.measures import contrast, similarity, steps
from explorer.traces import Comparison, Trace
from explorer.types import ImageInput, ModelCard, Preprocessing
from explorer.viewer import start
from tests.helpers import filter_reference, quadratics
from tests.measures.test_steps import make_trace


def card(name: str, trace: Trace) -> ModelCard:
    return ModelCard(
        name=name,
        architecture="none",
        filter=trace.filter,
        trained_filter=trace.filter,
        classes=("cup", "cat", "dog"),
        wnids=(),
        outputs=3,
        preprocessing=Preprocessing((32, 40), (0.5,) * 3, (0.5,) * 3),
        recipe="none",
        data="none",
        top1=None,
        git_revision="abc",
        digest="0" * 64,
    )


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison(make_trace(0), make_trace(1, filter=quadratics(2.0, 2.0)))


@pytest.fixture(scope="module")
def photo() -> ImageInput:
    return ImageInput("image", np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8))


class Sent:
    """Header and sections."""

    def __init__(self, payload: bytes) -> None:
        assert payload[:4] == start.LETTERS
        base = 8 + int.from_bytes(payload[4:8], "little")
        self.header = json.loads(payload[8:base])
        self._body = payload[base:]

    def part(self, section: dict, kind: str) -> np.ndarray:
        return np.frombuffer(self._body[section["at"] : section["at"] + section["size"]], kind)


@pytest.fixture(scope="module")
def sent(comparison: Comparison, photo: ImageInput) -> Sent:
    cards = [card(name, trace) for name, trace in zip(("One", "Two"), comparison, strict=True)]
    return Sent(start.pack(photo, comparison, cards, {"image": "x.png"}))


def test_it_opens_on_a_layer_that_both_models_have(sent: Sent) -> None:
    assert (sent.header["layers"], sent.header["layer"]) == (2, 1)


def test_the_pictures_are_those_of_the_first_model(sent: Sent, comparison: Comparison) -> None:
    rgb = sent.part(sent.header["steps"], "u1").reshape(2, 5, 20, 3)
    assert (rgb == steps.of_trace(comparison.baseline, 2).rgb.numpy()).all()


def test_the_maps_are_rows_of_the_effective_matrices(sent: Sent, comparison: Comparison) -> None:
    for model, trace, signed in zip(sent.header["models"], comparison, (False, True), strict=True):
        A = trace.attention.double().numpy()
        E = np.stack([filter_reference(each, layer, A[layer])[0] for layer, each in enumerate(trace.filter)])
        maps = sent.part(model["maps"], "<f4").reshape(2, 20)
        np.testing.assert_allclose(maps, E.mean(axis=1)[:, 0, 1:], atol=1e-6)
        assert model["signed"] == [signed, signed]


def test_the_numbers_are_mean_cosines_over_pairs(sent: Sent, comparison: Comparison) -> None:
    trace = comparison.baseline
    A, V = trace.attention.double(), trace.values.double()
    for curve, heads in zip(sent.header["alike"], (V, A @ V, 2 * A @ V - A @ A @ V), strict=True):
        joined = heads.transpose(1, 2).flatten(start_dim=2)[:, 1:]
        cosines = torch.cosine_similarity(joined[:, :, None], joined[:, None], dim=-1)
        expected = [float((each.sum() - each.trace()) / (20 * 19)) for each in cosines]
        assert curve == pytest.approx(expected, abs=1e-4)


def test_the_places_where_the_models_part_come_with_their_rows(sent: Sent, comparison: Comparison) -> None:
    expected = contrast.partings(comparison, start.PARTINGS)
    assert len(sent.header["partings"]) == len(expected) > 3
    for place, parting in zip(sent.header["partings"], expected, strict=True):
        assert (place["layer"], place["head"]) == (parting.layer, parting.head)
        assert 5 * place["row"] + place["column"] == parting.patch
        for section, trace in zip(place["maps"], comparison, strict=True):
            row = trace.attention[parting.layer, parting.head, 1 + parting.patch, 1:]
            assert (sent.part(section, "<f4") == row.numpy()).all()
        assert f" looks {parting.distance:.1f} patches away from where " in place["said"]
        assert place["said"].startswith(f"Layer {parting.layer + 1}, head {parting.head + 1}, the patch in row ")


def test_a_tenth_of_the_patches_is_counted(comparison: Comparison) -> None:
    for trace in comparison:
        rows = trace.attention.double().numpy().mean(axis=1)[:, 0, 1:]
        expected = np.sort(rows, axis=1)[:, -2:].sum(axis=1) / rows.sum(axis=1)
        np.testing.assert_allclose(start.concentration(trace), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "smoothed", "twiced", "words"),
    [
        (0.16, 0.50, 0.36, "more alike: mean similarity 0.16 → 0.50.*takes part of it back: 0.36"),
        (0.16, 0.50, 0.16, "takes all of it back: 0.16"),
        (0.16, 0.50, 0.10, "takes all of it back: 0.10"),
        (0.16, 0.50, 0.60, "goes further: 0.60"),
        (0.16, 0.50, 0.50, "leaves it there: 0.50"),
        (0.50, 0.16, 0.30, "less alike: mean similarity 0.50 → 0.16.*takes part of it back: 0.30"),
        (0.50, 0.501, 0.30, "as alike as they were: 0.50. With twicing: 0.30"),
    ],
)
def test_the_sentence_follows_the_numbers(values: float, smoothed: float, twiced: float, words: str) -> None:
    said = start.similarity_words(values, smoothed, twiced)
    assert re.search(words, said), said
    assert similarity.LEVEL < 0.01


def test_models_with_other_patches_say_no_place(photo: ImageInput) -> None:
    comparison = Comparison(make_trace(0), make_trace(1, grid=(5, 4)))
    cards = [card(name, trace) for name, trace in zip(("One", "Two"), comparison, strict=True)]
    assert Sent(start.pack(photo, comparison, cards, None)).header["partings"] == []
