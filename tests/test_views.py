"""A saved view comes back as it was; any other ZIP is refused in one sentence."""

import io
import json
import zipfile

import pytest

from explorer import views
from explorer.types import ExplorerError
from explorer.views import Bundle
from tests.helpers import assert_one_sentence

VIEW = Bundle("mine.jpg", b"an image", {"layer": "3", "query": "0.5,0.5"})


def zipped(**entries: bytes | str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("_", "."), content)
    return stream.getvalue()


def test_a_view_comes_back_as_it_was() -> None:
    assert views.unpack(views.pack(VIEW)) == VIEW
    assert views.pack(VIEW) == views.pack(VIEW)


def test_names_lose_their_folders() -> None:
    assert views.unpack(views.pack(Bundle("../../etc/mine.jpg", b"", {}))).name == "mine.jpg"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 no archive",
        views.pack(VIEW)[:-30],
        zipped(a_jpg="x"),
        zipped(view_json="{}"),
        zipped(view_json="{}", a_jpg="x", b_jpg="y"),
        zipped(view_json="[]", a_jpg="x"),
        zipped(view_json="{", a_jpg="x"),
        zipped(view_json='{"layer": 3}', a_jpg="x"),
        zipped(view_json="[" * 5000, a_jpg="x"),
        zipped(view_json=json.dumps({"x": "y" * 20_000}), a_jpg="x"),
        zipped(view_json="{}", a_jpg=bytes(21 * 2**20)),
    ],
    ids=range(12),
)
def test_any_other_archive_is_refused(data: bytes) -> None:
    with pytest.raises(ExplorerError) as caught:
        views.unpack(data)
    assert_one_sentence(str(caught.value))
