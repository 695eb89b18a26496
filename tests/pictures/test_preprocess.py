"""The views of a photograph and a model's input, against Pillow by hand and timm's own transform."""

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from explorer.pictures import preprocess
from explorer.types import ExplorerError, Preprocessing
from tests.helpers import picture, smooth

HALF = (0.5, 0.5, 0.5)
SIZES = [(301, 451), (451, 301), (224, 224), (225, 224), (97, 640), (640, 97), (63, 51), (1, 9)]


def preprocessing(
    input_size: tuple[int, int] = (224, 224), crop_pct: float = 1.0, source_size: tuple[int, int] | None = None
) -> Preprocessing:
    return Preprocessing(input_size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), crop_pct, source_size)


@pytest.mark.parametrize("crop_pct", [0.9, 0.875, 1.0])
@pytest.mark.parametrize("input_size", [(224, 224), (64, 64), (48, 96), (97, 33)])
def test_model_view_and_batch_are_timms_evaluation_transform(input_size: tuple[int, int], crop_pct: float) -> None:
    wanted = preprocessing(input_size, crop_pct)
    common = {"input_size": (3, *input_size), "interpolation": "bicubic", "crop_pct": crop_pct, "is_training": False}
    whole = create_transform(**common, mean=wanted.mean, std=wanted.std)
    pixels = create_transform(**common, normalize=False)
    for seed, size in enumerate(SIZES):
        photo = picture(seed, size)
        view = preprocess.model_view(np.asarray(photo), wanted)
        np.testing.assert_array_equal(view, pixels(photo).permute(1, 2, 0).numpy())
        torch.testing.assert_close(preprocess.batch([view], wanted)[0], whole(photo), rtol=0, atol=1e-6)


def test_a_model_of_small_pictures_sees_them_through_their_size() -> None:
    photo = np.asarray(picture(0, (150, 201)))
    small = preprocess.model_view(photo, preprocessing((64, 64), 0.875))
    view = preprocess.model_view(photo, preprocessing((224, 224), 0.875, source_size=(64, 64)))
    np.testing.assert_array_equal(view, np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC)))


def distance(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left.astype(float) - right).mean())


@pytest.mark.parametrize("size", [(601, 900), (900, 601), (330, 331), (480, 480)])
@pytest.mark.parametrize(
    "wanted",
    [
        preprocessing(),
        preprocessing(crop_pct=0.875),
        preprocessing((128, 192), 0.9),
        preprocessing(crop_pct=0.9, source_size=(160, 160)),
    ],
    ids=["whole", "cropped", "oblong", "through-source"],
)
def test_sharp_view_shows_the_region_of_model_view(size: tuple[int, int], wanted: Preprocessing) -> None:
    photo = smooth(*size)
    view = preprocess.model_view(photo, wanted)
    sharp = preprocess.sharp_view(photo, wanted)
    height, width = wanted.input_size
    assert sharp.shape == (448, round(448 * width / height), 3)
    reduced = np.asarray(Image.fromarray(sharp).resize((width, height), Image.Resampling.BICUBIC))
    assert distance(reduced, view) < 1.0
    for axis in (0, 1):  # a shift by one pixel of the model would show
        assert distance(np.roll(reduced, 1, axis), view) > 2 * distance(reduced, view)


def test_sharp_view_is_sharper_than_the_source_size() -> None:
    photo = np.asarray(picture(0, (448, 448)))
    np.testing.assert_array_equal(preprocess.sharp_view(photo, preprocessing(source_size=(32, 32))), photo)


def test_views_of_every_size_exist() -> None:
    for size in SIZES:
        photo = np.asarray(picture(0, size))
        assert preprocess.sharp_view(photo, preprocessing(crop_pct=0.9), side=64).shape == (64, 64, 3)


def test_views_do_not_share_memory_with_the_picture() -> None:
    photo = np.array(picture(0, (32, 32)))
    before = photo.copy()
    preprocess.model_view(photo, preprocessing((32, 32)))[:] = 0
    preprocess.batch([photo], preprocessing((32, 32))).zero_()
    np.testing.assert_array_equal(photo, before)


def test_a_batch_keeps_its_order_and_is_contiguous() -> None:
    wanted = Preprocessing((8, 6), HALF, HALF)
    views = [np.full((8, 6, 3), value, np.uint8) for value in (0, 255, 51)]
    tensor = preprocess.batch(views, wanted)
    assert tensor.shape == (3, 3, 8, 6)
    assert tensor.is_contiguous()
    torch.testing.assert_close(tensor[:, 0, 0, 0], torch.tensor([-1.0, 1.0, -0.6]))


def test_a_batch_states_what_it_expected() -> None:
    wanted = preprocessing((8, 6))
    with pytest.raises(ExplorerError, match=r"\(8, 6, 3\).*\(6, 8, 3\)"):
        preprocess.batch([np.zeros((6, 8, 3), np.uint8)], wanted)
    with pytest.raises(ExplorerError, match="At least one"):
        preprocess.batch([], wanted)
