"""Thousands of damaged image files, from a fixed seed: `decode` gives pixels or `ImageError`, soon, in bounded memory.

Every file is made from its number alone, so a number in a failure is enough to make the file again: `mutated(number)`.
`--mutations N` sets how many; with `-v` the test says what was slowest and largest.
"""

import functools
import io
import random
import re
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.pictures import heic, images
from explorer.pictures.images import ImageError
from tests.helpers import assert_one_sentence, picture

SECONDS = 5.0
"""Of processor time for one file: five times what the dearest takes on an idle core, an AVIF of 40 megapixels."""
MEMORY = 500e6
"""Bytes by which resident memory may rise for one file: three copies of 40 megapixels in RGBA."""
EXTREMES = (0, 1, 2, 3, 20, 255, 4096, 6000, 16383, 2**15, 2**16 - 1, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True)
class Number:
    """Where an integer of a format stands."""

    at: int
    width: int
    order: str = "big"


@dataclass(frozen=True)
class Layout:
    """Where the chunks of a file begin, its lengths and counts, and the widths and heights among them."""

    starts: list[int] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    sizes: list[Number] = field(default_factory=list)


@dataclass(frozen=True)
class Seed:
    """A sound file."""

    name: str
    data: bytes
    layout: Layout


# --- what is mutated ----------------------------------------------------------------------------------------------


def _sources() -> Iterator[tuple[str, Image.Image, str, dict[str, object]]]:
    """Name, picture, Pillow's format and its options, of every kind of file."""
    size = (20, 24)
    rgb, grey = picture(1, size), picture(2, size).convert("L")
    rgba = rgb.copy()
    rgba.putalpha(grey)
    deep = Image.fromarray(np.random.default_rng(3).integers(0, 65536, size, dtype=np.uint16))
    floats = Image.fromarray(np.random.default_rng(4).normal(size=size).astype(np.float32))
    palette, black = rgb.quantize(16), grey.convert("1")
    flat = Image.new("RGB", rgb.size, "teal")  # compresses well: its codes are long runs
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "a description", {0x9003: "2020:01:01 00:00:00"}
    yield "jpeg", rgb, "JPEG", {}
    yield "jpeg progressive", rgb, "JPEG", {"progressive": True}
    yield "jpeg exif", rgb, "JPEG", {"exif": exif, "subsampling": 2, "restart_marker_rows": 1}
    yield "jpeg grey", grey, "JPEG", {"optimize": True}
    yield "jpeg cmyk", rgb.convert("CMYK"), "JPEG", {}
    yield "jpeg several", rgb, "MPO", {}
    yield "png", rgb, "PNG", {}
    yield "png 16 bit", deep, "PNG", {}
    yield "png palette", palette, "PNG", {"transparency": 3}
    yield "png 1 bit", black, "PNG", {}
    yield "png rgba exif", rgba, "PNG", {"exif": exif, "icc_profile": b"not a profile"}
    yield "png several", rgb, "PNG", {}
    yield "webp lossy", rgb, "WEBP", {"quality": 80}
    yield "webp lossless", rgba, "WEBP", {"lossless": True, "exif": exif}
    yield "webp alpha", rgba, "WEBP", {"quality": 50}
    yield "webp several", rgb, "WEBP", {}
    yield "gif", palette, "GIF", {}
    yield "gif interlaced", grey, "GIF", {"interlace": 1, "transparency": 7, "comment": b"a comment"}
    yield "gif several", rgb, "GIF", {}
    yield "tiff", rgb, "TIFF", {"tiffinfo": {0x0112: 6, 0x010E: "a description"}}
    yield "tiff big", rgba, "TIFF", {"big_tiff": True}
    yield "tiff 16 bit", deep, "TIFF", {"compression": "tiff_lzw"}
    yield "tiff float", floats, "TIFF", {"compression": "tiff_adobe_deflate"}
    yield "tiff several", rgb, "TIFF", {}
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"tiff {compression}", rgb, "TIFF", {"compression": compression}
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield f"tiff {compression}", black, "TIFF", {"compression": compression}
    yield "tiff cmyk", flat.convert("CMYK"), "TIFF", {"compression": "tiff_lzw", "strip_size": 200}
    yield "bmp", rgb, "BMP", {}
    yield "bmp palette", palette, "BMP", {}
    yield "bmp rgba", rgba, "BMP", {}
    yield "avif", rgb, "AVIF", {"speed": 10}
    yield "avif alpha", rgba, "AVIF", {"speed": 10, "exif": exif}
    yield "avif several", rgb, "AVIF", {"speed": 10}
    yield "heic", rgb, "HEIF", {"exif": exif}
    yield "heic alpha", rgba, "HEIF", {"thumbnails": [8]}
    yield "heic tiles", rgb.resize((96, 72)), "HEIF", {"tile_size": 64}
    yield "heic several", rgb, "HEIF", {}


