"""Small Parquet files and folders become uint8 images in memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from explorer.models.classes import ClassName
from explorer.training import data
from explorer.types import ExplorerError
from tests.helpers import picture, write_folder, write_parquet

CLASSES = tuple(ClassName(f"n{i}", f"name {i}") for i in range(3))


def pixels(seed: int) -> np.ndarray:
    return np.asarray(picture(seed)).transpose(2, 0, 1)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_parquet_images_come_unchanged_at_their_own_size(tmp_path: Path, format: str) -> None:
    path = write_parquet(tmp_path / "x.parquet", [0, 1, 2], format)
    split = data.from_parquet([path], CLASSES, (0, 1, 2), 32)
    assert split.labels.tolist() == [0, 1, 2]
    assert split.images.dtype == torch.uint8
    for seed in range(3):
        np.testing.assert_array_equal(split.images[seed].numpy(), pixels(seed))


def test_parquet_classes_are_chosen_and_renumbered(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [2, 1, 0, 2])
    split = data.load([path], 32, CLASSES, ["n2", "n0"])
    assert split.labels.tolist() == [1, 0, 1]
    assert [c.wnid for c in split.classes] == ["n0", "n2"]
    np.testing.assert_array_equal(split.images[1].numpy(), pixels(2))


def test_several_parquet_files_follow_each_other(tmp_path: Path) -> None:
    paths = [write_parquet(tmp_path / f"{i}.parquet", [i, i]) for i in range(2)]
    assert data.load(paths, 32, CLASSES).labels.tolist() == [0, 0, 1, 1]


def test_parquet_needs_a_class_list(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="class list"):
        data.load([write_parquet(tmp_path / "x.parquet", [0])], 32)


def test_no_image_of_the_chosen_classes_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [0, 0])
    with pytest.raises(ExplorerError, match="no image"):
        data.load([path], 32, CLASSES, ["n1"])


def test_folders_are_classes_in_alphabetical_order(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", ("dog", "cat"))
    (folder / "cat" / "notes.txt").write_text("not an image", encoding="utf-8")
    (folder / "cat" / "._0.png").write_text("what another system keeps beside an image", encoding="utf-8")
    (folder / ".ipynb_checkpoints").mkdir()
    split = data.load([folder], 32)
    assert split.classes == (ClassName("cat", "cat"), ClassName("dog", "dog"))
    assert split.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(split.images[0].numpy(), pixels(100))  # "cat" was written second


def test_images_are_scaled_by_the_shorter_side_and_cropped_to_the_centre(tmp_path: Path) -> None:
    """Three vertical stripes, red, green and blue, in a picture three times as wide as high: green is left."""
    stripes = np.zeros((20, 60, 3), dtype=np.uint8)
    for i in range(3):
        stripes[:, 20 * i : 20 * (i + 1), i] = 255
    (tmp_path / "n0").mkdir()
    Image.fromarray(stripes).save(tmp_path / "n0" / "x.png")
    (image,) = data.from_folder(tmp_path, 10).images
    assert image.shape == (3, 10, 10)
    assert (image[1, :, 1:-1] > 250).all()
    assert (image[[0, 2], :, 1:-1] < 5).all()


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    (tmp_path / "n0").mkdir()
    picture(0).convert("L").save(tmp_path / "n0" / "x.png")
    (image,) = data.from_folder(tmp_path, 32).images
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])


def test_every_format_is_read_and_a_broken_image_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", ("n0",), each=1)
    picture(1).save(folder / "n0" / "b.tiff")
    assert len(data.from_folder(folder, 32)) == 2
    (folder / "n0" / "bad.gif").write_bytes(b"GIF8")
    with pytest.raises(ExplorerError, match=r"^bad\.gif: "):
        data.from_folder(folder, 32)
    path = write_parquet(tmp_path / "x.parquet", [0, 1])
    pq.write_table(pa.table({"image": [b"no", b"image"], "label": [0, 1]}), path)
    with pytest.raises(ExplorerError, match=r"^x\.parquet, row 1: "):
        data.load([path], 32, CLASSES, ["n1"])
