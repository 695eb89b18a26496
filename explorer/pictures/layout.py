"""How many parts an image file has, counted before Pillow goes through them one by one.

Pillow reads what stands around the pixels in Python: five million empty segments are 20 MB, and half a minute.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress

MAX_SEGMENTS = 10_000
"""Of a JPEG; with a colour profile, previews and 30 scans it has a few hundred."""
MAX_FILLING = 100_000
"""Bytes before the pixels of a JPEG that are in no segment."""
MAX_CHUNKS = 100_000
"""Of a PNG; one of 40 megapixels in chunks of 8 KB has 20,000."""
MAX_TILES = 200_000
"""Of a TIFF; one of 40 megapixels in the smallest tiles that there are, 16 x 16 px, has 156,250."""

JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""But for restarts, which come as often as they like and have nothing behind them."""
_ALONE = {0x01, 0xC8, 0xD8, 0xD9, *range(0xF0, 0xFE)}  # markers behind which Pillow expects no length
_START_OF_SCAN = 0xDA
_TIFF = (b"II*\0", b"II+\0", b"II\0*", b"MM\0*", b"MM*\0", b"MM\0+")
_STRIPS, _TILES = 273, 324  # tags: where each of them lies


MANY_SEGMENTS = f"A JPEG of at most {MAX_SEGMENTS:,} segments was expected; this one has more."


def excess(data: bytes) -> str:
    """A sentence about what a file has more of than any picture; empty where it has not, or is damaged."""
    with suppress(struct.error):  # cut short, which whoever opens it says
        if data.startswith(b"\xff\xd8\xff"):
            segments, filling = _before_pixels(data)
            if segments > MAX_SEGMENTS:
                return MANY_SEGMENTS
            if filling > MAX_FILLING:
                return (
                    f"A JPEG with at most {MAX_FILLING:,} bytes outside its segments was expected; this one has more."
                )
        elif data.startswith(b"\x89PNG") and _chunks(data) > MAX_CHUNKS:
            return f"A PNG of at most {MAX_CHUNKS:,} chunks was expected; this one has more."
        elif data.startswith(_TIFF) and _tiles(data) > MAX_TILES:
            return f"A TIFF of at most {MAX_TILES:,} tiles, strips or tags was expected; this one has more."
    return ""


def _before_pixels(data: bytes) -> tuple[int, int]:
    """Segments of a JPEG before its first scan, and bytes there that are in none; counting ends at the limits."""
    position, segments, filling = 2, 0, 0
    while segments <= MAX_SEGMENTS and filling <= MAX_FILLING and (marker := JPEG_MARKER.search(data, position)):
        code, length = data[marker.end() - 1], data[marker.end() : marker.end() + 2]
        segments, filling = segments + 1, filling + marker.start() - position
        if code == _START_OF_SCAN:
            break
        position = marker.end() + (0 if code in _ALONE else int.from_bytes(length, "big"))
    return segments, filling


def _chunks(data: bytes) -> int:
    position, count = 8, 0
    while position < len(data) and count <= MAX_CHUNKS:
        (length,) = struct.unpack_from(">I", data, position)
        position, count = position + 12 + length, count + 1
    return count


def _tiles(data: bytes) -> int:
    """Of the first picture of a TIFF; or its tags, where these are more."""
    order, is_big = "<" if data[:2] == b"II" else ">", data[2] == 43
    (first,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
    (tags,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, first)
    if tags > MAX_TILES:
        return int(tags)
    entry = struct.Struct(order + ("HHQ8x" if is_big else "HHI4x"))
    start = first + (8 if is_big else 2)
    entries = (entry.unpack_from(data, start + place * entry.size) for place in range(tags))
    return max((count for tag, _, count in entries if tag in (_STRIPS, _TILES)), default=0)