@functools.cache
def seeds() -> tuple[Seed, ...]:
    heic.can_read()  # from now on Pillow writes it, too
    made = [("png interlaced", interlaced_png()), ("bmp rle", rle_bmp()), ("tiff big-endian", big_endian_tiff())]
    for name, image, format, options in _sources():
        buffer = io.BytesIO()
        if name.endswith("several"):
            options = {
                **options,
                "save_all": True,
                "append_images": [Image.new("RGB", image.size, "teal"), picture(5, (20, 24))],
            }
        image.copy().save(buffer, format, **options)  # a copy: Pillow leaves its encoder's settings in the picture
        made.append((name, buffer.getvalue()))
    return tuple(Seed(name, data, LAYOUTS[name.split()[0]](data)) for name, data in made)


def interlaced_png() -> bytes:
    """8 x 8 grey pixels in the seven passes of Adam7, which Pillow does not write."""
    shapes = ((1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8))
    rows = b"".join(b"\0" + bytes(range(40, 40 + width)) for height, width in shapes for _ in range(height))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    packed = (struct.pack(">I", len(body)) + kind + body + bytes(4) for kind, body in chunks)
    return with_checksums(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def rle_bmp() -> bytes:
    """8 x 4 pixels of a palette in runs, absolute pixels, a jump and ends of lines."""
    pixels = b"\x08\x01\0\0" + b"\0\x04\1\2\3\4\x04\5\0\0" + b"\0\2\2\1\3\2" + b"\0\0\x08\3\0\1"
    colours = bytes(range(32))
    header = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, 8, 1, len(pixels), 0, 0, 8, 0)
    start = 14 + len(header) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + colours + pixels


