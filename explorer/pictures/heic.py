"""HEIC, which phones make: read by pillow-heif where it is installed (the extra `heic`), and only then imported.

The library is loaded when the first such file comes, because it is 26 MB that few need.
"""

from __future__ import annotations

import math
import re
import struct
from functools import cache

FORMAT = "HEIF"
"""What Pillow calls it."""
_BRANDS = re.compile(rb"hei[cxms]|hev[cx]|mif1|msf1")
_SIZE = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL)


def is_heic(data: bytes) -> bool:
    """Whether a file says that it is a HEIC; an AVIF names some of the same brands, and its own."""
    if data[4:8] != b"ftyp":
        return False
    brands = {data[at : at + 4] for at in (8, *range(16, min(int.from_bytes(data[:4], "big"), 64), 4))}
    return not brands & {b"avif", b"avis"} and any(map(_BRANDS.fullmatch, brands))


def largest(data: bytes) -> int:
    """Pixels of the largest picture that its description names: what is shown may be a small part of one (`clap`)."""
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"meta":
            sizes = _SIZE.findall(data, position, position + length)
            return max((math.prod(struct.unpack(">II", size)) for size in sizes), default=0)
        position += max(length, 8) if length != 1 else int.from_bytes(data[position + 8 : position + 16], "big") or 16
    return 0


@cache
def can_read() -> bool:
    """Whether the library is installed; from then on Pillow opens such files.

    Not its thumbnails, depths and masks: a second picture in a file is no smaller version of the first.
    """
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return True
