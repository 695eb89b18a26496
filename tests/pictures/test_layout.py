"""Files of more parts than any picture are refused before Pillow goes through them."""

import io
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from explorer.pictures import images, layout
from tests.helpers import assert_one_sentence, picture

SECONDS = 5.0


def encode(format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture(0, (64, 48)).save(stream, format, **options)
    return stream.getvalue()


def before(parts: bytes) -> bytes:
    """A JPEG with something behind its start."""
    data = encode("JPEG")
    return data[:2] + parts + data[2:]


def behind(parts: bytes) -> bytes:
    """A JPEG with something before its end."""
    data = encode("JPEG")
    return data[:-2] + parts + data[-2:]


def png(count: int) -> bytes:
    """With so many empty chunks of text."""
    data = encode("PNG")
    return data[:33] + (bytes(4) + b"teXt" + struct.pack(">I", zlib.crc32(b"teXt"))) * count + data[33:]


def tiff(tiles: int, side: int = 16, *, big: bool = False, order: str = "<") -> bytes:
    """A row of grey tiles, all of which lie at one place."""
    start, entry, many = (16, "HHQQ", "Q") if big else (8, "HHII", "I")
    values = {256: tiles * side, 257: side, 258: 8, 259: 1, 262: 1, 277: 1, 322: side, 323: side}
    at = start + struct.calcsize(f"<{'Q' if big else 'H'}") + struct.calcsize(f"<{entry}") * 10 + struct.calcsize(many)
    places = {324: at, 325: at + 4 * tiles}
    if tiles == 1:
        places = {324: at + 8, 325: side * side}
    tags = [(tag, 1, value) for tag, value in values.items()] + [(tag, tiles, value) for tag, value in places.items()]
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "I", start)
    listed = b"".join(struct.pack(order + entry, tag, 4, count, value) for tag, count, value in tags)
    body = struct.pack(order + ("Q" if big else "H"), len(tags)) + listed + struct.pack(order + many, 0)
    lengths = struct.pack(order + "I", at + 8 * tiles) * tiles + struct.pack(order + "I", side * side) * tiles
    return head + body + lengths + bytes([9]) * side * side


MILLIONS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a JPEG with comments": (lambda: before(b"\xff\xfe\0\x02" * 5_000_000), "segments"),
    "a JPEG with starts": (lambda: before(b"\xff\xd8" * 5_000_000), "segments"),
    "a JPEG with comments behind its scan": (lambda: behind(b"\xff\xfe\0\x02" * 5_000_000), "segments"),
    "a JPEG with markers of no use": (lambda: before(b"\xff\xf0" * 5_000_000), "segments"),
    "a JPEG with restarts": (lambda: before(b"\xff\xd0" * 5_000_000), "outside its segments"),
    "a JPEG with filling": (lambda: before(b"\xff" * 10_000_000), "outside its segments"),
    "a PNG with chunks": (lambda: png(1_600_000), "chunks"),
    "a TIFF of tiles": (lambda: tiff(1_000_000, 1), "tiles"),
    "a big TIFF of tiles": (lambda: tiff(1_000_000, 1, big=True), "tiles"),
    "a TIFF of Motorola's tiles": (lambda: tiff(1_000_000, 1, order=">"), "tiles"),
}


@pytest.mark.parametrize("name", MILLIONS)
def test_millions_of_parts_are_refused_at_once(name: str) -> None:
    make, word = MILLIONS[name]
    data = make()
    began = time.monotonic()
    with pytest.raises(images.ImageError) as caught:
        images.decode(data)
    assert time.monotonic() - began < SECONDS
    assert_one_sentence(str(caught.value))
    assert word in str(caught.value)


def test_a_tiff_of_millions_of_tags_is_refused() -> None:
    data = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**40)
    assert "tags" in layout.excess(data)


@pytest.mark.parametrize(("big", "order"), [(False, "<"), (False, ">"), (True, "<")])
def test_tiles_of_a_picture_are_read(big: bool, order: str) -> None:
    """The files of these tests are TIFFs for Pillow, too; it reads no large ones in Motorola's order."""
    assert (images.decode(tiff(20, big=big, order=order)).rgb == 9).all()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"icc_profile": bytes(3_000_000)}])
def test_a_jpeg_of_many_segments_is_read(options: dict[str, object]) -> None:
    data = encode("JPEG", quality=95, restart_marker_blocks=1, **options)
    assert images.decode(data[:2] + b"\xff" * 1000 + data[2:]).size == (64, 48)


def test_a_png_of_small_chunks_is_read() -> None:
    assert images.decode(png(5000)).size == (64, 48)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_what_is_cut_short_is_left_to_pillow(format: str) -> None:
    data = encode(format)
    for end in range(0, len(data), 7):
        assert layout.excess(data[:end]) == ""


def test_most_tiles_that_fit_into_a_picture_are_accepted() -> None:
    stream = io.BytesIO()
    Image.new("L", (16, 16)).save(stream, "TIFF")
    assert images.MAX_PIXELS // 16**2 < layout.MAX_TILES
    assert layout.excess(stream.getvalue()) == ""