def big_endian_tiff() -> bytes:
    """8 x 8 grey pixels in two tiles."""
    tags = ((256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (277, 1), (322, 16), (323, 16), (324, 134), (325, 256))
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    return b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + bytes(4) + bytes(range(256))


# --- where chunks and numbers stand -------------------------------------------------------------------------------


def png_layout(data: bytes) -> Layout:
    layout = Layout()
    at = 8
    while at + 12 <= len(data):
        layout.starts.append(at)
        layout.numbers.append(Number(at, 4))
        kind = data[at + 4 : at + 8]
        if kind == b"IHDR":
            layout.sizes.extend([Number(at + 8, 4), Number(at + 12, 4)])
            layout.numbers.extend(Number(at + 16 + i, 1) for i in range(5))
        elif kind in (b"fcTL", b"acTL"):
            layout.numbers.extend(Number(at + 8 + 4 * i, 4) for i in range(5 if kind == b"fcTL" else 2))
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return layout


def jpeg_layout(data: bytes) -> Layout:
    layout = Layout([0])
    at = 2
    while found := re.compile(rb"\xff[\xc0-\xcf\xda-\xfe]").search(data, at):  # the markers with a length
        at, code, body = found.start(), data[found.start() + 1], found.start() + 4
        layout.starts.append(at)
        layout.numbers.append(Number(at + 2, 2))
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # height and width, bits, components
            layout.sizes.extend([Number(body + 1, 2), Number(body + 3, 2)])
            layout.numbers.append(Number(body, 1))
            layout.numbers.extend(Number(body + 5 + i, 1) for i in range(1 + 3 * data[body + 5]))
        elif code in (0xDA, 0xE1, 0xE2):  # scan, Exif, several pictures
            layout.numbers.extend(Number(body + i, 1) for i in range(8))
            layout.numbers.extend(Number(body + 6 + 2 * i, 2) for i in range(16))
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return layout


def gif_layout(data: bytes) -> Layout:
    layout = Layout([0], [Number(10, 1)], [Number(6, 2, "little"), Number(8, 2, "little")])
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while at < len(data) and data[at] != 0x3B:
        layout.starts.append(at)
        if data[at] == 0x2C:  # a picture: place, size, flags, size of the codes
            layout.numbers.extend(Number(at + i, 2, "little") for i in (1, 3))
            layout.sizes.extend(Number(at + i, 2, "little") for i in (5, 7))
            after = at + 10 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
            layout.numbers.extend([Number(at + 9, 1), Number(after, 1)])
            at = after + 1
        else:
            layout.numbers.append(Number(at + 1, 1))
            at += 2
        while at < len(data) and data[at]:
            layout.numbers.append(Number(at, 1))
            at += 1 + data[at]
        at += 1
    return layout


def webp_layout(data: bytes) -> Layout:
    layout = Layout([], [Number(4, 4, "little")])
    at = 12
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        layout.starts.append(at)
        layout.numbers.append(Number(at + 4, 4, "little"))
        fields = {b"VP8X": (0,), b"ANMF": (0, 3, 12, 15), b"VP8 ": (0,), b"VP8L": (0, 1, 3)}.get(kind, ())
        layout.numbers.extend(Number(at + 8 + i, 3, "little") for i in fields)
        fields = {b"VP8X": (4, 7), b"ANMF": (6, 9), b"VP8 ": (6, 8)}.get(kind, ())
        layout.sizes.extend(Number(at + 8 + i, 2 if kind == b"VP8 " else 3, "little") for i in fields)
        at += 24 if kind == b"ANMF" else 8 + length + length % 2  # the chunks of a frame count as chunks
    return layout


def tiff_layout(data: bytes) -> Layout:
    order = "little" if data[:2] == b"II" else "big"
    big = data[2 if order == "little" else 3] == 43
    offset, entry = (8, 20) if big else (4, 12)

    def read(at: int, width: int) -> int:
        return int.from_bytes(data[at : at + width], order)

    layout = Layout([], [Number(4 if not big else 8, offset, order)])
    at = read(8, 8) if big else read(4, 4)
    while 0 < at < len(data):
        head = 8 if big else 2
        count = read(at, head)
        layout.numbers.append(Number(at, 2, order))
        for i in range(count):
            start = at + head + entry * i
            layout.starts.append(start)
            layout.numbers.append(Number(start, 2, order))
            layout.numbers.append(Number(start + 2, 2, order))
            layout.numbers.append(Number(start + 4, offset, order))
            values = [Number(start + 4 + offset, width, order) for width in (2, offset)]
            (layout.sizes if read(start, 2) in (256, 257, 278) else layout.numbers).extend(values[:1])
            layout.numbers.append(values[1])
        layout.numbers.append(Number(at + head + entry * count, offset, order))
        at = read(at + head + entry * count, offset)
    return layout


def bmp_layout(data: bytes) -> Layout:
    fields = ((2, 4), (10, 4), (14, 4), (26, 2), (28, 2), (30, 4), (34, 4), (46, 4), (50, 4))
    numbers = [Number(at, width, "little") for at, width in fields]
    return Layout([0, 14, 54], numbers, [Number(18, 4, "little"), Number(22, 4, "little")])


def avif_layout(data: bytes) -> Layout:
    layout = Layout()
    inside = {b"meta": 12, b"iprp": 8, b"ipco": 8, b"moov": 8, b"trak": 8, b"mdia": 8, b"minf": 8, b"stbl": 8}

    def walk(at: int, stop: int) -> None:
        while at + 8 <= stop:
            length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            layout.starts.append(at)
            layout.numbers.append(Number(at, 4))
            if kind in inside:
                walk(at + inside[kind], at + length)
            elif kind == b"ispe":
                layout.sizes.extend([Number(at + 12, 4), Number(at + 16, 4)])
            elif kind != b"mdat":
                layout.numbers.extend(Number(at + i, 4) for i in range(8, min(length, 60) - 3, 4))
                layout.numbers.extend(Number(at + i, 2) for i in range(8, min(length, 60) - 1, 2))
            at += max(length, 8)

    walk(0, len(data))
    return layout


LAYOUTS: dict[str, Callable[[bytes], Layout]] = {
    "png": png_layout,
    "jpeg": jpeg_layout,
    "gif": gif_layout,
    "webp": webp_layout,
    "tiff": tiff_layout,
    "bmp": bmp_layout,
    "avif": avif_layout,
    "heic": avif_layout,
}


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks carry the checksums of what is in them, so that what is wrong inside is read."""
    result = bytearray(data)
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        result[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(result)


# --- how it is mutated --------------------------------------------------------------------------------------------


def flip(seed: Seed, chance: random.Random) -> bytes:
    result = bytearray(seed.data)
    for _ in range(chance.choice((1, 1, 2, 8, 40))):
        place = chance.randrange(len(result))
        result[place] = chance.choice((result[place] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 255))
    return bytes(result)


def cut(seed: Seed, chance: random.Random) -> bytes:
    return seed.data[: chance.randrange(len(seed.data))]


def rearrange(seed: Seed, chance: random.Random) -> bytes:
    """Chunks of the format, or slices of any length, are doubled, dropped or shuffled."""
    size = len(seed.data)
    starts = seed.layout.starts
    if len(starts) < 3 or not chance.randrange(3):
        starts = sorted(chance.sample(range(1, size), 6))
    head, *chunks = (seed.data[a:b] for a, b in zip([0, *starts], [*starts, size], strict=True))
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(chunks))
        kind = chance.randrange(4)
        if kind == 0:
            chunks.insert(chance.randrange(len(chunks)), chunks[place])
        elif kind == 1:
            chunks[place] *= chance.choice((2, 3, 100))
        elif kind == 2:
            chunks[place] = b""
        else:
            chance.shuffle(chunks)
    return head + b"".join(chunks)


def lie(seed: Seed, chance: random.Random) -> bytes:
    """Numbers of the format become extreme, or a little more or less than true."""
    result = bytearray(seed.data)
    numbers = seed.layout.numbers + 3 * seed.layout.sizes
    for number in chance.sample(numbers, min(chance.choice((1, 1, 1, 2, 3)), len(numbers))):
        true = int.from_bytes(result[number.at : number.at + number.width], number.order)
        put(result, number, chance.choice((*EXTREMES, true + 1, true - 1, 2 * true, true // 2)))
    return bytes(result)


def enlarge(seed: Seed, chance: random.Random) -> bytes:
    """Every width and height says the same, or nearly, within the limits or beyond: one alone would be an aspect."""
    result = bytearray(seed.data)
    side = chance.choice((60, 300, 1024, 2000, 3000, 4472, 6000, 6324, 6325, 9000, 16383, 40000))
    for number in seed.layout.sizes:
        put(result, number, side + chance.choice((0, 0, 0, -1, 1)))
    return bytes(result)


def put(data: bytearray, number: Number, value: int) -> None:
    data[number.at : number.at + number.width] = (value % 256**number.width).to_bytes(number.width, number.order)


def overwrite(seed: Seed, chance: random.Random) -> bytes:
    """Extreme integers anywhere, rather at the start."""
    result = bytearray(seed.data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(min(len(result), chance.choice((32, 128, 10**6))))
        width = chance.choice((1, 2, 4))
        value = chance.choice(EXTREMES) % 256**width
        result[place : place + width] = value.to_bytes(width, chance.choice(("big", "little")))
    return bytes(result)


def splice(seed: Seed, chance: random.Random) -> bytes:
    """The start of one file and the end of another, of any kind."""
    other = chance.choice(seeds())
    ends = [chance.choice((*one.layout.starts, chance.randrange(len(one.data)))) for one in (seed, other)]
    return seed.data[: ends[0]] + other.data[ends[1] :]


STRATEGIES = (flip, cut, rearrange, lie, lie, enlarge, overwrite, splice)


def mutated(number: int) -> tuple[str, bytes]:
    """Damaged file `number`, and what it is."""
    chance = random.Random(number)
    seed = seeds()[number % len(seeds())]
    strategy = chance.choice(STRATEGIES)
    data = strategy(seed, chance)
    if data[:8] == b"\x89PNG\r\n\x1a\n" and chance.randrange(4):
        data = with_checksums(data)
    return f"{number} ({seed.name}, {strategy.__name__})", data


# --- what must hold -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of one file, and the sentence that says what is wrong with that, if anything is."""

    problem: str
    read: bool
    seconds: float
    peak: int


def outcome(data: bytes) -> Outcome:
    problem, read = "", False
    before = reset_high_water()
    started = time.process_time()  # of all threads, and of no other process
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            image = images.decode(data)
            read = True
        except ImageError as error:
            assert_one_sentence(str(error))
        except BaseException as error:
            problem = repr(error)
    seconds, peak = time.process_time() - started, high_water() - before
    if caught:
        problem = f"warning {caught[0].message!r}"
    elif read and (image.rgb.dtype != np.uint8 or image.rgb.shape != (*image.size, 3) or not image.rgb.size):
        problem = f"pixels of shape {image.rgb.shape} in {image.rgb.dtype}"
    elif seconds > SECONDS:
        problem = f"{seconds:.2f} s"
    elif peak > MEMORY:
        problem = f"{peak / 1e6:.0f} MB"
    return Outcome(problem, read, seconds, peak)


def high_water() -> int:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def reset_high_water() -> int:
    """Sets the high-water mark of resident memory back to what is resident now, which it returns."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel does not let a process reset its high-water mark")
    return high_water()


def test_every_seed_is_sound() -> None:
    for seed in seeds():
        assert outcome(seed.data).read, seed.name
        assert all(0 <= start < len(seed.data) for start in seed.layout.starts), seed.name
        assert seed.layout.starts, seed.name
        assert all(number.at + number.width <= len(seed.data) for number in seed.layout.numbers), seed.name


def float_tiff() -> bytes:
    """A TIFF that holds the NaN that signals."""
    buffer = io.BytesIO()
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    values.view(np.uint32)[1, 1] = 0x7F80_0001
    Image.fromarray(values).save(buffer, "TIFF")
    return buffer.getvalue()


def large(name: str, side: int) -> bytes:
    """A small picture whose every width and height says `side`."""
    seed = next(seed for seed in seeds() if seed.name == name)
    result = bytearray(seed.data)
    for number in seed.layout.sizes:
        put(result, number, side)
    return bytes(result)


# Files that once broke the promise.
REGRESSIONS: dict[str, Callable[[], bytes]] = {
    "NumPy warned of a signalling NaN": float_tiff,
    "Pillow warned of a TIFF cut in its tags": lambda: big_endian_tiff()[:100],
    "40 megapixels with alpha out of a small AVIF took long": lambda: large("avif alpha", 6324),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_files_that_once_broke_the_promise_keep_it(name: str) -> None:
    assert not outcome(REGRESSIONS[name]()).problem


def test_mutated_files_are_read_or_refused(pytestconfig: pytest.Config, capfd: pytest.CaptureFixture[str]) -> None:
    count = pytestconfig.getoption("--mutations")
    problems, outcomes = [], []
    for number in range(count):
        name, data = mutated(number)
        outcomes.append(one := outcome(data))
        if one.problem:
            problems.append(f"{name}: {one.problem}")
    capfd.readouterr()  # libtiff writes its complaints straight to stderr
    read = sum(one.read for one in outcomes)
    slowest, largest = max(one.seconds for one in outcomes), max(one.peak for one in outcomes)
    if pytestconfig.get_verbosity() >= 0:  # with -v: the project's own options say -q
        with capfd.disabled():
            print(f"\n{read} of {count} read, slowest {slowest:.2f} s, largest {largest / 1e6:.0f} MB")
    assert not problems, f"{len(problems)} of {count} mutated files:\n" + "\n".join(problems[:40])
    assert 0.1 < read / count < 0.9  # the mutations neither spare nor spoil everything
