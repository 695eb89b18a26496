"""What names an image."""

import os
from pathlib import Path

import pytest

from explorer.pictures import examples, images
from explorer.pictures.photographs import EXAMPLE, Photograph, photograph
from explorer.types import ExplorerError, ImageInput
from tests.helpers import assert_one_sentence
from tests.studio.helpers import picture


def refusal(source: object) -> str:
    with pytest.raises(ExplorerError) as caught:
        photograph(source).open()  # type: ignore[arg-type]
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def test_a_file_is_named_without_its_folder_and_read_late(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    for source in (path, str(path)):
        path.unlink(missing_ok=True)
        one = photograph(source)
        assert (one.name, one.title) == ("cat.png", "cat.png")
        path.write_bytes(picture())
        assert one.open().size == (48, 64)


@pytest.mark.parametrize("example", examples.EXAMPLES, ids=lambda one: one.file)
def test_an_example_is_named_as_the_shell_names_it(example: examples.Example) -> None:
    one = photograph(example)
    assert (one.name, one.title) == (f"{EXAMPLE}{example.file}", example.name)
    again = photograph(one.name)
    assert again.title == one.title
    assert again.read() == one.read() == examples.read(example)


def test_bytes_and_photographs_are_taken() -> None:
    one = photograph(picture())
    assert one.open().size == (48, 64)
    assert photograph(one) is one


def test_an_image_that_is_kept_decoded_is_not_read_again() -> None:
    kept = images.decode(picture())

    class Kept(Photograph):
        @property
        def image(self) -> ImageInput:
            return kept

    def read() -> bytes:
        raise AssertionError("read again")

    assert Kept("cat.png", "cat.png", read).open() is kept


def test_an_example_that_is_not_there_is_refused() -> None:
    assert "example:dog.png" in refusal("example:dog.png")


@pytest.mark.parametrize("name", ["absent.png", "folder", "a\0b.png", "x" * 300])
def test_a_file_that_cannot_be_read_is_one_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    refusal(name)


def test_what_is_no_image_is_said_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("words")
    message = refusal(tmp_path / "notes.png")
    assert message.startswith("notes.png: ")
    assert str(tmp_path) not in message


def test_a_name_that_is_no_unicode_can_be_written() -> None:
    one = photograph(os.fsdecode(b"caf\xe9.png"))
    assert one.name == "caf?.png"
    assert one.title.encode()


def test_an_error_names_the_image_once() -> None:
    def fail() -> bytes:
        raise ExplorerError("x.png is gone.")

    assert refusal(Photograph("x.png", "X", fail)) == "x.png is gone."
    assert refusal(Photograph("y.png", "Y", fail)) == "y.png: x.png is gone."
