"""The photographs that come with scikit-image are there, are read without importing it, and decode as they are."""

import sys

import pytest

from explorer.pictures import examples
from explorer.pictures.examples import EXAMPLES, Example
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
def test_every_example_decodes_without_a_note_but_that_of_its_profile(example: Example) -> None:
    image = examples.load(example)
    assert min(image.size) >= 300
    wide = ("Colours are converted to sRGB from the file's profile, Adobe RGB (1998).",)
    assert image.notes == (wide if example.file == "rocket.jpg" else ())
    assert example.name
    assert example.credit
    assert (example.wnid is None) == (example.class_name is None)
    assert example.wnid is None or (example.wnid[0] == "n" and len(example.wnid) == 9 and example.wnid[1:].isdigit())


def test_examples_are_all_different() -> None:
    assert len({example.name for example in EXAMPLES}) == len({example.file for example in EXAMPLES}) == len(EXAMPLES)
    assert len({examples.load(example).digest for example in EXAMPLES}) == len(EXAMPLES)


def test_reading_does_not_import_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "skimage"]:
        monkeypatch.delitem(sys.modules, name)
    examples.read(EXAMPLES[0])
    assert "skimage" not in sys.modules


def test_a_missing_package_or_file_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExplorerError, match=r"nothing\.png") as caught:
        examples.read(Example("Nothing", "nothing.png", "nobody", None, None))
    assert_one_sentence(str(caught.value).replace(".png", ""))
    monkeypatch.setattr(examples, "find_spec", lambda _: None)
    with pytest.raises(ExplorerError, match="not installed") as caught:
        examples.read(EXAMPLES[0])
    assert_one_sentence(str(caught.value))
