"""Augmentation: range, determinism, and that nil ranges change nothing but the side."""

import pytest
import torch
from torch import Tensor

from explorer.training.augment import augment
from explorer.training.recipe import Augmentation

NIL = Augmentation(scale=(1.0, 1.0), aspect=(1.0, 1.0), rotation=0.0, colour=0.0, erase=0.0)


def batch(count: int = 8, size: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def views(images: Tensor, spec: Augmentation, seed: int = 0, size: int = 16) -> Tensor:
    return augment(images, size, spec, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [8, 16, 24])
def test_views_have_the_size_asked_for_and_lie_in_the_unit_range(size: int) -> None:
    out = views(batch(), Augmentation(colour=0.9, erase=1.0), size=size)
    assert out.shape == (8, 3, size, size)
    assert out.min() >= 0
    assert out.max() <= 1


def test_the_same_generator_gives_the_same_views() -> None:
    assert torch.equal(views(batch(), Augmentation()), views(batch(), Augmentation()))


def test_another_seed_gives_other_views() -> None:
    assert not torch.equal(views(batch(), Augmentation()), views(batch(), Augmentation(), seed=1))


def test_the_global_generator_is_not_used() -> None:
    before = torch.get_rng_state()
    views(batch(), Augmentation())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_images_are_not_written() -> None:
    images = batch()
    views(images, Augmentation())
    assert torch.equal(images, batch())


def test_nil_ranges_give_the_image_or_its_mirror() -> None:
    images = batch(16)
    out, plain = views(images, NIL), images.float() / 255
    as_is = (out - plain).abs().amax(dim=(1, 2, 3)) < 1e-4
    mirrored = (out - plain.flip(-1)).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert (as_is ^ mirrored).all()
    assert as_is.any()
    assert mirrored.any()


def test_a_crop_shows_part_of_the_image() -> None:
    """A horizontal ramp: a crop of a quarter of the area spans half of its range."""
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).expand(4, 3, 64, 64)
    out = views(ramp, Augmentation((0.25, 0.25), (1.0, 1.0), 0.0, 0.0, 0.0), size=32)
    spans = out.amax(dim=(1, 2, 3)) - out.amin(dim=(1, 2, 3))
    torch.testing.assert_close(spans, torch.full((4,), 0.5), rtol=0, atol=0.03)


def test_rotation_turns_the_image() -> None:
    """White above black: once turned, a row has both."""
    half = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    half[..., :8, :] = 255
    turned = views(half, Augmentation((1.0, 1.0), (1.0, 1.0), 60.0, 0.0, 0.0))
    straight = views(half, NIL)
    assert (straight.std(dim=-1).amax(dim=(1, 2)) < 1e-4).all()
    assert (turned.std(dim=-1).amax(dim=(1, 2)) > 0.1).float().mean() > 0.7
    assert ((turned.mean(dim=(1, 2, 3)) - 0.5).abs() < 0.2).all()


def test_erasing_paints_a_grey_rectangle() -> None:
    white = torch.full((8, 3, 16, 16), 255, dtype=torch.uint8)
    out = views(white, Augmentation((1.0, 1.0), (1.0, 1.0), 0.0, 0.0, 1.0))
    erased = out == 0.5
    assert torch.equal(erased.any(dim=1), erased.all(dim=1))
    for image in erased[:, 0]:
        rows, columns = image.any(dim=1), image.any(dim=0)
        assert torch.equal(image, rows[:, None] & columns[None, :])
        assert 0 < image.float().mean() <= 0.32  # at most half of each side, rounded up by a pixel


def test_nothing_is_erased_at_probability_zero() -> None:
    white = torch.full((8, 3, 16, 16), 255, dtype=torch.uint8)
    torch.testing.assert_close(views(white, NIL), torch.ones(8, 3, 16, 16))
