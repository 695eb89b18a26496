"""Batches are a function of seed and step: each image once an epoch, the same for whoever asks."""

import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.training.batches import Batches
from explorer.training.data import Dataset
from explorer.training.recipe import Augmentation, Recipe
from explorer.types import Interpolation, Preprocessing
from tests.helpers import small_dataset

PLAIN = Preprocessing((32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
NIL = Augmentation(scale=(1.0, 1.0), aspect=(1.0, 1.0), rotation=0.0, colour=0.0, erase=0.0)


def batches(train: Dataset | None = None, **changes: object) -> Batches:
    return Batches(train or small_dataset(), Recipe("any", **{"batch_size": 4, **changes}), PLAIN)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 6))
def test_each_image_comes_once_an_epoch(count: int, half: int) -> None:
    """Also where batches do not fit into epochs: the next epoch follows without a gap."""
    images = torch.zeros(count, 3, 2, 2, dtype=torch.uint8)
    data = Dataset(images, torch.zeros(count, dtype=torch.int64), small_dataset().classes)
    run = batches(data, batch_size=2 * half)
    drawn = torch.cat([run.positions(step) for step in range(count)])
    for epoch in drawn[: len(drawn) // count * count].split(count):
        assert sorted(epoch.tolist()) == list(range(count))


def test_epochs_have_other_orders() -> None:
    run = batches(small_dataset(each=20), batch_size=40)
    assert run.positions(0).tolist() != run.positions(1).tolist()


def test_a_batch_depends_on_its_step_alone() -> None:
    first, second = batches(mix_probability=0.5, mixup=0.2), batches(mix_probability=0.5, mixup=0.2)
    for step in (3, 0, 3, 7):  # in any order, and after others
        one, other = first.batch(step, 16), second.batch(step, 16)
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.target, other.target)
        assert one.digest == other.digest
        first.batch(5, 32)


def test_steps_seeds_and_sizes_differ() -> None:
    digests = [batches().batch(step, 16).digest for step in range(8)]
    digests += [batches(seed=1).batch(0, 16).digest, batches().batch(0, 32).digest]
    assert len(set(digests)) == 10


def test_the_digest_is_of_pixels_and_targets() -> None:
    batch = batches().batch(0, 16)
    expected = hashlib.sha256(batch.pixels.numpy().tobytes() + batch.target.numpy().tobytes()).digest()
    assert batch.digest == expected


def test_images_keep_their_labels() -> None:
    """Without augmentation or mixing a batch is the images themselves, and smoothed labels."""
    data = small_dataset(each=4, classes=3)
    run = batches(data, augmentation=NIL, label_smoothing=0.3)
    chosen, batch = run.positions(2), run.batch(2, 32)
    expected = data.images[chosen].float() / 255
    flipped = expected.flip(-1)
    for image, straight, mirrored in zip(batch.pixels, expected, flipped, strict=True):
        assert min(float((image - straight).abs().max()), float((image - mirrored).abs().max())) < 1e-4
    assert batch.target.argmax(1).tolist() == data.labels[chosen].tolist()
    torch.testing.assert_close(batch.target.max(dim=1).values, torch.full((4,), 0.8))


@pytest.mark.parametrize("interpolation", list(Interpolation))
def test_views_stay_in_the_unit_range(interpolation: Interpolation) -> None:
    pixels = batches(augmentation=Augmentation(interpolation=interpolation)).batch(0, 64).pixels
    assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
