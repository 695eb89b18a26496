"""A saved view comes back as it was; any other ZIP is refused in one sentence."""

import io
import json
import tracemalloc
import zipfile

import pytest

from explorer import views
from explorer.types import ExplorerError
from explorer.views import Bundle
from tests.helpers import assert_one_sentence

VIEW = Bundle("mine.jpg", b"an image", {"layer": "3", "query": "0.5,0.5"})


def zipped(*, method: int = zipfile.ZIP_DEFLATED, **entries: bytes | str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("_", "."), content)
    return stream.getvalue()


def test_a_view_comes_back_as_it_was() -> None:
    assert views.unpack(views.pack(VIEW)) == VIEW
    assert views.pack(VIEW) == views.pack(VIEW)


def test_a_view_that_was_packed_smaller_is_read() -> None:
    assert views.unpack(zipped(view_json="{}", a_jpg=bytes(1000))) == Bundle("a.jpg", bytes(1000), {})


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_view_that_would_unpack_without_end_is_refused(method: int) -> None:
    """Of these methods `zipfile` unpacks a whole file to give the first byte: 989 bytes took 2 GiB."""
    data = zipped(method=method, view_json="{}", a_jpg=bytes(100 * 2**20))
    assert len(data) < 20_000
    for size in (100 * 2**20, 100):  # as it is, and as the archive says that it is small
        lying = data.replace((100 * 2**20).to_bytes(4, "little"), size.to_bytes(4, "little"))
        tracemalloc.start()
        try:
            with pytest.raises(ExplorerError):
                views.unpack(lying)
            assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("entries", [10_000, 65_536 + 2])  # more than 65,535 stand in another place, as 64 bits
def test_an_archive_of_many_names_is_refused_before_they_are_read(entries: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("0", b"")
        archive.filelist *= entries  # its name, in the list at the end, so many times
    data = stream.getvalue()
    tracemalloc.start()
    try:
        with pytest.raises(ExplorerError):
            views.unpack(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


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
