"""A crop gives the pixels it says, under a name and a digest of its own, and the models see those."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.pictures import crops, images, preprocess
from explorer.pictures.crops import Cropping
from explorer.pictures.photographs import photograph
from explorer.types import ExplorerError, ImageInput, Preprocessing
from tests.helpers import assert_one_sentence, smooth

RGB = smooth(60, 120, period=2.0)
IMAGE = ImageInput("a" * 64, RGB)
SQUARE = Preprocessing((32, 32), (0.5,) * 3, (0.25,) * 3)
PART = Cropping((0.25, 0.5, 0.75, 0.75))


def test_a_part_is_those_pixels_and_no_model_cuts_more_of_a_square() -> None:
    image = PART.of(IMAGE)
    np.testing.assert_array_equal(image.rgb, RGB[15:45, 60:90])
    assert not image.rgb.flags.writeable
    by_hand = Image.fromarray(RGB[15:45, 60:90]).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(preprocess.model_view(image.rgb, SQUARE), np.asarray(by_hand))
    assert preprocess.crop_box(image.size, SQUARE) == (0, 0, 30, 30)


def test_squashed_nothing_is_cut() -> None:
    image = Cropping().of(IMAGE)
    by_hand = Image.fromarray(RGB).resize((60, 60), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(image.rgb, np.asarray(by_hand))
    assert preprocess.crop_box(image.size, SQUARE) == (0, 0, 60, 60)


def test_every_crop_has_a_digest_of_its_own() -> None:
    every = [IMAGE, *(crop.of(IMAGE) for crop in (Cropping(), PART, Cropping((0.25, 0.5, 0.75, 0.7501))))]
    assert len({image.digest for image in every}) == 4
    assert PART.of(IMAGE).digest == PART.of(IMAGE).digest == PART.digest(IMAGE.digest)
    assert all(len(image.digest) == 64 for image in every)


def test_the_smallest_part_is_one_pixel() -> None:
    assert Cropping((0.9999, 0.9999, 1.0, 1.0)).of(IMAGE).size == (1, 1)


@pytest.mark.parametrize("crop", [Cropping(), PART, Cropping((0.0, 0.0, 1.0, 0.3333))])
def test_what_is_written_is_read_again(crop: Cropping) -> None:
    assert crops.parse(str(crop)) == crop
    assert crops.of_name(f"a#b.png#{crop}") == ("a#b.png", crop)


@pytest.mark.parametrize(
    "text", ["", "squashed", "0,0,1", "0,0,1,1,1", "0,0,2,1", "-0.1,0,1,1", "0.5,0,0.5,1", "nan,0,1,1", "0,0,1,1e0"]
)
def test_what_is_no_crop_is_refused(text: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        crops.parse(text)
    assert_one_sentence(str(caught.value))


def test_a_name_says_how_it_is_cropped_unless_a_file_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    Image.fromarray(RGB).save(path)
    cropped = photograph(f"{path}#{PART}")
    assert cropped.name == f"mine.png#{PART}"
    assert cropped.title == "mine.png, cropped to 25–75% down, 50–75% across"
    np.testing.assert_array_equal(cropped.open().rgb, RGB[15:45, 60:90])
    assert cropped.read() == path.read_bytes()
    assert photograph("example:coffee.png#squash").open().size == (400, 400)
    other = tmp_path / "mine.png#squash"
    Image.fromarray(RGB[:40]).save(other, "PNG")
    assert photograph(str(other)).open().digest == images.decode(other.read_bytes()).digest


@pytest.mark.parametrize(
    ("size", "crop_pct", "sentence"),
    [
        ((60, 60), 1.0, ""),
        ((60, 120), 1.0, "The models see the middle 50% of it."),
        ((60, 60), 0.5, "The models see the middle 25% of it, enlarged 1.1 times."),
        ((16, 16), 1.0, "The models see all of it enlarged 2.0 times."),
        ((16, 32), 1.0, "The models see the middle 50% of it, enlarged 2.0 times."),
    ],
)
def test_what_is_cut_or_enlarged_is_said(size: tuple[int, int], crop_pct: float, sentence: str) -> None:
    seen = Preprocessing((32, 32), (0.5,) * 3, (0.25,) * 3, crop_pct=crop_pct)
    assert preprocess.fate(size, seen) == sentence
